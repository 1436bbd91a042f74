// Which profile of an engine a shape runs under, against cases thought through by hand.
#include "../plugins/tensorrt/profiles.hpp"
#include "check.hpp"

using swinir::plugin::choose_profile;
using swinir::plugin::fixed_sizes;
using swinir::plugin::Profile;
using swinir::plugin::Shape;

int main() {
  const Profile tile{{1, 3, 256, 256}, {4, 3, 256, 256}, {8, 3, 256, 256}};
  const Profile small{{1, 3, 64, 64}, {1, 3, 128, 128}, {1, 3, 256, 256}};
  const Profile large{{1, 3, 64, 64}, {1, 3, 512, 512}, {1, 3, 1024, 1024}};
  const Profile wide{{1, 3, 64, 64}, {1, 3, 256, 256}, {1, 3, 1024, 1024}};

  CHECK_EQUAL(choose_profile({tile}, {3, 3, 256, 256}), 0);
  CHECK_EQUAL(choose_profile({tile}, {9, 3, 256, 256}), -1);
  CHECK_EQUAL(choose_profile({tile}, {1, 3, 256, 255}), -1);
  CHECK_EQUAL(choose_profile({tile}, {1, 1, 256, 256}), -1);
  // The smallest reach that takes it; but one that was tuned for just this shape wins.
  CHECK_EQUAL(choose_profile({large, small}, {1, 3, 100, 200}), 1);
  CHECK_EQUAL(choose_profile({large, small}, {1, 3, 300, 200}), 0);
  CHECK_EQUAL(choose_profile({small, wide}, {1, 3, 256, 256}), 1);
  // Of equal reach the one tuned for the nearest size; else the first.
  CHECK_EQUAL(choose_profile({large, wide}, {1, 3, 200, 200}), 1);
  CHECK_EQUAL(choose_profile({large, wide}, {1, 3, 600, 600}), 0);
  CHECK_EQUAL(choose_profile({large, large}, {1, 3, 200, 200}), 0);

  CHECK((fixed_sizes({tile}) == Shape{-1, 3, 256, 256}));
  CHECK((fixed_sizes({tile, small}) == Shape{-1, 3, -1, -1}));
}
