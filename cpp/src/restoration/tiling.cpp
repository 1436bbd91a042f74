#include "restoration/tiling.hpp"

#include <algorithm>
#include <cmath>

#include "restoration/padding.hpp"

namespace swinir::core {
namespace {

constexpr double kWeightSteps = 4096;  // float adds multiples of 2**-12 without rounding
constexpr double kHalfPi = 1.57079632679489661923;

// How far tile i has taken over from tile i - 1 at every output pixel: 0 to 1, a squared sine over
// the middle half of their overlap.
std::vector<double> rise_of(const AxisPlan& plan, std::size_t i, std::int64_t scale) {
  std::vector<double> rise(static_cast<std::size_t>(plan.padded * scale), 1.0);
  if (i == 0) return rise;
  const std::int64_t before_end = plan.starts[i - 1] + plan.tile;
  const std::int64_t overlap = before_end - plan.starts[i];
  const auto first = static_cast<double>((plan.starts[i] + overlap / 4) * scale);
  const auto last = static_cast<double>((before_end - overlap / 4) * scale);
  for (std::size_t pixel = 0; pixel < rise.size(); ++pixel) {
    const double ramp = std::clamp(
        (static_cast<double>(pixel) + 0.5 - first) / std::max(last - first, 1e-9), 0.0, 1.0);
    const double sine = std::sin(ramp * kHalfPi);
    rise[pixel] = std::nearbyint(sine * sine * kWeightSteps) / kWeightSteps;
  }
  return rise;
}

}  // namespace

std::vector<std::vector<float>> AxisPlan::weights(std::int64_t scale) const {
  // Tile i weighs rise[i] - rise[i + 1]; that sum telescopes to 1 however many tiles overlap.
  std::vector<std::vector<float>> all;
  std::vector<double> rise = rise_of(*this, 0, scale);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const bool last = i + 1 == starts.size();
    std::vector<double> next =
        last ? std::vector<double>(rise.size(), 0.0) : rise_of(*this, i + 1, scale);
    std::vector<float> weight;
    for (std::int64_t pixel = starts[i] * scale; pixel < (starts[i] + tile) * scale; ++pixel) {
      const auto index = static_cast<std::size_t>(pixel);
      weight.push_back(static_cast<float>(rise[index] - next[index]));
    }
    all.push_back(std::move(weight));
    rise = std::move(next);
  }
  return all;
}

AxisPlan plan_axis(std::int64_t side, std::int64_t tile, std::int64_t overlap, std::int64_t window,
                   std::int64_t min_side, bool fixed) {
  if (side <= tile) {
    const std::int64_t only = fixed ? tile : padded_side(side, window, min_side);
    return {side, only, only, {0}};
  }
  // Counted in windows: how far the last tile is from the first, and the longest step.
  std::int64_t distance = ceil_to_multiple(side - tile, window) / window;
  const std::int64_t step = (tile - overlap) / window;
  const std::int64_t gaps = (distance + step - 1) / step;
  if (!fixed) {
    // The smallest tile with which as many reach: the rest would only be computed twice.
    const std::int64_t windows = (side + window - 1) / window;
    const std::int64_t shared = (overlap + window - 1) / window;
    const std::int64_t minimum = (windows + gaps * shared + gaps) / (gaps + 1) * window;
    tile = std::max(minimum, ceil_to_multiple(min_side, window));
    distance = windows - tile / window;
  }
  AxisPlan plan{side, distance * window + tile, tile, {}};
  for (std::int64_t i = 0; i <= gaps; ++i) plan.starts.push_back(i * distance / gaps * window);
  return plan;
}

}  // namespace swinir::core
