// SHA-256 (FIPS 180-4), with which an engine for CUDA says what its sections hold.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace swinir::core {

using Sha256 = std::array<std::uint8_t, 32>;

Sha256 sha256_of(std::string_view bytes);

// Returns the 64 small hexadecimal digits of a hash.
std::string hexadecimal(const Sha256& hash);

}  // namespace swinir::core
