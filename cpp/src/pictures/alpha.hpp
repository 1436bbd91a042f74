// Opacity: the colour under it, and its size; as swinir_deploy/pictures/alpha.py.
#pragma once

#include <vector>

#include "pictures/pixels.hpp"

namespace swinir::core {

// Returns dense R, G, B of the type of `colour` in which pixels of zero opacity have the colour of
// their visible surroundings; empty where all or none are visible, and nothing is to be filled.
std::vector<unsigned char> fill_transparent(const Channels& colour, const Channels& alpha);

// Returns `colour` with its pixels in what fill_transparent gave.
Channels filled_channels(const Channels& colour, const std::vector<unsigned char>& filled);

// Writes one channel, enlarged by bicubic interpolation (a = -0.5, edges renormalised, as Pillow
// does), clamped, bytes rounded half to even. The types may differ.
void scale_alpha(const Channels& from, const Channels& to);

}  // namespace swinir::core
