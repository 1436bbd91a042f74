// Joins the tiles' results into strips of the finished picture, at most one row of tiles at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "restoration/tiling.hpp"

namespace swinir::core {

class Blender {
 public:
  // Gets rows of the finished picture, from top to bottom: [rows, width, channels] dense, where
  // `width` is that of the picture. The pointer is valid during the call. `pitch` is in floats.
  using Sink = std::function<void(std::int64_t top, std::int64_t rows, const float* values,
                                  std::int64_t pitch)>;

  // `plan` must outlive the blender.
  Blender(const TilePlan& plan, std::int64_t scale, std::int64_t channels, Sink sink);

  // Takes the next tile, row by row: [tile height * scale, tile width * scale, channels].
  void add(const float* tile);

  std::uint64_t bytes() const { return band_.size() * sizeof(float); }

 private:
  void accumulate(const float* tile);
  void finish_row();

  const TilePlan& plan_;
  std::int64_t scale_, channels_;
  Sink sink_;
  std::vector<std::vector<float>> row_weights_, column_weights_;
  std::vector<float> band_;  // [tile height * scale, padded width * scale, channels]
  std::size_t row_ = 0, column_ = 0;
};

}  // namespace swinir::core
