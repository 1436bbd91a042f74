// swinir.h for C++17: handles that close themselves, exceptions, callbacks that are any callable.
//
//   const swinir::Model model("model.onnx");
//   swinir::Session session(model);
//   session.restore(swinir::picture(in, width, height), swinir::picture(out, 2 * width, 2 *
//   height));
//
// Header only. swinir.h says what everything means.
#ifndef SWINIR_HPP
#define SWINIR_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "swinir.h"

namespace swinir {

// What a failed call throws; what() is the library's sentence.
class Error : public std::runtime_error {
 public:
  explicit Error(swinir_status status) : std::runtime_error(swinir_last_error()), status_(status) {}

  swinir_status status() const noexcept { return status_; }

 private:
  swinir_status status_;
};

inline void check(swinir_status status) {
  if (status != SWINIR_OK) throw Error(status);
}

// Pixels of the caller; `stride` in bytes, 0 for rows without a gap.
inline swinir_picture picture(std::uint8_t* data, std::int32_t width, std::int32_t height,
                              std::int32_t format = SWINIR_RGB, std::ptrdiff_t stride = 0) {
  return {data, width, height, format, SWINIR_UINT8, stride};
}

inline swinir_picture picture(float* data, std::int32_t width, std::int32_t height,
                              std::int32_t format = SWINIR_RGB, std::ptrdiff_t stride = 0) {
  return {data, width, height, format, SWINIR_FLOAT32, stride};
}

// For input only: an input is never written.
template <typename Sample>
swinir_picture picture(const Sample* data, std::int32_t width, std::int32_t height,
                       std::int32_t format = SWINIR_RGB, std::ptrdiff_t stride = 0) {
  return picture(const_cast<Sample*>(data), width, height, format, stride);
}

// Empty and zero mean the default; see swinir_model_options.
struct ModelOptions {
  std::string backend, device, library, plugin_dir;
  std::int32_t threads = 0;
  std::int32_t log_level = 0;
  std::int32_t precision = 0;
  // Called from any thread, also by several at once. What it throws is dropped.
  std::function<void(std::int32_t level, const char* message)> log;
};

// An opened file. Copies share it; may be used by any number of threads.
class Model {
 public:
  explicit Model(const std::string& path, ModelOptions options = {})
      : Model(std::move(options), [&](const swinir_model_options& plain, swinir_model** handle) {
          return swinir_model_open(path.c_str(), &plain, handle);
        }) {}

  // From the bytes of an ONNX file, or of an engine with the text of its sidecar; see
  // swinir_model_open_memory.
  static Model from_memory(const void* data, std::size_t size, ModelOptions options = {},
                           const std::string& sidecar = {}) {
    return Model(std::move(options), [&](const swinir_model_options& plain, swinir_model** handle) {
      return swinir_model_open_memory(data, size, sidecar.empty() ? nullptr : sidecar.c_str(),
                                      &plain, handle);
    });
  }

  // Its strings live as long as the model.
  swinir_model_info info() const {
    swinir_model_info info = SWINIR_MODEL_INFO_INIT;
    check(swinir_model_get_info(state_->handle, &info));
    return info;
  }

  std::array<std::int64_t, 4> output_shape(const std::array<std::int64_t, 4>& shape) const {
    std::array<std::int64_t, 4> output = {};
    check(swinir_model_output_shape(state_->handle, shape.data(), output.data()));
    return output;
  }

 private:
  friend class Session;

  struct State {
    explicit State(std::function<void(std::int32_t, const char*)> callback)
        : log(std::move(callback)) {}
    ~State() { swinir_model_close(handle); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    std::function<void(std::int32_t, const char*)> log;
    swinir_model* handle = nullptr;
  };

  template <typename Open>
  Model(ModelOptions options, Open open) : state_(std::make_shared<State>(std::move(options.log))) {
    const auto or_null = [](const std::string& text) {
      return text.empty() ? nullptr : text.c_str();
    };
    swinir_model_options plain = SWINIR_MODEL_OPTIONS_INIT;
    plain.backend = or_null(options.backend);
    plain.device = or_null(options.device);
    plain.library = or_null(options.library);
    plain.plugin_dir = or_null(options.plugin_dir);
    plain.threads = options.threads;
    plain.log_level = options.log_level;
    plain.precision = options.precision;
    if (state_->log) {
      plain.log = forward_log;
      plain.log_data = state_.get();
    }
    check(open(plain, &state_->handle));
  }

  static void forward_log(void* state, std::int32_t level, const char* message) noexcept {
    try {
      static_cast<State*>(state)->log(level, message);
    } catch (...) {  // nothing may be thrown through the library
    }
  }

  std::shared_ptr<State> state_;
};

// Zero means the default; see swinir_session_options.
struct SessionOptions {
  std::int32_t tile_px = 0;
  std::int32_t overlap_px = 0;
  std::int32_t batch = 0;
  // True to go on. What it throws cancels the call and comes out of it.
  std::function<bool(std::int64_t done, std::int64_t total)> progress;
};

// What one thread computes with. Keeps the model open.
class Session {
 public:
  explicit Session(const Model& model, SessionOptions options = {})
      : state_(std::make_unique<State>(model.state_, std::move(options.progress))) {
    swinir_session_options plain = SWINIR_SESSION_OPTIONS_INIT;
    plain.tile_px = options.tile_px;
    plain.overlap_px = options.overlap_px;
    plain.batch = options.batch;
    if (state_->progress) {
      plain.progress = forward_progress;
      plain.progress_data = state_.get();
    }
    check(swinir_session_create(model.state_->handle, &plain, &state_->handle));
  }

  void restore(const swinir_picture& input, const swinir_picture& output) {
    const swinir_status status = swinir_session_restore(state_->handle, &input, &output);
    if (state_->thrown) std::rethrow_exception(std::exchange(state_->thrown, nullptr));
    check(status);
  }

  // The model itself; `output_bytes` as Model::output_shape asks for.
  void run(const void* input, const std::array<std::int64_t, 4>& shape, void* output,
           std::size_t output_bytes) {
    check(swinir_session_run(state_->handle, input, shape.data(), output, output_bytes));
  }

  swinir_memory memory() const {
    swinir_memory memory = SWINIR_MEMORY_INIT;
    check(swinir_session_get_memory(state_->handle, &memory));
    return memory;
  }

 private:
  struct State {
    State(std::shared_ptr<Model::State> opened,
          std::function<bool(std::int64_t, std::int64_t)> callback)
        : model(std::move(opened)), progress(std::move(callback)) {}
    ~State() { swinir_session_destroy(handle); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    std::shared_ptr<Model::State> model;  // its log must outlive the session
    std::function<bool(std::int64_t, std::int64_t)> progress;
    std::exception_ptr thrown;
    swinir_session* handle = nullptr;
  };

  static std::int32_t forward_progress(void* data, std::int64_t done, std::int64_t total) noexcept {
    State& state = *static_cast<State*>(data);
    try {
      return state.progress(done, total) ? 0 : 1;
    } catch (...) {
      state.thrown = std::current_exception();
      return 1;
    }
  }

  std::unique_ptr<State> state_;
};

}  // namespace swinir

#endif
