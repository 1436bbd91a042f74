// How the inside of the library fails: an exception that api.cpp turns into a status.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include "swinir.h"

namespace swinir::core {

// The message names the thing, the value found, the value wanted and the next step.
class Failure : public std::runtime_error {
 public:
  Failure(swinir_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}

  swinir_status status() const { return status_; }

 private:
  swinir_status status_;
};

// Everything that can be streamed, as one text.
template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

template <typename... Parts>
[[noreturn]] void fail(swinir_status status, const Parts&... parts) {
  throw Failure(status, text(parts...));
}

}  // namespace swinir::core
