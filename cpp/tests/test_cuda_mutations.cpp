// 10,000 damaged engines through the library, the plug-in and a stand-in of the driver: each is
// refused or runs, nothing crashes, and of what is refused nothing reaches the GPU.
#include <iterator>
#include <random>

#include "api.hpp"
#include "cuda_engine_file.hpp"
#include "fake_cuda.hpp"

using namespace swinir_test;

namespace {

constexpr int kMutations = 10000;

// Numbers that a damaged file may ask for.
constexpr const char* kNumbers[] = {"0",
                                    "-1",
                                    "1",
                                    "7",
                                    "255",
                                    "256",
                                    "65536",
                                    "1000000",
                                    "2147483648",
                                    "4611686018427387904",
                                    "-4611686018427387904",
                                    "9223372036854775807",
                                    "1e30",
                                    "null",
                                    "\"x\"",
                                    "[]",
                                    "[\"batch\", 0, \"//\"]"};

class Mutator {
 public:
  explicit Mutator(std::string whole) : whole_(std::move(whole)) {}

  std::string next(int turn) {
    std::string content = whole_;
    const std::size_t used = 64 + whole_.substr(64, kManifestRoom).find_last_not_of(' ') + 1;
    const int kind = turn % 7;
    const std::size_t place = below(kind == 0 ? content.size() : used);
    switch (kind) {
      case 0:
      case 1:
        content[place] = static_cast<char>(content[place] ^ 1 << below(8));
        break;
      case 2:
        content.resize(place);
        break;
      case 3:
        content.insert(place, content.substr(below(used), below(64)));
        break;
      case 4:
        content[place] = static_cast<char>(below(256));
        break;
      case 5:
        replace_number(content, used);
        break;
      default:
        exchange(content, used);
    }
    // With the right hash what is wrong must be seen itself.
    if (kind != 0 && turn % 3 != 0 && content.size() > 64 + kManifestRoom) {
      const auto hash =
          swinir::core::sha256_of(std::string_view(content).substr(64, kManifestRoom));
      content.replace(24, hash.size(), reinterpret_cast<const char*>(hash.data()), hash.size());
    }
    return content;
  }

 private:
  std::size_t below(std::size_t limit) { return generator_() % limit; }

  // Keeps the manifest as long as it was: what is too much goes from the spaces behind it.
  static void put(std::string& content, std::size_t place, std::size_t length,
                  const std::string& instead) {
    content.replace(place, length, instead);
    const std::size_t end = 64 + kManifestRoom;
    if (instead.size() > length) {
      content.erase(end, instead.size() - length);
    } else {
      content.insert(end - (length - instead.size()), length - instead.size(), ' ');
    }
  }

  void replace_number(std::string& content, std::size_t used) {
    const char* digits = "0123456789";
    const std::size_t start = content.find_first_of(digits, 64 + below(used - 64));
    if (start == std::string::npos || start >= used) return;
    const std::size_t end = content.find_first_not_of(digits, start);
    put(content, start, end - start, kNumbers[below(std::size(kNumbers))]);
  }

  // One word of the manifest for another.
  void exchange(std::string& content, std::size_t used) {
    const auto word = [&](std::size_t& start, std::size_t& length) {
      start = content.find('"', 64 + below(used - 64));
      if (start == std::string::npos || start >= used) return false;
      const std::size_t end = content.find('"', start + 1);
      length = end - start + 1;
      return end != std::string::npos && end < used;
    };
    std::size_t from = 0, from_length = 0, to = 0, to_length = 0;
    if (!word(from, from_length) || !word(to, to_length)) return;
    put(content, to, to_length, content.substr(from, from_length));
  }

  std::string whole_;
  std::mt19937 generator_{5};
};

// What a session makes of a shape.
void run(const Model& model, std::int64_t batch, std::int64_t height, std::int64_t width) {
  const Session session = session_of(model);
  const std::int64_t shape[4] = {batch, height, width, 3};
  std::vector<std::uint8_t> in(static_cast<std::size_t>(batch * height * width * 3)),
      out(in.size());
  for (int turn = 0; turn < 2; ++turn) {
    const swinir_status status =
        swinir_session_run(session.get(), in.data(), shape, out.data(), out.size());
    if (status == SWINIR_OUT_OF_MEMORY || status == SWINIR_INVALID_MODEL) continue;
    // The driver has found an address or a number in the launches that cannot be.
    if (status != SWINIR_INFERENCE_FAILED) CHECK_STATUS(status, SWINIR_OK);
  }
}

}  // namespace

int main() {
  const FakeCuda fake(SWINIR_TEST_FAKE_CUDA);
  Mutator mutator(copy_engine());
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.library = SWINIR_TEST_FAKE_CUDA;
  int refused = 0, opened = 0;
  for (int turn = 0; turn < kMutations; ++turn) {
    const std::string content = mutator.next(turn);
    const std::string sidecar = copy_sidecar(content.size());
    CHECK_EQUAL(fake.held(), "");
    fake.reset();
    fake.set("quiet", 1);
    swinir_model* raw = nullptr;
    const swinir_status status =
        swinir_model_open_memory(content.data(), content.size(), sidecar.c_str(), &options, &raw);
    const Model model(raw);
    if (status == SWINIR_OK) {
      ++opened;
      run(model, 1, 9, 9);
      run(model, 2, 16, 5);
      continue;
    }
    // Code for another GPU only, or a function that the code does not have, which the driver says.
    if (status != SWINIR_DEVICE_UNAVAILABLE && status != SWINIR_BACKEND_MISMATCH) {
      CHECK_STATUS(status, SWINIR_INVALID_MODEL);
    }
    CHECK(swinir_last_error()[0] != '\0');
    if (status == SWINIR_BACKEND_MISMATCH) continue;
    ++refused;
    // No promise of the sidecar is broken by most: what opens and closes again is empty-handed.
    const bool was_read =
        std::string(swinir_last_error()).find("its metadata promises") != std::string::npos;
    for (const char* function : {"cuDevicePrimaryCtxRetain", "cuModuleLoadData", "cuMemAlloc_v2",
                                 "cuMemcpyHtoDAsync_v2"}) {
      if (!was_read) CHECK_EQUAL(fake.calls(function), 0);
    }
  }
  CHECK(refused > kMutations / 2);
  CHECK(opened > kMutations / 20);
}
