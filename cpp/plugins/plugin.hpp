// What the plug-ins share: failing with a message, and finding the library that they run on.
#pragma once

#include <dlfcn.h>

#include <cstdio>
#include <exception>
#include <initializer_list>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

#include "backend.h"

namespace swinir_plugin {

class Failure : public std::runtime_error {
 public:
  Failure(swinir_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}

  swinir_status status() const { return status_; }

 private:
  swinir_status status_;
};

template <typename... Parts>
[[noreturn]] void fail(swinir_status status, const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  throw Failure(status, stream.str());
}

inline swinir_status note(swinir_backend_message* message, swinir_status status, const char* text) {
  std::snprintf(message->text, sizeof message->text, "%s", text);
  return status;
}

// No exception leaves a plug-in.
template <typename Action>
swinir_status guarded(swinir_backend_message* message, Action action) noexcept {
  try {
    action();
    return SWINIR_OK;
  } catch (const Failure& failure) {
    return note(message, failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    return note(message, SWINIR_OUT_OF_MEMORY, "The host's memory ran out.");
  } catch (const std::exception& error) {
    return note(message, SWINIR_INTERNAL, error.what());
  } catch (...) {
    return note(message, SWINIR_INTERNAL, "An unknown exception.");
  }
}

// A shared object that stays loaded: its threads and thread-local data outlive any model.
class Library {
 public:
  // Opens `path` if that is not null, else the first of `names` that the loader finds.
  // Throws Failure(SWINIR_BACKEND_MISSING), with `remedy`.
  Library(const char* path, std::initializer_list<const char*> names, const char* remedy) {
    std::string reasons;
    const auto open = [&](const char* name) {
      handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
      if (handle_ == nullptr) reasons += (reasons.empty() ? "" : "; ") + std::string(dlerror());
      name_ = name;
      return handle_ != nullptr;
    };
    if (path != nullptr) {
      if (open(path)) return;
    } else {
      for (const char* name : names) {
        if (open(name)) return;
      }
    }
    fail(SWINIR_BACKEND_MISSING, reasons, ". ", remedy);
  }

  const std::string& name() const { return name_; }

  // Throws Failure(SWINIR_BACKEND_MISMATCH) where the library has no such function.
  template <typename Function>
  Function* function(const char* symbol) const {
    auto* address = reinterpret_cast<Function*>(dlsym(handle_, symbol));
    if (address == nullptr) {
      fail(SWINIR_BACKEND_MISMATCH, name_, ": has no function ", symbol,
           ". It is another library, or an unknown version of it.");
    }
    return address;
  }

 private:
  void* handle_ = nullptr;
  std::string name_;
};

}  // namespace swinir_plugin
