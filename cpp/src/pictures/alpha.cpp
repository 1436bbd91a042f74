#include "pictures/alpha.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace swinir::core {
namespace {

float load_sample(const Channels& channels, std::int64_t y, std::int64_t x, std::size_t channel) {
  const unsigned char* sample =
      channels.row(y) + x * channels.pixel_stride + channels.offsets[channel];
  return channels.type == SWINIR_UINT8 ? static_cast<float>(*sample) : load_float(sample);
}

// Sums over the visible pixels of squares of 2**n pixels, and how many there are.
struct Level {
  std::int64_t height = 0, width = 0;
  std::vector<float> sums;   // [height, width, channels]
  std::vector<float> count;  // [height, width]

  std::size_t at(std::int64_t y, std::int64_t x) const {
    return static_cast<std::size_t>(y * width + x);
  }
};

Level visible_pixels(const Channels& colour, const Channels& alpha) {
  Level level{colour.height, colour.width, {}, {}};
  const auto pixels = static_cast<std::size_t>(level.height * level.width);
  const std::size_t channels = colour.offsets.size();
  level.sums.assign(pixels * channels, 0.0F);
  level.count.assign(pixels, 0.0F);
  for (std::int64_t y = 0; y < level.height; ++y) {
    for (std::int64_t x = 0; x < level.width; ++x) {
      if (!(load_sample(alpha, y, x, 0) > 0)) continue;
      const std::size_t i = level.at(y, x);
      level.count[i] = 1.0F;
      for (std::size_t c = 0; c < channels; ++c) {
        level.sums[i * channels + c] = load_sample(colour, y, x, c);
      }
    }
  }
  return level;
}

Level halved(const Level& level, std::size_t channels) {
  Level half{(level.height + 1) / 2, (level.width + 1) / 2, {}, {}};
  const auto pixels = static_cast<std::size_t>(half.height * half.width);
  half.sums.assign(pixels * channels, 0.0F);
  half.count.assign(pixels, 0.0F);
  for (std::int64_t y = 0; y < level.height; ++y) {
    for (std::int64_t x = 0; x < level.width; ++x) {
      const std::size_t from = level.at(y, x), to = half.at(y / 2, x / 2);
      half.count[to] += level.count[from];
      for (std::size_t c = 0; c < channels; ++c) {
        half.sums[to * channels + c] += level.sums[from * channels + c];
      }
    }
  }
  return half;
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// The input samples that make one output sample, and their weights.
struct Taps {
  std::int64_t first = 0;
  std::vector<double> weights;
};

std::vector<Taps> taps_of(std::int64_t from, std::int64_t to) {
  constexpr double kSupport = 2.0;
  std::vector<Taps> all;
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre =
        (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to);
    Taps taps;
    taps.first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - kSupport + 0.5));
    const std::int64_t end = std::min(from, static_cast<std::int64_t>(centre + kSupport + 0.5));
    double sum = 0;
    for (std::int64_t j = taps.first; j < end; ++j) {
      taps.weights.push_back(bicubic(static_cast<double>(j) - centre + 0.5));
      sum += taps.weights.back();
    }
    for (double& weight : taps.weights) weight /= sum;
    all.push_back(std::move(taps));
  }
  return all;
}

}  // namespace

std::vector<unsigned char> fill_transparent(const Channels& colour, const Channels& alpha) {
  const std::size_t channels = colour.offsets.size();
  std::vector<Level> levels{visible_pixels(colour, alpha)};
  const std::vector<float>& visible = levels.front().count;
  if (std::find(visible.begin(), visible.end(), 0.0F) == visible.end() ||
      std::find(visible.begin(), visible.end(), 1.0F) == visible.end()) {
    return {};
  }
  const auto has_gaps = [](const Level& level) {
    return std::find(level.count.begin(), level.count.end(), 0.0F) != level.count.end();
  };
  while (has_gaps(levels.back())) levels.push_back(halved(levels.back(), channels));

  const std::size_t sample = colour.type == SWINIR_UINT8 ? 1 : 4;
  std::vector<unsigned char> filled(static_cast<std::size_t>(colour.height * colour.width) *
                                    channels * sample);
  unsigned char* to = filled.data();
  for (std::int64_t y = 0; y < colour.height; ++y) {
    for (std::int64_t x = 0; x < colour.width; ++x) {
      // Take the smallest square around the pixel that has anything visible.
      std::size_t n = 0;
      while (levels[n].count[levels[n].at(y >> n, x >> n)] == 0.0F) ++n;
      const std::size_t i = levels[n].at(y >> n, x >> n);
      for (std::size_t c = 0; c < channels; ++c, to += sample) {
        const float value = levels[n].sums[i * channels + c] / levels[n].count[i];
        if (colour.type == SWINIR_UINT8) {
          *to = static_cast<unsigned char>(std::nearbyint(value));
        } else {
          store_float(to, value);
        }
      }
    }
  }
  return filled;
}

Channels filled_channels(const Channels& colour, const std::vector<unsigned char>& filled) {
  const std::ptrdiff_t sample = colour.type == SWINIR_UINT8 ? 1 : 4;
  Channels channels = colour;
  channels.data = filled.data();
  channels.pixel_stride = sample * static_cast<std::ptrdiff_t>(colour.count());
  channels.stride = channels.pixel_stride * colour.width;
  for (std::size_t c = 0; c < channels.offsets.size(); ++c) {
    channels.offsets[c] = static_cast<std::ptrdiff_t>(c) * sample;
  }
  return channels;
}

void scale_alpha(const Channels& from, const Channels& to) {
  const std::vector<Taps> columns = taps_of(from.width, to.width);
  const std::vector<Taps> rows = taps_of(from.height, to.height);
  // Horizontally first, with floats between, as Pillow does.
  std::vector<float> wide(static_cast<std::size_t>(from.height * to.width));
  for (std::int64_t y = 0; y < from.height; ++y) {
    for (std::int64_t x = 0; x < to.width; ++x) {
      const Taps& taps = columns[static_cast<std::size_t>(x)];
      double sum = 0;
      for (std::size_t i = 0; i < taps.weights.size(); ++i) {
        const std::int64_t source = taps.first + static_cast<std::int64_t>(i);
        sum += static_cast<double>(load_sample(from, y, source, 0)) * taps.weights[i];
      }
      wide[static_cast<std::size_t>(y * to.width + x)] = static_cast<float>(sum);
    }
  }
  const float maximum = largest_value(from.type);
  for (std::int64_t y = 0; y < to.height; ++y) {
    const Taps& taps = rows[static_cast<std::size_t>(y)];
    unsigned char* sample = to.mutable_row(y) + to.offsets[0];
    for (std::int64_t x = 0; x < to.width; ++x, sample += to.pixel_stride) {
      double sum = 0;
      for (std::size_t i = 0; i < taps.weights.size(); ++i) {
        const std::int64_t source = taps.first + static_cast<std::int64_t>(i);
        sum += static_cast<double>(wide[static_cast<std::size_t>(source * to.width + x)]) *
               taps.weights[i];
      }
      const float value = std::clamp(static_cast<float>(sum), 0.0F, maximum);
      if (to.type == SWINIR_UINT8) {
        *sample = static_cast<unsigned char>(std::nearbyint(value * (255.0F / maximum)));
      } else {
        store_float(sample, value / maximum);
      }
    }
  }
}

}  // namespace swinir::core
