// The examples in swinir.h and swinir.hpp do what they say. Their text is taken from the headers.
#include <cstdio>

#include "api.hpp"

using namespace swinir_test;

extern "C" {
swinir_model* open_on_two_cores(const char* path, const char* library);
std::int32_t scale_of(const swinir_model* model);
swinir_session* session_with_small_tiles(const swinir_model* model, std::FILE* file);
std::uint8_t* restored_rgb(swinir_session* session, std::int32_t scale, std::uint8_t* rgb,
                           std::int32_t width, std::int32_t height);
float* run_tensor(const swinir_model* model, swinir_session* session, const float* input,
                  const std::int64_t shape[4]);
}

int main() {
  const Model model = fake_model();
  CHECK_EQUAL(scale_of(model.get()), 2);

  // 150x70 pixels in tiles of at most 64 with the usual overlap.
  std::FILE* file = std::tmpfile();
  CHECK(file != nullptr);
  const Session session(session_with_small_tiles(model.get(), file));
  std::vector<std::uint8_t> rgb = noise(150 * 70 * 3);
  std::uint8_t* out = restored_rgb(session.get(), scale_of(model.get()), rgb.data(), 150, 70);
  CHECK(out != nullptr);
  for (std::size_t x = 0; x < 300 * 3; ++x) CHECK_EQUAL(out[x], rgb[x / 6 * 3 + x % 3]);
  std::free(out);
  std::rewind(file);
  long long done = -1, total = 0;
  CHECK_EQUAL(std::fscanf(file, "%lld of %lld tiles", &done, &total), 2);
  CHECK_EQUAL(done, 0);
  CHECK(total > 1);
  std::fclose(file);

  const std::int64_t shape[4] = {1, 3, 5, 7};
  const std::vector<float> input(1 * 3 * 5 * 7, 0.25F);
  float* values = run_tensor(model.get(), session.get(), input.data(), shape);
  CHECK(values != nullptr);
  for (std::size_t i = 0; i < 4 * input.size(); ++i) CHECK_EQUAL(values[i], 0.25F);
  std::free(values);
  CHECK(&open_on_two_cores != nullptr);  // it would look for a real back end
}
