// One model, eight threads with a session each, fifty pictures a thread: every result is the one
// that a single thread gives. Arguments: the back end, its library, the folder of models.
#include <atomic>
#include <thread>

#include "api.hpp"

using namespace swinir_test;

namespace {

constexpr int kThreads = 8, kPictures = 50, kKinds = 5;

struct Picture {
  std::int32_t width, height;
  std::vector<std::uint8_t> pixels;
};

Picture picture_of(int kind) {
  const std::int32_t width = 9 + 5 * kind, height = 20 - 3 * kind;
  return {
      width, height,
      noise(static_cast<std::size_t>(width * height * 3), static_cast<std::uint32_t>(kind + 1))};
}

std::vector<std::uint8_t> restored(swinir_session* session, Picture& source) {
  std::vector<std::uint8_t> out(source.pixels.size() * 4);
  const swinir_picture input = picture(source.pixels.data(), source.width, source.height);
  const swinir_picture output = picture(out.data(), 2 * source.width, 2 * source.height);
  CHECK_STATUS(swinir_session_restore(session, &input, &output), SWINIR_OK);
  return out;
}

}  // namespace

int main(int, char** arguments) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.backend = arguments[1];
  options.library = arguments[2];
  options.threads = 1;
  const std::string path = std::string(arguments[3]) + "/tensor.onnx";
  Model model;
  CHECK_STATUS(open(path, options, model), SWINIR_OK);
  swinir_session_options small_tiles = SWINIR_SESSION_OPTIONS_INIT;
  small_tiles.tile_px = 16;

  std::vector<std::vector<std::uint8_t>> expected;
  const Session alone = session_of(model, &small_tiles);
  for (int kind = 0; kind < kKinds; ++kind) {
    Picture source = picture_of(kind);
    expected.push_back(restored(alone.get(), source));
  }

  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      const Session session = session_of(model, &small_tiles);
      for (int i = 0; i < kPictures; ++i) {
        const int kind = (thread + i) % kKinds;
        Picture source = picture_of(kind);
        if (restored(session.get(), source) == expected[static_cast<std::size_t>(kind)]) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(right.load(), kThreads * kPictures);
}
