// What a model file says about itself; swinir_deploy/artifacts/metadata.py is the contract for ONNX
// files, swinir_deploy/artifacts/engine.py for engines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace swinir::core {

// Where a model comes from: a file, or bytes of the caller that live while it is opened.
struct ModelSource {
  std::string name;               // the path; for bytes, what messages call them
  const void* data = nullptr;     // null: the file
  std::size_t size = 0;           // bytes of `data`
  const char* sidecar = nullptr;  // of a plan in memory, a text that ends with a zero; null: ONNX
};

struct Metadata {
  std::int32_t io = 0;         // a SWINIR_IO constant
  std::int32_t precision = 0;  // SWINIR_FP32 ...
  std::int32_t scale = 0;
  std::int32_t channels = 0;      // of the input
  std::int32_t out_channels = 0;  // of the output
  std::int32_t window_px = 0;
  std::string backend;  // the one for such a file, where the caller names none
  std::string task, model_id, source_sha256, target;
};

// Reads metadata_props of an ONNX model, or the sidecar of a plan. A file is ONNX where its name
// ends in .onnx; the sidecar of any other is NAME.json beside it.
//
// Throws Failure(SWINIR_INVALID_MODEL): no such file, no such metadata, a newer schema, a value
// that makes no sense, a plan that is not the one that its sidecar describes, or one without
// weights.
Metadata read_metadata(const ModelSource& source);

}  // namespace swinir::core
