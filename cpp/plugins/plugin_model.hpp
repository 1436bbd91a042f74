// What plug-ins share that open ONNX files through the C interface of a library, ONNX Runtime and
// OpenVINO today.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "plugin.hpp"

namespace swinir::plugin {

// Owns an object of a C library.
template <typename Object>
using Owned = std::unique_ptr<Object, void (*)(Object*)>;

// Throws what a status of the library says, beginning with `what`. Of `Api` is used
//
//   Status                                              the type of its statuses
//   std::optional<std::string> failure(Status) const    nothing: the call went well; else the
//                                                       reason, in one line; frees the status
template <typename Api>
class Check {
 public:
  Check(const Api& api, swinir_status status, std::string what)
      : api_(api), status_(status), what_(std::move(what)) {}

  void operator()(typename Api::Status result) const {
    const std::optional<std::string> reason = api_.failure(result);
    if (!reason) return;
    const bool out_of_memory = is_out_of_memory(*reason);
    fail(out_of_memory ? SWINIR_OUT_OF_MEMORY : status_, what_, " (", *reason, ").");
  }

 private:
  const Api& api_;
  swinir_status status_;
  std::string what_;
};

// One input or output of a graph.
struct Port {
  std::int32_t type = 0;                // SWINIR_FLOAT32, SWINIR_UINT8; 0: another
  std::int32_t rank = 0;                // 0: unknown
  std::array<std::int64_t, 4> shape{};  // of rank 4; -1: any
};

// The type of samples that libswinir works with, or 0. `Type` is an enumeration of the library.
template <typename Type>
std::int32_t sample_type(Type type, Type float32, Type uint8) {
  return type == float32 ? SWINIR_FLOAT32 : type == uint8 ? SWINIR_UINT8 : 0;
}

// Fills in what libswinir wants to know of an opened model. Of `Model` are used
//
//   version, device                      texts
//   precision                            a SWINIR constant; 0: the file's own
//   ports(bool input)                    how many inputs or outputs there are
//   port(bool input)                     the first of them
template <typename Model>
void describe_model(const Model& model, swinir_backend_graph& graph) {
  graph.inputs = static_cast<std::int32_t>(model.ports(true));
  graph.outputs = static_cast<std::int32_t>(model.ports(false));
  graph.precision = model.precision;
  copy_text(graph.library_version, model.version);
  copy_text(graph.device, model.device);
  if (graph.inputs == 0 || graph.outputs == 0) return;
  const Port input = model.port(true);
  graph.input_type = input.type;
  graph.input_rank = input.rank;
  std::copy(input.shape.begin(), input.shape.end(), graph.shape);
  graph.output_type = model.port(false).type;
}

// Says what failed, with the shape that was asked for.
inline std::string failed_on(const char* library, const std::int64_t shape[4]) {
  return text(library, " failed on an input of [", shape[0], ", ", shape[1], ", ", shape[2], ", ",
              shape[3], "]");
}

// Number of samples in a tensor.
inline std::size_t samples_of(const std::int64_t shape[4]) {
  std::size_t samples = 1;
  for (int axis = 0; axis < 4; ++axis) samples *= static_cast<std::size_t>(shape[axis]);
  return samples;
}

}  // namespace swinir::plugin
