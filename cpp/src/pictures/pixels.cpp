#include "pictures/pixels.hpp"

#include <cmath>
#include <limits>

#include "failure.hpp"

namespace swinir::core {
namespace {

struct Layout {
  const char* name;
  std::vector<std::ptrdiff_t> colour;  // samples from the first
  std::ptrdiff_t alpha;                // -1: none
  std::ptrdiff_t samples;
};

// Returns the layout of a SWINIR_GRAY ... constant; null for any other number.
const Layout* layout_of(std::int32_t format) {
  static const Layout kLayouts[] = {{"gray", {0}, -1, 1},
                                    {"RGB", {0, 1, 2}, -1, 3},
                                    {"BGR", {2, 1, 0}, -1, 3},
                                    {"RGBA", {0, 1, 2}, 3, 4},
                                    {"BGRA", {2, 1, 0}, 3, 4}};
  return format < SWINIR_GRAY || format > SWINIR_BGRA ? nullptr : &kLayouts[format - SWINIR_GRAY];
}

std::ptrdiff_t sample_bytes(std::int32_t type) { return type == SWINIR_FLOAT32 ? 4 : 1; }

std::ptrdiff_t row_bytes(const swinir_picture& picture) {
  return picture.width * layout_of(picture.format)->samples * sample_bytes(picture.type);
}

std::ptrdiff_t stride_of(const swinir_picture& picture) {
  return picture.stride != 0 ? picture.stride : row_bytes(picture);
}

Channels channels_of(const swinir_picture& picture, const std::vector<std::ptrdiff_t>& samples) {
  const std::ptrdiff_t size = sample_bytes(picture.type);
  Channels channels;
  channels.data = static_cast<const unsigned char*>(picture.data);
  channels.width = picture.width;
  channels.height = picture.height;
  channels.stride = stride_of(picture);
  channels.pixel_stride = layout_of(picture.format)->samples * size;
  channels.type = picture.type;
  for (const std::ptrdiff_t sample : samples) channels.offsets.push_back(sample * size);
  return channels;
}

void check_finite(const swinir_picture& picture, const char* name) {
  const std::int64_t samples = row_bytes(picture) / sample_bytes(SWINIR_FLOAT32);
  const auto* row = static_cast<const unsigned char*>(picture.data);
  for (std::int64_t y = 0; y < picture.height; ++y, row += stride_of(picture)) {
    for (std::int64_t i = 0; i < samples; ++i) {
      if (!std::isfinite(load_float(row + 4 * i))) {
        fail(SWINIR_INVALID_PICTURE, name, ": row ", y,
             " has a sample that is not finite. Replace NaN and infinity first.");
      }
    }
  }
}

struct Range {
  std::uintptr_t first, last;
};

Range range_of(const swinir_picture& picture) {
  const auto data = reinterpret_cast<std::uintptr_t>(picture.data);
  const std::ptrdiff_t reach = (picture.height - 1) * stride_of(picture);
  const auto end = static_cast<std::uintptr_t>(row_bytes(picture) - 1);
  const std::uintptr_t other = data + static_cast<std::uintptr_t>(reach);
  return reach < 0 ? Range{other, data + end} : Range{data, other + end};
}

}  // namespace

void check_picture(const swinir_picture& picture, const char* name, bool is_input) {
  if (picture.data == nullptr) fail(SWINIR_INVALID_PICTURE, name, ": data is NULL.");
  if (picture.width < 1 || picture.height < 1) {
    fail(SWINIR_INVALID_PICTURE, name, ": ", picture.width, "x", picture.height,
         " pixels; both sides must be at least 1.");
  }
  if (layout_of(picture.format) == nullptr) {
    fail(SWINIR_INVALID_PICTURE, name, ": format ", picture.format,
         "; it must be SWINIR_GRAY, _RGB, _BGR, _RGBA or _BGRA.");
  }
  if (picture.type != SWINIR_UINT8 && picture.type != SWINIR_FLOAT32) {
    fail(SWINIR_INVALID_PICTURE, name, ": type ", picture.type,
         "; it must be SWINIR_UINT8 or SWINIR_FLOAT32.");
  }
  const std::ptrdiff_t minimum = row_bytes(picture);
  const std::ptrdiff_t maximum = std::numeric_limits<std::ptrdiff_t>::max() / picture.height;
  const std::ptrdiff_t stride = stride_of(picture);
  if (stride > maximum || stride < -maximum || (stride < minimum && stride > -minimum)) {
    fail(SWINIR_INVALID_PICTURE, name, ": stride ", stride, " for rows of ", minimum,
         " bytes; it must be at least as much, or 0 for rows without a gap.");
  }
  if (is_input && picture.type == SWINIR_FLOAT32) check_finite(picture, name);
}

void check_pair(const swinir_picture& input, const swinir_picture& output, std::int32_t scale) {
  const std::int64_t width = std::int64_t{input.width} * scale;
  const std::int64_t height = std::int64_t{input.height} * scale;
  if (output.width != width || output.height != height) {
    fail(SWINIR_INVALID_PICTURE, "output: ", output.width, "x", output.height,
         " pixels; a model of x", scale, " makes ", width, "x", height, " of ", input.width, "x",
         input.height, ".");
  }
  if ((input.format == SWINIR_GRAY) != (output.format == SWINIR_GRAY)) {
    fail(SWINIR_INVALID_PICTURE, "output: ", layout_of(output.format)->name, " for an input of ",
         layout_of(input.format)->name, "; both must be gray, or both colour.");
  }
  const Range from = range_of(input), to = range_of(output);
  if (from.first <= to.last && to.first <= from.last) {
    fail(SWINIR_INVALID_PICTURE,
         "output: overlaps the input in memory. Give it memory of its own.");
  }
}

Channels colour_of(const swinir_picture& picture) {
  return channels_of(picture, layout_of(picture.format)->colour);
}

bool has_alpha(const swinir_picture& picture) { return layout_of(picture.format)->alpha >= 0; }

Channels alpha_of(const swinir_picture& picture) {
  return channels_of(picture, {layout_of(picture.format)->alpha});
}

float largest_value(std::int32_t type) { return type == SWINIR_UINT8 ? 255.0F : 1.0F; }

void fill_largest(const Channels& target) {
  for (std::int64_t y = 0; y < target.height; ++y) {
    unsigned char* sample = target.mutable_row(y) + target.offsets[0];
    for (std::int64_t x = 0; x < target.width; ++x, sample += target.pixel_stride) {
      if (target.type == SWINIR_UINT8) {
        *sample = 255;
      } else {
        store_float(sample, 1.0F);
      }
    }
  }
}

}  // namespace swinir::core
