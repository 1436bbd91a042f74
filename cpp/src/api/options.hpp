// Structures that begin with struct_size: their size in the program that was compiled against
// another version of the header may be smaller or larger than here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "failure.hpp"

namespace swinir::core {

// Throws Failure(SWINIR_INVALID_ARGUMENT) for an impossible size.
inline void check_struct_size(std::size_t size, const char* name) {
  constexpr std::size_t kMaximum = 4096;
  if (size < sizeof size || size > kMaximum) {
    fail(SWINIR_INVALID_ARGUMENT, name, ": struct_size is ", size, "; set it to sizeof(", name,
         "), or begin with its _INIT.");
  }
}

// Returns what the caller filled in, zero elsewhere. Throws Failure(SWINIR_INVALID_ARGUMENT) where
// the size makes no sense, or a newer caller asks for something that this version does not know.
template <typename Options>
Options read_options(const Options* given, const char* name) {
  Options options = {};
  if (given == nullptr) return options;
  const std::size_t size = given->struct_size;
  check_struct_size(size, name);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof(Options); i < size; ++i) {
    if (bytes[i] != 0) {
      fail(SWINIR_INVALID_ARGUMENT, name,
           ": an option is set that this libswinir does not know; the program was compiled "
           "against a newer one. Update the library.");
    }
  }
  std::memcpy(&options, given, std::min(size, sizeof(Options)));
  return options;
}

// Writes as many bytes as the caller has room for; zeros for what this version does not know.
template <typename Answer>
void write_answer(Answer answer, Answer* destination, const char* name) {
  const std::size_t size = destination->struct_size;
  check_struct_size(size, name);
  auto* bytes = reinterpret_cast<unsigned char*>(destination);
  answer.struct_size = size;
  std::memcpy(bytes, &answer, std::min(size, sizeof(Answer)));
  if (size > sizeof(Answer)) std::memset(bytes + sizeof(Answer), 0, size - sizeof(Answer));
}

}  // namespace swinir::core
