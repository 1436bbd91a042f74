// Plans and weights against cases counted by hand, and against what must hold for all of them.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "restoration/padding.hpp"
#include "restoration/tiling.hpp"

using swinir::core::AxisPlan;
using swinir::core::plan_axis;
using Starts = std::vector<std::int64_t>;

namespace {

void by_hand() {
  CHECK((swinir::core::reflect_indices(4, 9) == Starts{0, 1, 2, 3, 2, 1, 0, 1, 2}));
  CHECK((swinir::core::reflect_indices(1, 3) == Starts{0, 0, 0}));
  CHECK_EQUAL(swinir::core::padded_side(17, 8, 5), 24);
  CHECK_EQUAL(swinir::core::padded_side(1, 2, 5), 6);

  // 100 pixels, tiles of 48, at least 16 in common: 52 pixels are 7 windows, in two steps.
  const AxisPlan plan = plan_axis(100, 48, 16, 8, 5, false);
  CHECK((plan.starts == Starts{0, 24, 56}));
  CHECK_EQUAL(plan.padded, 104);

  const AxisPlan small = plan_axis(3, 48, 16, 8, 5, false);
  CHECK((small.starts == Starts{0}));
  CHECK_EQUAL(small.padded, 8);
  CHECK_EQUAL(plan_axis(3, 48, 16, 8, 5, true).padded, 48);

  // Two tiles of 16 that share 8 pixels: the outer 2 on each side are thrown away, and over the
  // 4 in the middle, at 1/8, 3/8, 5/8, 7/8 of a quarter turn, the squared sine rises.
  const auto weights = plan_axis(24, 16, 8, 8, 1, false).weights(1);
  const double quarter = std::acos(-1.0) / 2;
  for (int i = 0; i < 16; ++i) {
    const double ramp = std::min(1.0, std::max(0.0, (i - 2 + 0.5) / 4));
    const double expected = std::sin(ramp * quarter) * std::sin(ramp * quarter);
    CHECK(std::abs(weights[1][static_cast<std::size_t>(i)] - expected) <= 0.5 / 4096);
  }
}

void always() {
  for (std::int64_t side : {1, 7, 8, 9, 31, 64, 100, 257}) {
    for (std::int64_t tile : {8, 16, 24, 64}) {
      for (std::int64_t overlap = 0; overlap <= tile - 8; overlap += 3) {
        const AxisPlan plan = plan_axis(side, tile, overlap, 8, 5, false);
        CHECK(plan.padded >= side && plan.padded < side + 8 + (side < 5 ? 5 : 0));
        CHECK_EQUAL(plan.starts.front(), 0);
        CHECK_EQUAL(plan.starts.back(), plan.padded - plan.tile);
        for (std::size_t i = 1; i < plan.starts.size(); ++i) {
          CHECK(plan.starts[i] % 8 == 0);
          CHECK(plan.starts[i] > plan.starts[i - 1]);
          CHECK(plan.starts[i - 1] + plan.tile - plan.starts[i] >= overlap);
        }
        const std::int64_t scale = 3;
        std::vector<float> sum(static_cast<std::size_t>(plan.padded * scale), 0.0F);
        const auto weights = plan.weights(scale);
        for (std::size_t i = 0; i < plan.starts.size(); ++i) {
          for (std::size_t p = 0; p < weights[i].size(); ++p) {
            CHECK(weights[i][p] >= 0.0F && weights[i][p] <= 1.0F);
            sum[static_cast<std::size_t>(plan.starts[i] * scale) + p] += weights[i][p];
          }
        }
        for (const float total : sum) CHECK_EQUAL(total, 1.0F);
      }
    }
  }
}

}  // namespace

int main() {
  by_hand();
  always();
}
