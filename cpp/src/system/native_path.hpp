// Paths come as UTF-8. Linux takes them as they are; Windows wants UTF-16.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "failure.hpp"

namespace swinir::core {

// Throws Failure(SWINIR_INVALID_ARGUMENT) where Windows cannot convert the text.
inline std::filesystem::path native_path(const std::string& utf8) {
  try {
    return std::filesystem::u8path(utf8);
  } catch (const std::system_error&) {
    fail(SWINIR_INVALID_ARGUMENT, "path '", utf8, "': not UTF-8. Encode it as UTF-8.");
  }
}

}  // namespace swinir::core
