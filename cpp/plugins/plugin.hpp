// What the plug-ins share: failing with a message, finding the library that they run on, and the
// table of functions that libswinir calls.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "runtimes/backend.h"

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

// Whether a library's message says that memory has run out: none has a code for it that could be
// relied on. The phrases of swinir_deploy/system/memory.py.
inline bool is_out_of_memory(const std::string& reason) {
  static constexpr std::string_view kPhrases[] = {
      "alloc_failed",
      "bad allocation",
      "bad_alloc",
      "bfcarena",  // ONNX Runtime's allocator, which names itself when it has nothing left
      "can't allocate memory",
      "cannot allocate memory",
      "cl_out_of",  // OpenCL's codes, as OpenVINO passes them on
      "failed to allocate",
      "not enough memory",
      "out of memory",
      "out_of_memory",
      "outofmemory",
      "unable to allocate"};
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return std::any_of(std::begin(kPhrases), std::end(kPhrases), [&](std::string_view phrase) {
    return std::search(reason.begin(), reason.end(), phrase.begin(), phrase.end(), same) !=
           reason.end();
  });
}

// `status`, or SWINIR_OUT_OF_MEMORY where that is what the message says.
inline swinir_status status_of(const std::string& reason, swinir_status status) {
  return is_out_of_memory(reason) ? SWINIR_OUT_OF_MEMORY : status;
}

// Owns an object of a C library.
template <typename Object>
using Owned = std::unique_ptr<Object, void (*)(Object*)>;

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

// The functions that libswinir calls, over two classes of the plug-in:
//
//   Model(const swinir_backend_options&)     opens; throws Failure
//   describe(swinir_backend_graph&)
//   Session(Model&)                          throws Failure
//   run(input, input_shape, output, output_shape)
//   bytes() const                            held for the session; 0: unknown
template <typename Model, typename Session>
struct Functions {
  static swinir_status model_open(const swinir_backend_options* options, Model** model,
                                  swinir_backend_graph* graph, swinir_backend_message* message) {
    return guarded(message, [=] {
      auto opened = std::make_unique<Model>(*options);
      opened->describe(*graph);
      *model = opened.release();
    });
  }

  static void model_close(Model* model) { delete model; }

  static swinir_status session_open(Model* model, Session** session,
                                    swinir_backend_message* message) {
    return guarded(message, [=] { *session = new Session(*model); });
  }

  static void session_close(Session* session) { delete session; }

  static swinir_status session_run(Session* session, const void* input,
                                   const std::int64_t input_shape[4], void* output,
                                   const std::int64_t output_shape[4],
                                   swinir_backend_message* message) {
    return guarded(message, [=] { session->run(input, input_shape, output, output_shape); });
  }

  static std::uint64_t session_bytes(const Session* session) { return session->bytes(); }
};

constexpr swinir_backend backend_table(const char* name) {
  using F = Functions<swinir_backend_model, swinir_backend_session>;
  return {SWINIR_BACKEND_ABI, name,           F::model_open,   F::model_close, F::session_open,
          F::session_close,   F::session_run, F::session_bytes};
}

}  // namespace swinir_plugin
