#include "restoration/adapter.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "failure.hpp"

namespace swinir::core {
namespace {

constexpr float kFull = 255.0F;

// Returns luma by Rec. 601, as Pillow's convert("L").
float luma(float red, float green, float blue) {
  return red * 0.299F + green * 0.587F + blue * 0.114F;
}

float to_float(const unsigned char* sample, std::int32_t type) {
  return type == SWINIR_UINT8 ? static_cast<float>(*sample) / kFull : load_float(sample);
}

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::nearbyint(std::clamp(value, 0.0F, 1.0F) * kFull));
}

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

}  // namespace

ModelAdapter::ModelAdapter(std::shared_ptr<const Model> model) : model_(std::move(model)) {
  swinir_backend_message message = {};
  const swinir_backend& backend = model_->backend();
  check_backend(backend, backend.session_open(model_->handle(), &session_, &message), message);
}

ModelAdapter::~ModelAdapter() { model_->backend().session_close(session_); }

void ModelAdapter::run_tensor(const void* input, const Shape& shape, void* output,
                              const Shape& output_shape) {
  swinir_backend_message message = {};
  const swinir_backend& backend = model_->backend();
  check_backend(
      backend,
      backend.session_run(session_, input, shape.data(), output, output_shape.data(), &message),
      message);
}

void ModelAdapter::run(const Channels& source, const TileGroup& group, const Give& give) {
  const std::int64_t channels = source.count(), inner = model_channels();
  const std::int64_t pictures_a_tile = channels > inner ? channels : 1;
  const auto tiles = static_cast<std::int64_t>(group.corners.size());
  const std::int64_t pictures = tiles * pictures_a_tile;
  const std::int64_t size = model_->batch() > 0 ? model_->batch() : pictures;
  const std::int64_t scale = model_->metadata().scale;
  const std::int64_t height = group.height * scale, width = group.width * scale;
  const std::int64_t samples_in = group.height * group.width * inner;
  const std::int64_t samples_out = height * width * inner;

  const auto resize = [&](auto& in, auto& out) {
    in.resize(index(size * samples_in));
    out.resize(index(size * samples_out));
  };
  is_tensor() ? resize(floats_in_, floats_out_) : resize(bytes_in_, bytes_out_);
  tile_.resize(index(height * width * channels));
  const void* input = is_tensor() ? static_cast<const void*>(floats_in_.data()) : bytes_in_.data();
  void* output = is_tensor() ? static_cast<void*>(floats_out_.data()) : bytes_out_.data();

  for (std::int64_t first = 0; first < pictures; first += size) {
    const std::int64_t filled = std::min(size, pictures - first);
    for (std::int64_t slot = 0; slot < filled; ++slot) {
      cut(source, group, first + slot, pictures_a_tile, slot);
    }
    repeat_last(filled, size, samples_in);
    run_tensor(input, model_->input_shape(size, group.height, group.width), output,
               model_->input_shape(size, height, width));
    for (std::int64_t slot = 0; slot < filled; ++slot) {
      const std::int64_t part = (first + slot) % pictures_a_tile;
      read_result(slot, height, width, channels, part);
      if (part + 1 == pictures_a_tile) give(tile_.data());
    }
  }
}

// Brings one picture of the model's batch into its layout: a tile, or one channel of it.
void ModelAdapter::cut(const Channels& source, const TileGroup& group, std::int64_t picture,
                       std::int64_t pictures_a_tile, std::int64_t slot) {
  const TileGroup::Corner corner = group.corners[index(picture / pictures_a_tile)];
  const std::int64_t inner = model_channels(), pixels = group.height * group.width;
  const std::int64_t* rows = group.rows->data() + corner.top;
  const std::int64_t* columns = group.columns->data() + corner.left;
  for (std::int64_t c = 0; c < inner; ++c) {
    const std::int64_t from = source.count() == inner ? c : picture % pictures_a_tile;
    const std::ptrdiff_t offset = source.offsets[index(from)];
    for (std::int64_t y = 0; y < group.height; ++y) {
      const unsigned char* row = source.row(rows[y]) + offset;
      if (is_tensor()) {
        float* to = floats_in_.data() + (slot * inner + c) * pixels + y * group.width;
        for (std::int64_t x = 0; x < group.width; ++x) {
          to[x] = to_float(row + columns[x] * source.pixel_stride, source.type);
        }
      } else {
        std::uint8_t* to = bytes_in_.data() + (slot * pixels + y * group.width) * inner + c;
        for (std::int64_t x = 0; x < group.width; ++x) {
          const unsigned char* sample = row + columns[x] * source.pixel_stride;
          to[x * inner] = source.type == SWINIR_UINT8 ? *sample : to_byte(load_float(sample));
        }
      }
    }
  }
}

// Fills the batch of a model that takes only full ones.
void ModelAdapter::repeat_last(std::int64_t filled, std::int64_t size, std::int64_t samples) {
  const auto repeat = [&](auto& in) {
    for (std::int64_t slot = filled; slot < size; ++slot) {
      std::copy_n(in.begin() + (filled - 1) * samples, samples, in.begin() + slot * samples);
    }
  };
  is_tensor() ? repeat(floats_in_) : repeat(bytes_in_);
}

float ModelAdapter::result_at(std::int64_t slot, std::int64_t pixel, std::int64_t pixels,
                              std::int64_t channel) const {
  const std::int64_t inner = model_channels();
  return is_tensor()
             ? floats_out_[index((slot * inner + channel) * pixels + pixel)]
             : static_cast<float>(bytes_out_[index((slot * pixels + pixel) * inner + channel)]);
}

// Copies one picture of the model's result into `tile_`: all its channels, or channel `part`.
void ModelAdapter::read_result(std::int64_t slot, std::int64_t height, std::int64_t width,
                               std::int64_t channels, std::int64_t part) {
  const std::int64_t inner = model_channels(), pixels = height * width;
  if (is_tensor()) {
    const float* values = floats_out_.data() + slot * inner * pixels;
    if (!std::all_of(values, values + inner * pixels, [](float v) { return std::isfinite(v); })) {
      fail(SWINIR_NOT_FINITE, "The model gave values that are not finite on ",
           model_->backend().name,
           "; the picture would have black patches. Use an fp32 or bf16 model, or check the "
           "weights.");
    }
  }
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    float* to = tile_.data() + pixel * channels;
    if (channels < inner) {
      *to = luma(result_at(slot, pixel, pixels, 0), result_at(slot, pixel, pixels, 1),
                 result_at(slot, pixel, pixels, 2));
    } else if (channels > inner) {
      to[part] = result_at(slot, pixel, pixels, 0);
    } else {
      for (std::int64_t c = 0; c < inner; ++c) to[c] = result_at(slot, pixel, pixels, c);
    }
  }
}

void ModelAdapter::write(const Channels& target, std::int64_t top, std::int64_t rows,
                         const float* values, std::int64_t pitch) const {
  const std::int64_t channels = target.count();
  const float range = is_tensor() ? 1.0F : kFull;
  for (std::int64_t y = 0; y < rows; ++y, values += pitch) {
    unsigned char* pixel = target.mutable_row(top + y);
    const float* value = values;
    for (std::int64_t x = 0; x < target.width; ++x, pixel += target.pixel_stride) {
      for (std::int64_t c = 0; c < channels; ++c, ++value) {
        const float share = std::clamp(*value / range, 0.0F, 1.0F);
        unsigned char* sample = pixel + target.offsets[index(c)];
        if (target.type == SWINIR_UINT8) {
          *sample = static_cast<unsigned char>(std::nearbyint(share * kFull));
        } else {
          store_float(sample, share);
        }
      }
    }
  }
}

std::uint64_t ModelAdapter::buffers_bytes() const {
  return (floats_in_.capacity() + floats_out_.capacity() + tile_.capacity()) * sizeof(float) +
         bytes_in_.capacity() + bytes_out_.capacity();
}

std::uint64_t ModelAdapter::backend_bytes() const {
  return model_->backend().session_bytes(session_);
}

}  // namespace swinir::core
