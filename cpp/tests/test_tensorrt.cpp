// TensorRT's plug-in as far as it goes without a GPU: what is missing, what does not fit.
// Argument: the library of TensorRT for RTX, where there is one.
#include <cstring>

#include "api.hpp"

using namespace swinir_test;

namespace {

const char* const kSidecar = R"({"model": {"io": "tensor", "scale": 2, "in_chans": 3,
  "window_size": 8, "schema_version": 1}, "flavour": "tensorrt", "plan_bytes": 6,
  "schema_version": 1})";

void expect(const std::string& path, const char* library, const char* device, swinir_status status,
            const char* part, const char* plugin_dir = nullptr) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.library = library;
  options.device = device;
  options.plugin_dir = plugin_dir;
  Model model;
  CHECK_STATUS(open(path, options, model), status);
  if (std::strstr(swinir_last_error(), part) == nullptr) {
    std::cerr << "no '" << part << "' in '" << swinir_last_error() << "'" << std::endl;
    std::exit(1);
  }
}

// TensorRT for RTX: the same source as another plug-in, which its engines ask for.
void rtx(const Folder& folder, const char* library) {
  const std::string path = folder.file("z.engine", "a plan"), flavour = "\"tensorrt\"";
  std::string sidecar = kSidecar;
  folder.file("z.engine.json", sidecar.replace(sidecar.find(flavour), flavour.size(), "\"rtx\""));
  const auto expect_rtx = [&](const char* library, swinir_status status, const char* part) {
    expect(path, library, "cuda:99", status, part, SWINIR_TEST_PLUGIN_DIR);
  };
  expect_rtx(nullptr, SWINIR_BACKEND_MISSING, "libtensorrt_rtx.so.");
  expect_rtx(SWINIR_TEST_OTHER_INFER, SWINIR_BACKEND_MISMATCH, "tensorrt_rtx of version");
  expect_rtx(SWINIR_TEST_SAME_INFER, SWINIR_DEVICE_UNAVAILABLE, "GPU");
  if (library != nullptr) expect_rtx(library, SWINIR_BACKEND_MISMATCH, "major version 1;");
}

}  // namespace

int main(int count, char** arguments) {
  const Folder folder;
  const std::string path = folder.file("x.engine", "a plan");
  folder.file("x.engine.json", kSidecar);
  expect(path, "/nowhere/libnvinfer.so.10", nullptr, SWINIR_BACKEND_MISSING, "Install TensorRT");
  expect(path, kForeignLibrary, nullptr, SWINIR_BACKEND_MISMATCH, "getInferLibVersion");
  expect(path, SWINIR_TEST_OTHER_INFER, nullptr, SWINIR_BACKEND_MISMATCH, "major version");
  expect(path, SWINIR_TEST_SAME_INFER, "gpu", SWINIR_INVALID_ARGUMENT, "cuda or cuda:N");
  expect(path, SWINIR_TEST_SAME_INFER, "cuda:", SWINIR_INVALID_ARGUMENT, "cuda or cuda:N");
  expect(path, SWINIR_TEST_SAME_INFER, "cuda:1x", SWINIR_INVALID_ARGUMENT, "cuda or cuda:N");
  // Without its weights an engine is refused before any library is looked for.
  const std::string stripped = folder.file("y.engine", "a plan");
  std::string sidecar = kSidecar;
  folder.file("y.engine.json", sidecar.insert(1, R"("options": {"strip_weights": true}, )"));
  expect(stripped, "/nowhere/libnvinfer.so.10", nullptr, SWINIR_INVALID_MODEL, "--strip-weights");
  // No machine has so many GPUs; on one without a driver, that is what is said.
  expect(path, SWINIR_TEST_SAME_INFER, "cuda:99", SWINIR_DEVICE_UNAVAILABLE, "GPU");
  rtx(folder, count > 1 ? arguments[1] : nullptr);
}
