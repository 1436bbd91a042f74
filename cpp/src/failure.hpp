// How the core and the plug-ins fail: with an exception that the C border turns into a status. Each
// shared object has its own copy of this class, and no exception passes from one to another.
#pragma once

#include <exception>
#include <new>
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

// Joins everything that can be streamed into one text.
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

// Runs `action` and returns SWINIR_OK. Whatever it throws becomes what `note(status, message)`
// returns; `out_of_memory` is the message for std::bad_alloc.
template <typename Note, typename Action>
swinir_status guarded(Note note, const char* out_of_memory, Action action) noexcept {
  try {
    action();
    return SWINIR_OK;
  } catch (const Failure& failure) {
    return note(failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    return note(SWINIR_OUT_OF_MEMORY, out_of_memory);
  } catch (const std::exception& error) {
    return note(SWINIR_INTERNAL, error.what());
  } catch (...) {
    return note(SWINIR_INTERNAL, "An unknown exception.");
  }
}

}  // namespace swinir::core
