// The caller's pixels: strided, of any format, read and written sample by sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "swinir.h"

namespace swinir::core {

// Some channels of a picture, in the order of a model: R, G, B, or one of gray or opacity.
struct Channels {
  const unsigned char* data = nullptr;  // the top left pixel
  std::int64_t width = 0, height = 0;
  std::ptrdiff_t stride = 0;            // bytes
  std::ptrdiff_t pixel_stride = 0;      // bytes
  std::int32_t type = 0;                // SWINIR_UINT8, SWINIR_FLOAT32
  std::vector<std::ptrdiff_t> offsets;  // bytes, one for each channel

  std::int64_t count() const { return static_cast<std::int64_t>(offsets.size()); }
  const unsigned char* row(std::int64_t y) const { return data + y * stride; }
  // Returns a row to write to; only for channels of an output.
  unsigned char* mutable_row(std::int64_t y) const { return const_cast<unsigned char*>(row(y)); }
};

// Samples may lie at any address: nothing asks the caller to align floats.
inline float load_float(const unsigned char* from) {
  float value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store_float(unsigned char* to, float value) { std::memcpy(to, &value, sizeof value); }

// Throws Failure(SWINIR_INVALID_PICTURE) where size, format, type or stride make no sense, or where
// float samples are not finite and `is_input`. `name` is for the messages.
void check_picture(const swinir_picture& picture, const char* name, bool is_input);

// Throws Failure(SWINIR_INVALID_PICTURE) where `output` is not what `scale` makes of `input`, or
// where they share memory.
void check_pair(const swinir_picture& input, const swinir_picture& output, std::int32_t scale);

// Returns the colours, or gray, of a checked picture.
Channels colour_of(const swinir_picture& picture);

bool has_alpha(const swinir_picture& picture);

// Returns the opacity of a checked picture that has one.
Channels alpha_of(const swinir_picture& picture);

// Returns the value of full brightness: 255, or 1 for floats.
float largest_value(std::int32_t type);

// Makes every sample of one channel the largest value.
void fill_largest(const Channels& target);

}  // namespace swinir::core
