// Where tiles lie and what each weighs; swinir_deploy/restoration/tiling.py says why and how.
#pragma once

#include <cstdint>
#include <vector>

namespace swinir::core {

// Tiles along one axis, in input pixels: `starts` are multiples of the window, strictly increasing,
// the first 0 and the last `padded - tile`.
struct AxisPlan {
  std::int64_t side = 0;    // of the picture
  std::int64_t padded = 0;  // the side that the tiles cover together
  std::int64_t tile = 0;    // side of every tile
  std::vector<std::int64_t> starts;

  // Returns for each tile [tile * scale] values in 0..1, multiples of 2**-12. At every output pixel
  // those of the tiles over it sum to exactly 1.
  std::vector<std::vector<float>> weights(std::int64_t scale) const;
};

// Spreads as few tiles as possible evenly, none larger than needed. The caller makes sure that
// `tile`, the largest side, is a multiple of `window` unless `fixed`, and 0 <= overlap <= tile -
// window.
// With `fixed` a smaller picture is padded to `tile`, otherwise to one tile of whole windows.
AxisPlan plan_axis(std::int64_t side, std::int64_t tile, std::int64_t overlap, std::int64_t window,
                   std::int64_t min_side, bool fixed);

// Every row with every column, row by row from the top left.
struct TilePlan {
  AxisPlan rows, columns;

  std::int64_t tiles() const {
    return static_cast<std::int64_t>(rows.starts.size() * columns.starts.size());
  }
};

}  // namespace swinir::core
