// What every plug-in shares: the library that it runs on, messages, the log, and the table of
// functions that libswinir calls.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "failure.hpp"
#include "runtimes/backend.h"
#include "system/shared_library.hpp"

namespace swinir::plugin {

using core::fail;
using core::Failure;
using core::text;

// No exception leaves a plug-in.
template <typename Action>
swinir_status guarded(swinir_backend_message* message, Action action) noexcept {
  const auto note = [message](swinir_status status, const char* reason) {
    std::snprintf(message->text, sizeof message->text, "%s", reason);
    return status;
  };
  return core::guarded(note, "The host's memory ran out.", action);
}

// Tells whether a library's message says that memory has run out: none has a code for it that could
// be relied on. The phrases of swinir_deploy/system/memory.py.
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

// Writes a text into a field of swinir_backend_graph, cut where it is too long.
template <std::size_t size>
void copy_text(char (&field)[size], const std::string& content) {
  std::snprintf(field, size, "%s", content.c_str());
}

// Where the library's own messages go: to the program's callback, up to the level it asked for.
class Log {
 public:
  explicit Log(const swinir_backend_options& options)
      : callback_(options.log), data_(options.log_data), level_(options.log_level) {}

  void operator()(std::int32_t level, const char* message) const {
    if (level <= level_) callback_(data_, level, message);
  }

 private:
  swinir_log_callback callback_;
  void* data_;
  std::int32_t level_;
};

// The library that a plug-in runs on. It stays loaded.
class Library {
 public:
  // Opens `path` if that is not null, else the first of `names` that the loader finds.
  // Throws Failure(SWINIR_BACKEND_MISSING), with `remedy`.
  Library(const char* path, std::initializer_list<const char*> names, const char* remedy) {
    std::string reasons;
    const auto open = [&](const char* name) {
      core::SharedLibrary library = core::open_shared_library(name);
      handle_ = library.handle;
      name_ = name;
      if (handle_ == nullptr) reasons += (reasons.empty() ? "" : "; ") + library.error;
      return handle_ != nullptr;
    };
    const bool opened =
        path != nullptr ? open(path) : std::any_of(names.begin(), names.end(), open);
    if (!opened) fail(SWINIR_BACKEND_MISSING, reasons, ". ", remedy);
  }

  const std::string& name() const { return name_; }

  // Throws Failure(SWINIR_BACKEND_MISMATCH) where the library has no such function.
  template <typename Function>
  Function* function(const char* symbol) const {
    auto* address = reinterpret_cast<Function*>(core::find_symbol(handle_, symbol));
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

}  // namespace swinir::plugin
