// Padding by reflection to whole windows; swinir_deploy/restoration/padding.py says why and how.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace swinir::core {

inline std::int64_t ceil_to_multiple(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Returns the smallest multiple of `window`, at least one, that is neither below `side` nor below
// `min_side`.
inline std::int64_t padded_side(std::int64_t side, std::int64_t window, std::int64_t min_side) {
  return ceil_to_multiple(std::max({side, min_side, std::int64_t{1}}), window);
}

// Returns where each of `padded` rows (or columns) comes from in a picture with `side` of them:
// reflected about the last without repeating it, then about the first, and so on.
inline std::vector<std::int64_t> reflect_indices(std::int64_t side, std::int64_t padded) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(padded), 0);
  if (side == 1) return indices;
  const std::int64_t period = 2 * (side - 1);
  for (std::int64_t i = 0; i < padded; ++i) {
    const std::int64_t turn = i % period;
    indices[static_cast<std::size_t>(i)] = turn < side ? turn : period - turn;
  }
  return indices;
}

}  // namespace swinir::core
