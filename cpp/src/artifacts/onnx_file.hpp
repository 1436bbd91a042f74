// The metadata_props of an ONNX model, without a library for ONNX.
#pragma once

#include <map>
#include <string>

#include "system/file.hpp"

namespace swinir::core {

// Returns keys and values as the file holds them; of equal keys the last one counts. The graph is
// skipped, not read, so this takes no time on a large file.
//
// Throws Failure(SWINIR_INVALID_MODEL), which names `name`, where it is no protobuf message.
std::map<std::string, std::string> read_onnx_properties(InputFile& file, const std::string& name);

}  // namespace swinir::core
