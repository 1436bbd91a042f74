// What the fuzzers begin with: write_seeds FOLDER makes cuda_engine/, json/, onnx/ and
// sidecar/ in it.
#include "../tests/cuda_engine_file.hpp"
#include "../tests/model_file.hpp"

int main(int, char** arguments) {
  using namespace swinir_test;
  const std::filesystem::path folder = arguments[1];
  const auto write = [&](const char* fuzzer, const char* name, const std::string& bytes) {
    std::filesystem::create_directories(folder / fuzzer);
    std::ofstream(folder / fuzzer / name, std::ios::binary) << bytes;
  };
  write("cuda_engine", "copy", kCopyManifest);
  write("json", "sidecar", kUsualSidecar);
  write("json", "scalars",
        R"([1, -2.5e+3, true, false, null, "\\\"\/\b\u00e9\ud83d\ude00", {}, []])");
  write("onnx", "model", onnx_bytes(usual_properties()));
  write("sidecar", "usual", kUsualSidecar);
}
