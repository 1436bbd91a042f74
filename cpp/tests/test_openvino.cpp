// OpenVINO itself: what is missing, what does not fit, what it refuses, models in memory.
// Arguments: its C library, the folder of models.
#include <cstring>
#include <fstream>
#include <iterator>

#include "api.hpp"

using namespace swinir_test;

namespace {

swinir_model_options openvino_options(const char* library) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.backend = "openvino";
  options.library = library;
  options.threads = 1;
  return options;
}

void expect(const std::string& path, const swinir_model_options& options, swinir_status status,
            const char* part) {
  Model model;
  CHECK_STATUS(open(path, options, model), status);
  if (std::strstr(swinir_last_error(), part) == nullptr) {
    std::cerr << "no '" << part << "' in '" << swinir_last_error() << "'" << std::endl;
    std::exit(1);
  }
}

void refusals(const std::string& path, const char* library) {
  expect(path, openvino_options("/nowhere/libopenvino_c.so"), SWINIR_BACKEND_MISSING,
         "Install OpenVINO");
  expect(path, openvino_options(kForeignLibrary), SWINIR_BACKEND_MISMATCH,
         "ov_get_openvino_version");
  expect(path, openvino_options(SWINIR_TEST_OLD_OPENVINO), SWINIR_BACKEND_MISMATCH, "2022.3.0");
  swinir_model_options options = openvino_options(library);
  options.device = "toaster";
  expect(path, options, SWINIR_DEVICE_UNAVAILABLE, "no device 'TOASTER'; it has");
}

void damaged(const std::string& bytes, const char* library) {
  const Folder folder;
  const swinir_model_options options = openvino_options(library);
  // Its own metadata is whole, so that OpenVINO gets to see it.
  const std::string nonsense = onnx_bytes(usual_properties());
  expect(folder.file("nonsense.onnx", nonsense), options, SWINIR_INVALID_MODEL, "cannot read it");
  expect(folder.file("half.onnx", bytes.substr(0, bytes.size() / 2)), options, SWINIR_INVALID_MODEL,
         "half.onnx");
  expect(folder.file("gray.onnx",
                     bytes + field(14, field(1, "swinir_deploy.in_chans") + field(2, "1"))),
         options, SWINIR_INVALID_MODEL, "changed after its export");
}

// Half weights, as the file says, stay half weights in the FP32 that OpenVINO answers.
void precision(const std::string& bytes, const char* library) {
  const Folder folder;
  const std::string half = field(14, field(1, "swinir_deploy.precision") + field(2, "fp16"));
  Model model;
  CHECK_STATUS(open(folder.file("half.onnx", bytes + half), openvino_options(library), model),
               SWINIR_OK);
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_OK);
  CHECK_EQUAL(info.precision, SWINIR_FP16);
}

std::vector<std::uint8_t> restored(const Model& model) {
  std::vector<std::uint8_t> in = noise(21 * 15 * 3), out(42 * 30 * 3);
  const swinir_picture input = picture(in.data(), 21, 15), output = picture(out.data(), 42, 30);
  CHECK_STATUS(swinir_session_restore(session_of(model).get(), &input, &output), SWINIR_OK);
  return out;
}

void from_memory(const std::string& path, std::string bytes, const char* library) {
  const swinir_model_options options = openvino_options(library);
  Model from_file;
  CHECK_STATUS(open(path, options, from_file), SWINIR_OK);
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(from_file.get(), &info), SWINIR_OK);
  CHECK_EQUAL(std::string(info.device), "CPU");
  CHECK_EQUAL(info.precision, SWINIR_FP32);
  const Folder folder;
  Model moved;
  CHECK_STATUS(open(folder.file("\u6a21\u578b.onnx", bytes), options, moved), SWINIR_OK);
  CHECK(restored(moved) == restored(from_file));
  swinir_model* raw = nullptr;
  CHECK_STATUS(swinir_model_open_memory(bytes.data(), bytes.size(), nullptr, &options, &raw),
               SWINIR_OK);
  const Model model(raw);
  bytes.assign(bytes.size(), '?');  // nothing of it is kept
  CHECK(restored(model) == restored(from_file));
}

}  // namespace

int main(int, char** arguments) {
  const std::string path = std::string(arguments[2]) + "/tensor.onnx";
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  refusals(path, arguments[1]);
  damaged(bytes, arguments[1]);
  precision(bytes, arguments[1]);
  from_memory(path, bytes, arguments[1]);
}
