// The metadata_props of an ONNX file, without a library for ONNX.
#pragma once

#include <map>
#include <string>

namespace swinir::core {

// Keys and values as the file holds them; of equal keys the last one counts. The graph is skipped,
// not read, so this takes no time on a large file.
//
// Throws Failure(SWINIR_INVALID_MODEL) where the file cannot be read or is no protobuf message.
std::map<std::string, std::string> read_onnx_properties(const std::string& path);

}  // namespace swinir::core
