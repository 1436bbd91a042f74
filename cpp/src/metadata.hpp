// What an exported file says about itself; swinir_deploy/artifact.py is the contract.
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
  std::string task, model_id, source_sha256, target;

  // Smallest side that the graph takes: it pads by reflection, which needs more than half a window.
  std::int32_t min_side_px() const { return window_px / 2 + 1; }
};

// Reads metadata_props of NAME.onnx, or the sidecar NAME.json beside anything else.
//
// Throws Failure(SWINIR_INVALID_MODEL): no such file, no such metadata, a newer schema, or a value
// that makes no sense.
Metadata read_metadata(const std::string& path);

// Whether the name ends in .onnx, in whatever case.
bool is_onnx_path(const std::string& path);

}  // namespace swinir::core
