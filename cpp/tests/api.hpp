// Handles that close themselves, for tests of the C interface.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "check.hpp"
#include "model_file.hpp"
#include "swinir.h"

namespace swinir_test {

struct CloseModel {
  void operator()(swinir_model* model) const { swinir_model_close(model); }
};
struct DestroySession {
  void operator()(swinir_session* session) const { swinir_session_destroy(session); }
};
using Model = std::unique_ptr<swinir_model, CloseModel>;
using Session = std::unique_ptr<swinir_session, DestroySession>;

inline swinir_model_options fake_options(const char* behaviour = nullptr) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.backend = "fake";
  options.plugin_dir = SWINIR_TEST_PLUGIN_DIR;
  options.device = behaviour;
  return options;
}

inline swinir_status open(const std::string& path, const swinir_model_options& options,
                          Model& model) {
  swinir_model* raw = nullptr;
  const swinir_status status = swinir_model_open(path.c_str(), &options, &raw);
  CHECK((status == SWINIR_OK) == (raw != nullptr));
  model.reset(raw);
  return status;
}

// `sides` as in fake_backend.cpp, such as "tensor.-1x3x-1x-1".
inline Model fake_model(const Properties& properties = usual_properties(),
                        const char* behaviour = nullptr,
                        const std::string& sides = "tensor.-1x3x-1x-1") {
  const Folder folder;
  Model model;
  const std::string path = folder.file("x." + sides + ".onnx", onnx_bytes(properties));
  CHECK_STATUS(open(path, fake_options(behaviour), model), SWINIR_OK);
  return model;
}

inline Session session_of(const Model& model, const swinir_session_options* options = nullptr) {
  swinir_session* raw = nullptr;
  CHECK_STATUS(swinir_session_create(model.get(), options, &raw), SWINIR_OK);
  return Session(raw);
}

inline swinir_picture picture(void* data, std::int32_t width, std::int32_t height,
                              std::int32_t format = SWINIR_RGB, std::int32_t type = SWINIR_UINT8,
                              std::ptrdiff_t stride = 0) {
  return {data, width, height, format, type, stride};
}

// Bytes that look like noise; the same in every run.
inline std::vector<std::uint8_t> noise(std::size_t size, std::uint32_t seed = 1) {
  std::vector<std::uint8_t> bytes(size);
  for (std::uint8_t& byte : bytes) {
    seed = seed * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(seed >> 24);
  }
  return bytes;
}

}  // namespace swinir_test
