// The C border: no exception passes it, and every failure leaves its sentence in the thread.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <memory>

#include "api/options.hpp"
#include "failure.hpp"
#include "restoration/session.hpp"
#include "runtimes/model.hpp"
#include "swinir.h"

struct swinir_model {
  std::shared_ptr<const swinir::core::Model> model;
};

struct swinir_session {
  swinir_session(const swinir_model& model, const swinir_session_options& options)
      : session(model.model, options) {}

  swinir::core::Session session;
  mutable std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

namespace {

// A fixed array: noting that memory has run out must not need memory.
thread_local char last_error[1024] = "";

swinir_status note(swinir_status status, const char* message) noexcept {
  const std::size_t size = std::min(std::strlen(message), sizeof last_error - 1);
  std::memmove(last_error, message, size);
  last_error[size] = '\0';
  // What a file says may stand in a message: no line breaks, no terminal's control sequences.
  std::replace_if(
      last_error, last_error + size, [](unsigned char c) { return c < ' ' || c == 0x7F; }, '?');
  return status;
}

template <typename Action>
swinir_status guarded(Action action) noexcept {
  return swinir::core::guarded(note, "Not enough memory. Use smaller tiles or pictures.", action);
}

template <typename... Pointers>
void require_pointers(Pointers... pointers) {
  if ((!pointers || ...)) {
    swinir::core::fail(SWINIR_INVALID_ARGUMENT, "A pointer is NULL that must not be.");
  }
}

// Lets one call at a time use a session.
class Use {
 public:
  explicit Use(const swinir_session& session) : busy_(session.busy) {
    if (busy_.test_and_set(std::memory_order_acquire)) {
      swinir::core::fail(SWINIR_BUSY,
                         "The session is in use by another call. Create one for each thread.");
    }
  }
  ~Use() { busy_.clear(std::memory_order_release); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  std::atomic_flag& busy_;
};

swinir_model* open_model(const swinir::core::ModelSource& source,
                         const swinir_model_options* options) {
  const auto complete = swinir::core::read_options(options, "swinir_model_options");
  auto opened = std::make_unique<swinir_model>();
  opened->model = std::make_shared<const swinir::core::Model>(source, complete);
  return opened.release();
}

constexpr const char* kStatusNames[] = {"SWINIR_OK",
                                        "SWINIR_INVALID_ARGUMENT",
                                        "SWINIR_INVALID_PICTURE",
                                        "SWINIR_INVALID_MODEL",
                                        "SWINIR_BACKEND_MISSING",
                                        "SWINIR_BACKEND_MISMATCH",
                                        "SWINIR_DEVICE_UNAVAILABLE",
                                        "SWINIR_OUT_OF_MEMORY",
                                        "SWINIR_INFERENCE_FAILED",
                                        "SWINIR_NOT_FINITE",
                                        "SWINIR_CANCELLED",
                                        "SWINIR_BUSY",
                                        "SWINIR_INTERNAL"};

#define SWINIR_TEXT_OF(x) #x
#define SWINIR_TEXT(x) SWINIR_TEXT_OF(x)

}  // namespace

const char* swinir_version(void) {
  return SWINIR_TEXT(SWINIR_VERSION_MAJOR) "." SWINIR_TEXT(SWINIR_VERSION_MINOR) "." SWINIR_TEXT(
      SWINIR_VERSION_PATCH);
}

const char* swinir_last_error(void) { return last_error; }

const char* swinir_status_name(swinir_status status) {
  const bool known = status >= 0 && status < static_cast<swinir_status>(std::size(kStatusNames));
  return known ? kStatusNames[status] : "SWINIR_UNKNOWN";
}

swinir_status swinir_model_open(const char* path, const swinir_model_options* options,
                                swinir_model** model) {
  return guarded([=] {
    require_pointers(model);
    *model = nullptr;
    require_pointers(path);
    *model = open_model({path}, options);
  });
}

swinir_status swinir_model_open_memory(const void* data, size_t size, const char* sidecar,
                                       const swinir_model_options* options, swinir_model** model) {
  return guarded([=] {
    require_pointers(model);
    *model = nullptr;
    require_pointers(data);
    *model = open_model({"the model in memory", data, size, sidecar}, options);
  });
}

void swinir_model_close(swinir_model* model) { delete model; }

swinir_status swinir_model_get_info(const swinir_model* model, swinir_model_info* info) {
  return guarded([=] {
    require_pointers(model, info);
    swinir::core::write_answer(model->model->info(), info, "swinir_model_info");
  });
}

swinir_status swinir_model_output_shape(const swinir_model* model, const int64_t shape[4],
                                        int64_t output_shape[4]) {
  return guarded([=] {
    require_pointers(model, shape, output_shape);
    const auto output = model->model->output_shape({shape[0], shape[1], shape[2], shape[3]});
    std::copy(output.begin(), output.end(), output_shape);
  });
}

swinir_status swinir_session_create(const swinir_model* model,
                                    const swinir_session_options* options,
                                    swinir_session** session) {
  return guarded([=] {
    require_pointers(session);
    *session = nullptr;
    require_pointers(model);
    const auto complete = swinir::core::read_options(options, "swinir_session_options");
    *session = new swinir_session(*model, complete);
  });
}

void swinir_session_destroy(swinir_session* session) { delete session; }

swinir_status swinir_session_get_memory(const swinir_session* session, swinir_memory* memory) {
  return guarded([=] {
    require_pointers(session, memory);
    const Use use(*session);
    swinir::core::write_answer(session->session.memory(), memory, "swinir_memory");
  });
}

swinir_status swinir_session_restore(swinir_session* session, const swinir_picture* input,
                                     const swinir_picture* output) {
  return guarded([=] {
    require_pointers(session, input, output);
    const Use use(*session);
    session->session.restore(*input, *output);
  });
}

swinir_status swinir_session_run(swinir_session* session, const void* input, const int64_t shape[4],
                                 void* output, size_t output_bytes) {
  return guarded([=] {
    require_pointers(session, input, shape, output);
    const Use use(*session);
    session->session.run(input, {shape[0], shape[1], shape[2], shape[3]}, output, output_bytes);
  });
}
