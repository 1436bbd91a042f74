#include "runtimes/model.hpp"

#include <algorithm>
#include <cstring>

#include "failure.hpp"
#include "runtimes/plugin_loader.hpp"

namespace swinir::core {
namespace {

void log_nothing(void*, std::int32_t, const char*) {}

const char* or_empty(const char* string) { return string == nullptr ? "" : string; }

std::string describe(const Shape& shape) {
  return text("[", shape[0], ", ", shape[1], ", ", shape[2], ", ", shape[3], "]");
}

}  // namespace

void check_backend(const swinir_backend& backend, swinir_status status,
                   const swinir_backend_message& message) {
  if (status == SWINIR_OK) return;
  if (status < SWINIR_OK || status > SWINIR_INTERNAL) {
    fail(SWINIR_INTERNAL, "The back end ", backend.name, " returned status ", status,
         ", which does not exist.");
  }
  const std::string reason(message.text, strnlen(message.text, sizeof message.text));
  throw Failure(status, reason);
}

Model::Model(const ModelSource& source, const swinir_model_options& options)
    : name_(source.name),
      metadata_(read_metadata(source)),
      backend_(&load_backend(options.backend != nullptr ? options.backend : metadata_.backend,
                             or_empty(options.plugin_dir))) {
  if (options.threads < 0) {
    fail(SWINIR_INVALID_ARGUMENT, "threads is ", options.threads, "; it must be at least 1, or 0.");
  }
  if (options.log_level < 0 || options.log_level > SWINIR_LOG_DEBUG) {
    fail(SWINIR_INVALID_ARGUMENT, "log_level is ", options.log_level, "; it must be from 0 to ",
         SWINIR_LOG_DEBUG, ".");
  }
  if (options.precision < 0 || options.precision > SWINIR_BF16) {
    fail(SWINIR_INVALID_ARGUMENT, "precision is ", options.precision,
         "; it must be SWINIR_FP32, SWINIR_FP16, SWINIR_BF16 or 0.");
  }
  swinir_backend_options requested = {};
  requested.path = source.name.c_str();
  requested.data = source.data;
  requested.size = source.size;
  requested.library = options.library;
  requested.device = options.device;
  requested.threads = options.threads;
  requested.precision = options.precision;
  requested.log_level = options.log_level != 0 ? options.log_level : SWINIR_LOG_WARNING;
  requested.log = options.log != nullptr ? options.log : log_nothing;
  requested.log_data = options.log_data;
  swinir_backend_message message = {};
  check_backend(*backend_, backend_->model_open(&requested, &handle_, &graph_, &message), message);
  try {
    check_graph();
    check_precision(options.precision);
  } catch (...) {
    backend_->model_close(handle_);
    throw;
  }
}

Model::~Model() { backend_->model_close(handle_); }

swinir_model_info Model::info() const {
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  info.scale = metadata_.scale;
  info.channels = metadata_.channels;
  info.window_px = metadata_.window_px;
  info.min_side_px = static_cast<std::int32_t>(min_side());
  info.io = metadata_.io;
  // The coarser of both: half weights stay half weights in FP32 arithmetic. 0: not chosen.
  info.precision = std::max(metadata_.precision, graph_.precision);
  info.batch = batch();
  info.height = height();
  info.width = width();
  info.task = metadata_.task.c_str();
  info.model_id = metadata_.model_id.c_str();
  info.source_sha256 = metadata_.source_sha256.c_str();
  info.target = metadata_.target.c_str();
  info.backend = backend_->name;
  info.backend_version = graph_.library_version;
  info.device = graph_.device;
  info.out_channels = metadata_.out_channels;
  return info;
}

std::int64_t Model::min_side() const {
  // The graph pads by reflection, which needs more than half a window.
  return std::max<std::int64_t>(graph_.min_side, metadata_.window_px / 2 + 1);
}

Shape Model::input_shape(std::int64_t batch, std::int64_t height, std::int64_t width) const {
  return shape_of(batch, metadata_.channels, height, width);
}

Shape Model::shape_of(std::int64_t batch, std::int64_t channels, std::int64_t height,
                      std::int64_t width) const {
  return is_tensor() ? Shape{batch, channels, height, width}
                     : Shape{batch, height, width, channels};
}

Shape Model::output_shape(const Shape& input) const {
  const std::int64_t height = input[height_axis()], width = input[height_axis() + 1];
  bool takes = input == input_shape(input[0], height, width) && input[0] >= 1;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    takes = takes && (fixed(axis) == 0 || fixed(axis) == input[axis]);
  }
  // So that a count of bytes fits in 64 bits: 2 * (18 + 4) + 13 + 6 bits.
  constexpr std::int64_t kLargestSide = std::int64_t{1} << 18, kLargestBatch = 1 << 13;
  const std::int64_t minimum = min_side();
  if (!takes || height < minimum || width < minimum || height > kLargestSide ||
      width > kLargestSide || input[0] > kLargestBatch) {
    fail(SWINIR_INVALID_ARGUMENT, "shape ", describe(input), "; this model takes ",
         describe_input(), ".");
  }
  return shape_of(input[0], metadata_.out_channels, height * metadata_.scale,
                  width * metadata_.scale);
}

std::string Model::describe_input() const {
  const auto or_any = [](std::int64_t side, const char* any) {
    return side > 0 ? text(side) : std::string(any);
  };
  const std::string sides = or_any(height(), "height") + ", " + or_any(width(), "width");
  const std::string picture =
      is_tensor() ? text(metadata_.channels, ", ", sides) : text(sides, ", ", metadata_.channels);
  return text("[", or_any(batch(), "batch"), ", ", picture, "] ", is_tensor() ? "float32" : "uint8",
              " with sides of at least ", min_side());
}

void Model::check_graph() const {
  const std::int32_t type = is_tensor() ? SWINIR_FLOAT32 : SWINIR_UINT8;
  const bool fits = graph_.inputs == 1 && graph_.outputs == 1 && graph_.input_type == type &&
                    graph_.output_type == type && graph_.input_rank == 4 &&
                    graph_.shape[is_tensor() ? 1 : 3] == metadata_.channels;
  if (!fits) {
    fail(SWINIR_INVALID_MODEL, name_, ": its metadata promises one input and one output of ",
         is_tensor() ? "float32" : "uint8", " with ", metadata_.channels,
         " channels, but the graph has others. The file was changed after its export; export it "
         "again.");
  }
}

// A back end that has not chosen a precision computes in the precision of the graph.
void Model::check_precision(std::int32_t requested) const {
  if (requested == 0 || graph_.precision != 0 || requested == metadata_.precision) return;
  fail(SWINIR_INVALID_ARGUMENT, "precision: with ", backend_->name,
       " it is that of the file. Export the model with the one that you want.");
}

}  // namespace swinir::core
