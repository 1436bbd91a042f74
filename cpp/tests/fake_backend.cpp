// A back end for tests: repeats pixels, and misbehaves when asked to.
//
// The file's name says what the graph is like, such as x.tensor.-1x3x-1x64.onnx or
// x.image.4x3x8x16.onnx (batch, channels, height, width; -1: any); of a model in memory the option
// `library` says it. The option `device` says how to behave: "memory:N" (none for sides above N
// pixels, or for batches), "nan", "fails", "unknown-status", "throws", "no-device", "two-inputs",
// "min-side", "log".
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "plugin.hpp"
#include "runtimes/backend.h"

using swinir::plugin::fail;

namespace {

constexpr std::int64_t kMinSide = 40;

// "x.image.4x3x8x16.onnx": image or tensor, then batch, channels, height, width.
bool parse_name(const char* path, swinir_backend_graph& graph, bool& is_image) {
  const std::string name = path;
  const auto image = name.rfind(".image."), tensor = name.rfind(".tensor.");
  is_image = image != std::string::npos;
  const auto start = is_image ? image + 7 : tensor == std::string::npos ? tensor : tensor + 8;
  if (start == std::string::npos) return false;
  long sides[4];
  if (std::sscanf(name.c_str() + start, "%ldx%ldx%ldx%ld", &sides[0], &sides[1], &sides[2],
                  &sides[3]) != 4) {
    return false;
  }
  const int order[2][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}};
  for (int axis = 0; axis < 4; ++axis) graph.shape[axis] = sides[order[is_image ? 1 : 0][axis]];
  graph.inputs = graph.outputs = 1;
  graph.input_rank = 4;
  graph.input_type = graph.output_type = is_image ? SWINIR_UINT8 : SWINIR_FLOAT32;
  return true;
}

// out[y, x] = in[y / scale, x / scale], for dense [outer, height, width, inner].
template <typename Sample>
void enlarge(const Sample* in, Sample* out, const std::int64_t (&from)[4], std::int64_t scale) {
  for (std::int64_t n = 0; n < from[0]; ++n) {
    for (std::int64_t y = 0; y < from[1] * scale; ++y) {
      for (std::int64_t x = 0; x < from[2] * scale; ++x) {
        const auto* pixel = in + ((n * from[1] + y / scale) * from[2] + x / scale) * from[3];
        for (std::int64_t c = 0; c < from[3]; ++c) *out++ = pixel[c];
      }
    }
  }
}

}  // namespace

struct swinir_backend_model {
  explicit swinir_backend_model(const swinir_backend_options& options)
      : behaviour(options.device != nullptr ? options.device : "") {
    const char* name = options.data != nullptr ? options.library : options.path;
    if (name == nullptr || !parse_name(name, parsed, is_image)) {
      fail(SWINIR_INVALID_MODEL, options.path, ": not a name for the fake back end");
    }
    if (behaviour == "no-device") fail(SWINIR_DEVICE_UNAVAILABLE, "There is no such device.");
    if (behaviour == "two-inputs") parsed.inputs = 2;
    if (behaviour == "min-side") parsed.min_side = kMinSide;
    if (behaviour == "log") options.log(options.log_data, SWINIR_LOG_WARNING, "opened");
    std::strcpy(parsed.library_version, "7.8.9");
    std::strcpy(parsed.device, "fake");
  }

  void describe(swinir_backend_graph& graph) const { graph = parsed; }

  std::string behaviour;
  bool is_image = false;
  swinir_backend_graph parsed = {};
};

struct swinir_backend_session {
  explicit swinir_backend_session(const swinir_backend_model& opened) : model(opened) {}

  void run(const void* input, const std::int64_t in[4], void* output,
           const std::int64_t out[4]) const {
    const std::string& behaviour = model.behaviour;
    const bool is_image = model.is_image;
    const std::int64_t height = in[is_image ? 1 : 2], width = in[is_image ? 2 : 3];
    const std::int64_t scale = out[is_image ? 1 : 2] / height;
    if (behaviour == "unknown-status") fail(99, "Nobody knows.");
    if (behaviour == "min-side" && std::min(height, width) < kMinSide) {
      fail(SWINIR_INTERNAL, "The side is ", std::min(height, width), ".");
    }
    if (behaviour == "fails") fail(SWINIR_INFERENCE_FAILED, "It does not work today.");
    if (behaviour == "throws") throw std::runtime_error("a defect");
    if (behaviour.rfind("memory:", 0) == 0 &&
        (std::max(height, width) > std::stol(behaviour.substr(7)) || in[0] > 1)) {
      fail(SWINIR_OUT_OF_MEMORY, "Too large.");
    }
    if (is_image) {
      enlarge(static_cast<const std::uint8_t*>(input), static_cast<std::uint8_t*>(output),
              {in[0], height, width, in[3]}, scale);
    } else {
      auto* values = static_cast<float*>(output);
      enlarge(static_cast<const float*>(input), values, {in[0] * in[1], height, width, 1}, scale);
      if (behaviour == "nan") values[0] = std::numeric_limits<float>::quiet_NaN();
    }
  }

  std::uint64_t bytes() const { return 4242; }

  const swinir_backend_model& model;
};

extern "C" SWINIR_BACKEND_EXPORT const swinir_backend* swinir_backend_entry() {
  static constexpr swinir_backend kBackend = [] {
    swinir_backend table = swinir::plugin::backend_table("fake");
#ifdef FAKE_ABI
    table.abi = FAKE_ABI;
#endif
    return table;
  }();
  return &kBackend;
}
