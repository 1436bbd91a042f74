// Formats, strides, types, tiles and models of every kind, with a back end that repeats pixels: so
// the right result is known.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "api.hpp"

using namespace swinir_test;

namespace {

constexpr int kWidth = 21, kHeight = 13, kScale = 2;

int channels_of(std::int32_t format) {
  return format == SWINIR_GRAY ? 1 : format == SWINIR_RGB || format == SWINIR_BGR ? 3 : 4;
}

// Where R, G, B lie in a pixel.
int position(std::int32_t format, int colour) {
  if (format == SWINIR_GRAY) return 0;
  return format == SWINIR_BGR || format == SWINIR_BGRA ? 2 - colour : colour;
}

// Rows of a picture in memory of its own, with gaps, upside down if wanted; floats off alignment.
struct Canvas {
  Canvas(int width, int height, std::int32_t format, std::int32_t type, bool flipped)
      : width(width), height(height), format(format), type(type) {
    const int sample = type == SWINIR_UINT8 ? 1 : 4;
    row_bytes = width * channels_of(format) * sample;
    stride = row_bytes + 5;
    bytes.assign(static_cast<std::size_t>(stride * height) + 1, 0xAB);
    first = bytes.data() + 1;
    if (flipped) {
      first += stride * (height - 1);
      stride = -stride;
    }
  }

  swinir_picture view() { return picture(first, width, height, format, type, stride); }

  void set(int x, int y, int sample, float value) {  // 0..255
    std::uint8_t* at = first + y * stride;
    const int index = x * channels_of(format) + sample;
    if (type == SWINIR_UINT8) {
      at[index] = static_cast<std::uint8_t>(value);
    } else {
      value /= 255;
      std::memcpy(at + 4 * index, &value, 4);
    }
  }

  float get(int x, int y, int sample) const {
    const std::uint8_t* at = first + y * stride;
    const int index = x * channels_of(format) + sample;
    if (type == SWINIR_UINT8) return at[index];
    float value;
    std::memcpy(&value, at + 4 * index, 4);
    return value * 255;
  }

  // Nothing was written between the rows.
  void check_gaps() const {
    const std::ptrdiff_t step = std::abs(stride);
    CHECK(bytes[0] == 0xAB);
    for (int y = 0; y < height; ++y) {
      for (std::ptrdiff_t i = row_bytes; i < step; ++i) {
        CHECK(bytes[static_cast<std::size_t>(1 + y * step + i)] == 0xAB);
      }
    }
  }

  int width, height;
  std::int32_t format, type;
  std::vector<std::uint8_t> bytes;
  std::uint8_t* first;
  std::ptrdiff_t row_bytes, stride;
};

float colour_at(int x, int y, int colour) {
  return static_cast<float>((x * 7 + y * 31 + colour * 83) % 256);
}

// A model that repeats pixels must give each pixel four times, whatever lies between.
void round_trip(const Session& session, Canvas& from, Canvas& to, float tolerance) {
  const int colours = from.format == SWINIR_GRAY ? 1 : 3;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < colours; ++c)
        from.set(x, y, position(from.format, c), colour_at(x, y, c));
      if (channels_of(from.format) == 4) from.set(x, y, 3, 200);
    }
  }
  const swinir_picture input = from.view(), output = to.view();
  CHECK_STATUS(swinir_session_restore(session.get(), &input, &output), SWINIR_OK);
  for (int y = 0; y < kHeight * kScale; ++y) {
    for (int x = 0; x < kWidth * kScale; ++x) {
      for (int c = 0; c < colours; ++c) {
        const float found = to.get(x, y, position(to.format, c));
        CHECK(std::abs(found - colour_at(x / kScale, y / kScale, c)) <= tolerance);
      }
      if (channels_of(to.format) == 4) {
        const float opacity = channels_of(from.format) == 4 ? 200.0F : 255.0F;
        CHECK(std::abs(to.get(x, y, 3) - opacity) <= 0.01F);
      }
    }
  }
  to.check_gaps();
}

void every_kind(const std::string& sides, const Properties& properties, std::int32_t tile,
                std::int32_t batch) {
  const Model model = fake_model(properties, nullptr, sides);
  swinir_session_options options = SWINIR_SESSION_OPTIONS_INIT;
  options.tile_px = tile;
  options.batch = batch;
  const Session session = session_of(model, &options);
  const bool luma = properties.at("swinir_deploy.in_chans") == "3";
  for (std::int32_t in = SWINIR_GRAY; in <= SWINIR_BGRA; ++in) {
    for (std::int32_t out = SWINIR_GRAY; out <= SWINIR_BGRA; ++out) {
      if ((in == SWINIR_GRAY) != (out == SWINIR_GRAY)) continue;
      for (const std::int32_t type : {SWINIR_UINT8, SWINIR_FLOAT32}) {
        for (const bool flipped : {false, true}) {
          Canvas from(kWidth, kHeight, in, type, flipped);
          Canvas to(kWidth * kScale, kHeight * kScale, out, flipped ? SWINIR_UINT8 : type,
                    !flipped);
          // Floats blend with rounding errors; the luma of equal channels has weights summing to 1.
          const float exact = to.type == SWINIR_UINT8 ? 0.0F : 0.01F;
          round_trip(session, from, to, luma && in == SWINIR_GRAY ? exact + 0.01F : exact);
        }
      }
    }
  }
}

void kinds_of_models() {
  const Properties tensor = usual_properties(), image = with(tensor, "io", "image");
  for (const std::int32_t tile : {0, 8, 16}) {
    for (const std::int32_t batch : {0, 3}) {
      every_kind("tensor.-1x3x-1x-1", tensor, tile, batch);
      every_kind("tensor.-1x1x-1x-1", with(tensor, "in_chans", "1"), tile, batch);
    }
    every_kind("image.-1x3x-1x-1", image, tile, 2);
    every_kind("image.-1x1x-1x-1", with(image, "in_chans", "1"), tile, 0);
  }
  // Fixed sides, also larger than the picture; fixed batches that the tiles do not fill.
  for (const char* sides : {"8x8", "16x-1", "-1x16", "13x21", "64x64"}) {
    every_kind(std::string("tensor.4x3x") + sides, tensor, 0, 0);
    every_kind(std::string("image.2x3x") + sides, image, 0, 0);
    every_kind(std::string("tensor.2x1x") + sides, with(tensor, "in_chans", "1"), 0, 0);
  }
}

void colour_becomes_luma() {
  // A gray model has channels of its own for colour; a colour model gives gray its luma. Here only
  // the weights matter: with equal channels they sum to one.
  const Model model =
      fake_model(with(usual_properties(), "io", "image"), nullptr, "image.-1x3x-1x-1");
  std::uint8_t gray[1] = {173}, out[4] = {};
  const swinir_picture input = picture(gray, 1, 1, SWINIR_GRAY);
  const swinir_picture output = picture(out, 2, 2, SWINIR_GRAY);
  const Session session = session_of(model);
  CHECK_STATUS(swinir_session_restore(session.get(), &input, &output), SWINIR_OK);
  for (const std::uint8_t value : out) CHECK_EQUAL(value, 173);
}

void transparency() {
  // Red stands under nothing; the visible neighbours are blue, and red must not bleed.
  std::vector<std::uint8_t> in(16 * 16 * 4), out(32 * 32 * 4);
  for (std::size_t i = 0; i < 16 * 16; ++i) {
    const bool visible = i % 16 < 8;
    const std::uint8_t pixel[] = {static_cast<std::uint8_t>(visible ? 0 : 255), 0,
                                  static_cast<std::uint8_t>(visible ? 200 : 0),
                                  static_cast<std::uint8_t>(visible ? 255 : 0)};
    std::memcpy(&in[4 * i], pixel, 4);
  }
  const Session session = session_of(fake_model());
  const swinir_picture input = picture(in.data(), 16, 16, SWINIR_RGBA);
  const swinir_picture output = picture(out.data(), 32, 32, SWINIR_RGBA);
  CHECK_STATUS(swinir_session_restore(session.get(), &input, &output), SWINIR_OK);
  for (std::size_t i = 0; i < 32 * 32; ++i) {
    CHECK_EQUAL(out[4 * i], 0);
    CHECK_EQUAL(out[4 * i + 2], 200);
  }
  CHECK_EQUAL(out[3], 255);
  CHECK_EQUAL(out[4 * 31 + 3], 0);

  // Nothing visible at all: colours stay as they are.
  for (std::size_t i = 3; i < in.size(); i += 4) in[i] = 0;
  CHECK_STATUS(swinir_session_restore(session.get(), &input, &output), SWINIR_OK);
  CHECK_EQUAL(out[4 * 31], 255);
}

struct Progress {
  std::vector<std::int64_t> done, totals;
};

std::int32_t record(void* data, std::int64_t done, std::int64_t total) {
  static_cast<Progress*>(data)->done.push_back(done);
  static_cast<Progress*>(data)->totals.push_back(total);
  return 0;
}

void memory_runs_out() {
  // 100 x 70 at once is too much, so are batches, so are tiles of 48: 32 fits.
  const Model model = fake_model(usual_properties(), "memory:40");
  Progress progress;
  swinir_session_options options = SWINIR_SESSION_OPTIONS_INIT;
  options.batch = 2;
  options.progress = record;
  options.progress_data = &progress;
  const Session session = session_of(model, &options);
  std::vector<std::uint8_t> in = noise(100 * 70 * 3), out(200 * 140 * 3);
  const swinir_picture input = picture(in.data(), 100, 70), output = picture(out.data(), 200, 140);
  for (int run = 0; run < 2; ++run) {
    CHECK_STATUS(swinir_session_restore(session.get(), &input, &output), SWINIR_OK);
    for (std::size_t y = 0; y < 140; ++y) {
      for (std::size_t i = 0; i < 200 * 3; ++i) {
        CHECK_EQUAL(out[y * 600 + i], in[y / 2 * 300 + i / 6 * 3 + i % 3]);
      }
    }
    // The second picture begins with what the first has found.
    CHECK_EQUAL(std::count(progress.done.begin(), progress.done.end(), 0), run == 0 ? 4 : 5);
    CHECK_EQUAL(progress.done.back(), progress.totals.back());
  }
  swinir_memory memory = SWINIR_MEMORY_INIT;
  CHECK_STATUS(swinir_session_get_memory(session.get(), &memory), SWINIR_OK);
  // A strip: 64 rows of 208 pixels of 3 floats, besides the tile's own buffers.
  CHECK(memory.peak_buffers_bytes >= memory.buffers_bytes + 64 * 208 * 3 * 4);
}

void tensors() {
  const Model model = fake_model(usual_properties(), nullptr, "tensor.-1x3x-1x8");
  const Session session = session_of(model);
  std::int64_t output[4] = {};
  const std::int64_t shape[4] = {2, 3, 5, 8};
  CHECK_STATUS(swinir_model_output_shape(model.get(), shape, output), SWINIR_OK);
  CHECK(output[0] == 2 && output[1] == 3 && output[2] == 10 && output[3] == 16);
  std::vector<float> in(2 * 3 * 5 * 8), out(in.size() * 4);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i) - 7.5F;
  const std::size_t bytes = out.size() * sizeof(float);
  CHECK_STATUS(swinir_session_run(session.get(), in.data(), shape, out.data(), bytes), SWINIR_OK);
  CHECK_EQUAL(out[0], -7.5F);
  CHECK_EQUAL(out.back(), in.back());
  CHECK_STATUS(swinir_session_run(session.get(), in.data(), shape, out.data(), bytes - 1),
               SWINIR_INVALID_ARGUMENT);
  const std::int64_t wrong[][4] = {{0, 3, 8, 8},  {2, 1, 8, 8},         {2, 3, 4, 8},
                                   {2, 3, 8, 16}, {2, 3, 1LL << 40, 8}, {1LL << 40, 3, 8, 8},
                                   {2, 3, -8, 8}};
  for (const auto& refused : wrong) {
    CHECK_STATUS(swinir_model_output_shape(model.get(), refused, output), SWINIR_INVALID_ARGUMENT);
    CHECK_STATUS(swinir_session_run(session.get(), in.data(), refused, out.data(), bytes),
                 SWINIR_INVALID_ARGUMENT);
  }
}

// A model for raw sensors or satellites: tensors of its channels go through, pictures do not.
void other_channels() {
  const Properties properties =
      with(with(with(usual_properties(), "in_chans", "4"), "out_chans", "3"), "scale", "16");
  const Model model = fake_model(properties, nullptr, "tensor.-1x4x-1x-1");
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_OK);
  CHECK_EQUAL(info.channels, 4);
  CHECK_EQUAL(info.out_channels, 3);
  CHECK_EQUAL(info.scale, 16);
  std::int64_t output[4] = {};
  const std::int64_t shape[4] = {2, 4, 5, 8}, as_picture[4] = {2, 3, 5, 8};
  CHECK_STATUS(swinir_model_output_shape(model.get(), shape, output), SWINIR_OK);
  CHECK(output[0] == 2 && output[1] == 3 && output[2] == 80 && output[3] == 128);
  CHECK_STATUS(swinir_model_output_shape(model.get(), as_picture, output),
               SWINIR_INVALID_ARGUMENT);
  const Session session = session_of(model);
  std::vector<std::uint8_t> in(8 * 8 * 3), out(in.size() * 256);
  const swinir_picture input = picture(in.data(), 8, 8), result = picture(out.data(), 128, 128);
  CHECK_STATUS(swinir_session_restore(session.get(), &input, &result), SWINIR_INVALID_ARGUMENT);
  CHECK(std::string(swinir_last_error()).find("pictures have 1 (gray) or 3") != std::string::npos);
}

// An engine whose profile begins at 40 pixels: smaller pictures are padded, tiles are no smaller.
void smallest_sides() {
  const Model model = fake_model(usual_properties(), "min-side");
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_OK);
  CHECK_EQUAL(info.min_side_px, 40);
  std::int64_t output[4];
  const std::int64_t fits[] = {1, 3, 40, 40}, too_small[] = {1, 3, 39, 40};
  CHECK_STATUS(swinir_model_output_shape(model.get(), fits, output), SWINIR_OK);
  CHECK_STATUS(swinir_model_output_shape(model.get(), too_small, output), SWINIR_INVALID_ARGUMENT);
  swinir_session_options options = SWINIR_SESSION_OPTIONS_INIT;
  options.tile_px = 16;
  const Session session = session_of(model, &options);
  for (const std::int32_t width : {1, 30, 100}) {
    std::vector<std::uint8_t> in = noise(static_cast<std::size_t>(width) * 50 * 3);
    std::vector<std::uint8_t> out(in.size() * 4);
    const swinir_picture input = picture(in.data(), width, 50);
    const swinir_picture restored = picture(out.data(), 2 * width, 100);
    CHECK_STATUS(swinir_session_restore(session.get(), &input, &restored), SWINIR_OK);
    CHECK_EQUAL(out.back(), in.back());
  }
}

void log_line(void* lines, std::int32_t level, const char* message) {
  CHECK_EQUAL(level, SWINIR_LOG_WARNING);
  static_cast<std::vector<std::string>*>(lines)->push_back(message);
}

void info_and_log() {
  const Folder folder;
  std::vector<std::string> lines;
  swinir_model_options options = fake_options("log");
  options.log = log_line;
  options.log_data = &lines;
  Model model;
  CHECK_STATUS(
      open(folder.file("x.tensor.4x3x-1x64.onnx", onnx_bytes(usual_properties())), options, model),
      SWINIR_OK);
  CHECK_EQUAL(lines.size(), 1U);
  CHECK_EQUAL(lines[0], "opened");
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_OK);
  CHECK_EQUAL(info.struct_size, sizeof info);
  CHECK_EQUAL(info.scale, 2);
  CHECK_EQUAL(info.channels, 3);
  CHECK_EQUAL(info.out_channels, 3);
  CHECK_EQUAL(info.window_px, 8);
  CHECK_EQUAL(info.min_side_px, 5);
  CHECK_EQUAL(info.io, SWINIR_IO_TENSOR);
  CHECK_EQUAL(info.precision, SWINIR_FP32);
  CHECK_EQUAL(info.batch, 4);
  CHECK_EQUAL(info.height, 0);
  CHECK_EQUAL(info.width, 64);
  CHECK_EQUAL(std::string(info.task), "sr");
  CHECK_EQUAL(std::string(info.model_id), "test-model");
  CHECK_EQUAL(std::string(info.source_sha256), "");
  CHECK_EQUAL(std::string(info.target), "");
  CHECK_EQUAL(std::string(info.backend), "fake");
  CHECK_EQUAL(std::string(info.backend_version), "7.8.9");
  CHECK_EQUAL(std::string(info.device), "fake");
}

}  // namespace

int main() {
  kinds_of_models();
  colour_becomes_luma();
  transparency();
  memory_runs_out();
  smallest_sides();
  tensors();
  other_channels();
  info_and_log();
}
