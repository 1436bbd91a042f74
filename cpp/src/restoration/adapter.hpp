// Stands between pictures and a model: layout, number range, colour, batch size; as
// swinir_deploy/restoration/adapter.py.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "pictures/pixels.hpp"
#include "runtimes/model.hpp"

namespace swinir::core {

// Rectangles of one size, cut from a padded picture.
struct TileGroup {
  std::int64_t height = 0, width = 0;
  struct Corner {
    std::int64_t top, left;
  };
  std::vector<Corner> corners;
  // Where each row and column of the padded picture comes from.
  const std::vector<std::int64_t>* rows = nullptr;
  const std::vector<std::int64_t>* columns = nullptr;
};

class ModelAdapter {
 public:
  // [height * scale, width * scale, channels of the source], in the model's number range.
  using Give = std::function<void(const float* tile)>;

  explicit ModelAdapter(std::shared_ptr<const Model> model);
  ~ModelAdapter();
  ModelAdapter(const ModelAdapter&) = delete;
  ModelAdapter& operator=(const ModelAdapter&) = delete;

  // Restores the tiles of a group, in order. A gray source goes through a colour model as three
  // equal channels and comes out as Rec. 601 luma; a colour source goes through a gray model as a
  // batch of three. Throws Failure, SWINIR_NOT_FINITE among others.
  void run(const Channels& source, const TileGroup& group, const Give& give);

  // Runs the model itself on checked arrays.
  void run_tensor(const void* input, const Shape& shape, void* output, const Shape& output_shape);

  // Writes rows of results of `run`, blended, into a picture from row `top` on; clamped, bytes
  // rounded half to even. `values` is [rows, width, channels] with rows `pitch` floats apart.
  void write(const Channels& target, std::int64_t top, std::int64_t rows, const float* values,
             std::int64_t pitch) const;

  std::uint64_t buffers_bytes() const;
  std::uint64_t backend_bytes() const;

 private:
  bool is_tensor() const { return model_->metadata().io == SWINIR_IO_TENSOR; }
  std::int64_t model_channels() const { return model_->metadata().channels; }
  void cut(const Channels& source, const TileGroup& group, std::int64_t picture,
           std::int64_t pictures_a_tile, std::int64_t slot);
  void repeat_last(std::int64_t filled, std::int64_t size, std::int64_t samples);
  void read_result(std::int64_t slot, std::int64_t height, std::int64_t width,
                   std::int64_t channels, std::int64_t first_channel);
  float result_at(std::int64_t slot, std::int64_t pixel, std::int64_t pixels,
                  std::int64_t channel) const;

  std::shared_ptr<const Model> model_;
  swinir_backend_session* session_ = nullptr;
  // For models of floats, and for models of bytes.
  std::vector<float> floats_in_, floats_out_;
  std::vector<std::uint8_t> bytes_in_, bytes_out_;
  std::vector<float> tile_;
};

}  // namespace swinir::core
