// How tests steer the stand-in of CUDA's driver (fake_cuda.cpp), and what it tells them.
#pragma once

#include <cstdint>
#include <string>

#include "check.hpp"
#include "system/shared_library.hpp"

namespace swinir_test {

class FakeCuda {
 public:
  explicit FakeCuda(const std::string& path)
      : library_(swinir::core::open_shared_library(path).handle) {
    CHECK(library_ != nullptr);
  }

  // Forgets everything but what is still held, and brings back the usual machine.
  void reset() const { function<void()>("fake_cuda_reset")(); }

  // "devices", "major", "minor", "version", "shared_bytes" (of a block), "memory" (bytes of a GPU),
  // "quiet" (1: no log).
  void set(const char* name, std::int64_t value) const {
    function<void(const char*, std::int64_t)>("fake_cuda_set")(name, value);
  }

  // Has the `turn`-th call of a function from now on return an error, 1 the next.
  void fail(const char* name, int turn, int code) const {
    function<void(const char*, int, int)>("fake_cuda_fail")(name, turn, code);
  }

  // Returns what was done since the reset, one thing a line.
  std::string log() const { return function<const char*()>("fake_cuda_log")(); }

  // Returns what is held now: "" where nothing is.
  std::string held() const { return function<const char*()>("fake_cuda_held")(); }

  // Returns how often a function was called since the reset.
  int calls(const char* name) const { return function<int(const char*)>("fake_cuda_calls")(name); }

 private:
  template <typename Function>
  Function* function(const char* name) const {
    auto* found = reinterpret_cast<Function*>(swinir::core::find_symbol(library_, name));
    CHECK(found != nullptr);
    return found;
  }

  void* library_;
};

}  // namespace swinir_test
