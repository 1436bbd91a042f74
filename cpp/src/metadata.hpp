// What a model file says about itself; swinir_deploy/artifact.py is the contract for ONNX files,
// swinir_deploy/engine_files.py for engines.
#pragma once

#include <cstdint>
#include <string>

namespace swinir::core {

struct Metadata {
  std::int32_t io = 0;         // a SWINIR_IO constant
  std::int32_t precision = 0;  // SWINIR_FP32 ...
  std::int32_t scale = 0;
  std::int32_t channels = 0;
  std::int32_t window_px = 0;
  std::string backend;  // that opens such a file, where none is asked for
  std::string task, model_id, source_sha256, target;
};

// Reads metadata_props of NAME.onnx, or of anything else the sidecar NAME.json beside it.
//
// Throws Failure(SWINIR_INVALID_MODEL): no such file, no such metadata, a newer schema, a value
// that makes no sense, or a plan that is not the one that its sidecar describes.
Metadata read_metadata(const std::string& path);

}  // namespace swinir::core
