/**
 * @file
 * @brief swinir.h for C++17: handles that close themselves, exceptions, any callable as a callback.
 *
 * Header only. swinir.h says what everything means; what fails there throws swinir::Error here.
 *
 * @code{.cpp}
 * void restore_rgb(const std::string& path, const std::uint8_t* in, std::uint8_t* out,
 *                  std::int32_t width, std::int32_t height) {
 *   const swinir::Model model(path);  // share it between threads
 *   swinir::Session session(model);   // one for each thread
 *   const std::int32_t scale = model.info().scale;
 *   session.restore(swinir::picture(in, width, height),
 *                   swinir::picture(out, scale * width, scale * height));
 * }
 * @endcode
 */
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

/** The C++ interface of libswinir. */
namespace swinir {

/** What a failed call throws; what() is the library's sentence. */
class Error : public std::runtime_error {
 public:
  /** Takes the sentence from swinir_last_error(). @param status  what the call returned */
  explicit Error(swinir_status status) : std::runtime_error(swinir_last_error()), status_(status) {}

  /** Tells why. @return the status of the call that failed */
  swinir_status status() const noexcept { return status_; }

 private:
  swinir_status status_;
};

/** Throws Error unless a call went well. @param status  what it returned */
inline void check(swinir_status status) {
  if (status != SWINIR_OK) throw Error(status);
}

/**
 * Describes pixels of bytes that belong to the caller.
 *
 * @param data    first sample of the top left pixel
 * @param width   in pixels
 * @param height  in pixels
 * @param format  ::SWINIR_RGB, ...
 * @param stride  bytes from a row to the one below it; 0: rows without a gap
 * @return for Session::restore
 */
inline swinir_picture picture(std::uint8_t* data, std::int32_t width, std::int32_t height,
                              std::int32_t format = SWINIR_RGB, std::ptrdiff_t stride = 0) {
  return {data, width, height, format, SWINIR_UINT8, stride};
}

/** Describes pixels of floats, 0..1; otherwise the same. @copydetails picture() */
inline swinir_picture picture(float* data, std::int32_t width, std::int32_t height,
                              std::int32_t format = SWINIR_RGB, std::ptrdiff_t stride = 0) {
  return {data, width, height, format, SWINIR_FLOAT32, stride};
}

/** Describes an input, which is never written; otherwise the same. @copydetails picture() */
template <typename Sample>
swinir_picture picture(const Sample* data, std::int32_t width, std::int32_t height,
                       std::int32_t format = SWINIR_RGB, std::ptrdiff_t stride = 0) {
  return picture(const_cast<Sample*>(data), width, height, format, stride);
}

/** How to open a model. Empty and zero mean the default; see ::swinir_model_options. */
struct ModelOptions {
  std::string backend;         /**< swinir_model_options::backend */
  std::string device;          /**< swinir_model_options::device */
  std::string library;         /**< swinir_model_options::library */
  std::string plugin_dir;      /**< swinir_model_options::plugin_dir */
  std::int32_t threads = 0;    /**< swinir_model_options::threads */
  std::int32_t log_level = 0;  /**< swinir_model_options::log_level */
  std::int32_t precision = 0;  /**< swinir_model_options::precision */
  /** Called from any thread, also by several at once. What it throws is dropped. */
  std::function<void(std::int32_t level, const char* message)> log;
};

/** An opened file. Copies share it; any number of threads may use it. */
class Model {
 public:
  /**
   * Opens a file; see swinir_model_open().
   *
   * @param path     in UTF-8
   * @param options  how
   * @throws Error
   */
  explicit Model(const std::string& path, ModelOptions options = {})
      : Model(std::move(options), [&](const swinir_model_options& plain, swinir_model** handle) {
          return swinir_model_open(path.c_str(), &plain, handle);
        }) {}

  /**
   * Opens a model from memory; see swinir_model_open_memory().
   *
   * @param data     the bytes of an ONNX file, or of an engine
   * @param size     their number
   * @param options  how
   * @param sidecar  of an engine, the text of its sidecar; empty: data is an ONNX file
   * @return the model
   * @throws Error
   */
  static Model from_memory(const void* data, std::size_t size, ModelOptions options = {},
                           const std::string& sidecar = {}) {
    return Model(std::move(options), [&](const swinir_model_options& plain, swinir_model** handle) {
      return swinir_model_open_memory(data, size, sidecar.empty() ? nullptr : sidecar.c_str(),
                                      &plain, handle);
    });
  }

  /** Describes the model. @return strings that live as long as the model @throws Error */
  swinir_model_info info() const {
    swinir_model_info info = SWINIR_MODEL_INFO_INIT;
    check(swinir_model_get_info(state_->handle, &info));
    return info;
  }

  /**
   * Returns what the model gives for a batch; see swinir_model_output_shape().
   *
   * @param shape  of the input
   * @return that of the output
   * @throws Error
   */
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

/** How a session works. Zero means the default; see ::swinir_session_options. */
struct SessionOptions {
  std::int32_t tile_px = 0;    /**< swinir_session_options::tile_px */
  std::int32_t overlap_px = 0; /**< swinir_session_options::overlap_px */
  std::int32_t batch = 0;      /**< swinir_session_options::batch */
  /** Returns true to go on. What it throws cancels the call and comes out of it. */
  std::function<bool(std::int64_t done, std::int64_t total)> progress;
};

/** What one thread computes with. Keeps the model open. */
class Session {
 public:
  /**
   * Creates a session; see swinir_session_create().
   *
   * @param model    to compute with
   * @param options  how
   * @throws Error
   */
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

  /**
   * Restores a picture; see swinir_session_restore().
   *
   * @param input   the picture
   * @param output  where the result goes
   * @throws Error, and what SessionOptions::progress throws
   */
  void restore(const swinir_picture& input, const swinir_picture& output) {
    const swinir_status status = swinir_session_restore(state_->handle, &input, &output);
    if (state_->thrown) std::rethrow_exception(std::exchange(state_->thrown, nullptr));
    check(status);
  }

  /**
   * Runs the model itself; see swinir_session_run().
   *
   * @param input         a dense array
   * @param shape         its shape
   * @param output        another one
   * @param output_bytes  its size, as Model::output_shape asks for
   * @throws Error
   */
  void run(const void* input, const std::array<std::int64_t, 4>& shape, void* output,
           std::size_t output_bytes) {
    check(swinir_session_run(state_->handle, input, shape.data(), output, output_bytes));
  }

  /** Tells how much memory the session holds. @return bytes @throws Error */
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
