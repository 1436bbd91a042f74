// Chooses the profile (range of shapes) of an engine for a batch; as
// swinir_deploy/runtimes/tensorrt/profiles.py.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

namespace swinir::plugin {

using Shape = std::array<std::int64_t, 4>;

struct Profile {
  Shape min, opt, max;
};

inline bool contains(const Profile& profile, const Shape& shape) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (shape[axis] < profile.min[axis] || shape[axis] > profile.max[axis]) return false;
  }
  return true;
}

inline double volume(const Shape& shape) {
  double product = 1;
  for (const std::int64_t side : shape) product *= static_cast<double>(side);
  return product;
}

// Returns the number of the profile that suits a shape best, or -1 where none takes it: one that
// was tuned for just this shape; else the one with the smallest largest shape; of those the one
// tuned for the nearest size; else the first.
inline int choose_profile(const std::vector<Profile>& profiles, const Shape& shape) {
  int best = -1;
  std::tuple<bool, double, double> minimum;
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    const Profile& profile = profiles[i];
    if (!contains(profile, shape)) continue;
    const double tuned_for = std::abs(std::log(volume(profile.opt) / volume(shape)));
    const std::tuple<bool, double, double> distance{profile.opt != shape, volume(profile.max),
                                                    tuned_for};
    if (best < 0 || distance < minimum) {
      best = static_cast<int>(i);
      minimum = distance;
    }
  }
  return best;
}

// Returns the size of every axis where all profiles leave no choice, else -1.
inline Shape fixed_sizes(const std::vector<Profile>& profiles) {
  Shape sizes = profiles.front().min;
  for (const Profile& profile : profiles) {
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if (profile.min[axis] != sizes[axis] || profile.max[axis] != sizes[axis]) sizes[axis] = -1;
    }
  }
  return sizes;
}

}  // namespace swinir::plugin
