// An opened model: what its file says, and the handle that the back end gave.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "artifacts/metadata.hpp"
#include "runtimes/backend.h"

namespace swinir::core {

using Shape = std::array<std::int64_t, 4>;

class Model {
 public:
  // `options` is complete (every field of this version). Throws Failure.
  Model(const ModelSource& source, const swinir_model_options& options);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Metadata& metadata() const { return metadata_; }
  const swinir_backend& backend() const { return *backend_; }
  swinir_backend_model* handle() const { return handle_; }

  // Returns the answer of swinir_model_get_info; struct_size is that of this version.
  swinir_model_info info() const;

  // Return the only batch, height and width that it takes; 0: any.
  std::int64_t batch() const { return fixed(0); }
  std::int64_t height() const { return fixed(height_axis()); }
  std::int64_t width() const { return fixed(height_axis() + 1); }

  // Returns the smallest height and width that it takes.
  std::int64_t min_side() const;

  // Returns the shape of an input of `batch` pictures.
  Shape input_shape(std::int64_t batch, std::int64_t height, std::int64_t width) const;

  // Returns the shape of the output. Throws Failure(SWINIR_INVALID_ARGUMENT) for a shape that it
  // does not take.
  Shape output_shape(const Shape& input) const;

 private:
  Shape shape_of(std::int64_t batch, std::int64_t channels, std::int64_t height,
                 std::int64_t width) const;
  bool is_tensor() const { return metadata_.io == SWINIR_IO_TENSOR; }
  std::size_t height_axis() const { return is_tensor() ? 2 : 1; }
  std::int64_t fixed(std::size_t axis) const {
    return graph_.shape[axis] > 0 ? graph_.shape[axis] : 0;
  }
  void check_graph() const;
  void check_precision(std::int32_t requested) const;
  std::string describe_input() const;

  std::string name_;  // the path, or what messages call the bytes
  Metadata metadata_;
  const swinir_backend* backend_;
  swinir_backend_model* handle_ = nullptr;
  swinir_backend_graph graph_ = {};
};

// Throws what a back end's function has returned, unless it is SWINIR_OK.
void check_backend(const swinir_backend& backend, swinir_status status,
                   const swinir_backend_message& message);

}  // namespace swinir::core
