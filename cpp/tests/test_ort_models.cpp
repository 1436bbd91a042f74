// ONNX Runtime itself: what it says of itself, what it refuses, and damaged model files.
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "api.hpp"

using namespace swinir_test;

namespace {

const char* library = nullptr;

swinir_model_options ort_options() {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.library = library;
  options.threads = 1;
  return options;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void info(const std::string& path) {
  Model model;
  CHECK_STATUS(open(path, ort_options(), model), SWINIR_OK);
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_OK);
  CHECK_EQUAL(std::string(info.backend), "ort");
  CHECK_EQUAL(std::string(info.device), "cpu");
  CHECK_EQUAL(std::string(info.backend_version).substr(0, 2), "1.");
  CHECK_EQUAL(std::string(info.model_id), "tiny-sr-x2");
  CHECK_EQUAL(std::string(info.source_sha256).size(), 64U);
  CHECK_EQUAL(info.scale, 2);
  CHECK_EQUAL(info.batch + info.height + info.width, 0);
}

void tensor_in_tensor_out(const std::string& path) {
  Model model;
  CHECK_STATUS(open(path, ort_options(), model), SWINIR_OK);
  const std::int64_t shape[4] = {2, 3, 13, 9};
  std::vector<float> gray(2 * 3 * 13 * 9, 0.5F), out(gray.size() * 4);
  CHECK_STATUS(swinir_session_run(session_of(model).get(), gray.data(), shape, out.data(),
                                  out.size() * sizeof(float)),
               SWINIR_OK);
  for (const float value : out) CHECK(std::abs(value - 0.5F) < 0.02F);  // a flat picture stays flat
}

void refusals(const std::string& path) {
  Model model;
  swinir_model_options options = ort_options();
  options.library = "/nowhere/libonnxruntime.so";
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISSING);
  CHECK(std::strstr(swinir_last_error(), "Install ONNX Runtime") != nullptr);
  options.library = kForeignLibrary;
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISMATCH);
  CHECK(std::strstr(swinir_last_error(), "OrtGetApiBase") != nullptr);
  options.library = SWINIR_TEST_OLD_ORT;
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISMATCH);
  CHECK(std::strstr(swinir_last_error(), "ONNX Runtime 1.16.3") != nullptr);
  options = ort_options();
  options.device = "toaster";
  CHECK_STATUS(open(path, options, model), SWINIR_INVALID_ARGUMENT);
  options.device = "cuda:0";  // the library under test is the one for CPUs
  CHECK_STATUS(open(path, options, model), SWINIR_DEVICE_UNAVAILABLE);
}

std::vector<std::uint8_t> restored(const Model& model) {
  std::vector<std::uint8_t> in = noise(21 * 15 * 3), out(42 * 30 * 3);
  const swinir_picture input = picture(in.data(), 21, 15), output = picture(out.data(), 42, 30);
  CHECK_STATUS(swinir_session_restore(session_of(model).get(), &input, &output), SWINIR_OK);
  return out;
}

void from_memory(const std::string& path) {
  const swinir_model_options options = ort_options();
  Model from_file;
  CHECK_STATUS(open(path, options, from_file), SWINIR_OK);
  std::string bytes = read(path);
  const Folder folder;
  Model moved;
  CHECK_STATUS(open(folder.file("\u6a21\u578b.onnx", bytes), options, moved), SWINIR_OK);
  swinir_model* raw = nullptr;
  CHECK_STATUS(swinir_model_open_memory(bytes.data(), bytes.size(), nullptr, &options, &raw),
               SWINIR_OK);
  const Model model(raw);
  bytes.assign(bytes.size(), '?');  // nothing of it is kept
  CHECK(restored(model) == restored(from_file));
  CHECK(restored(moved) == restored(from_file));
}

void ignore(void*, std::int32_t, const char*) {}

// Opening and running must end with a status.
void survive(const Folder& folder, const std::string& bytes) {
  Model model;
  swinir_model_options options = ort_options();
  options.log = ignore;
  options.log_level = SWINIR_LOG_ERROR;
  if (open(folder.file("damaged.onnx", bytes), options, model) != SWINIR_OK) return;
  swinir_session* session = nullptr;
  CHECK_STATUS(swinir_session_create(model.get(), nullptr, &session), SWINIR_OK);
  std::vector<std::uint8_t> in = noise(6 * 6 * 3), out(12 * 12 * 3);
  const swinir_picture input = picture(in.data(), 6, 6), output = picture(out.data(), 12, 12);
  const swinir_status status = swinir_session_restore(session, &input, &output);
  CHECK(status >= SWINIR_OK && status < SWINIR_INTERNAL);
  swinir_session_destroy(session);
}

void damaged_files(const std::string& path) {
  const Folder folder;
  const std::string bytes = read(path);
  CHECK(bytes.size() > 100000);
  for (const double share : {0.0, 0.01, 0.3, 0.5, 0.9, 0.999}) {
    survive(folder, bytes.substr(0, static_cast<std::size_t>(share * double(bytes.size()))));
  }
  // Nodes come first, the weights and the metadata last.
  for (const std::size_t place :
       {std::size_t{0}, std::size_t{1}, std::size_t{40}, std::size_t{200}, std::size_t{3000},
        bytes.size() / 2, bytes.size() - 3000, bytes.size() - 700, bytes.size() - 40}) {
    for (const char value : {'\x00', '\xFF'}) {
      std::string damaged = bytes;
      damaged[place] = value;
      survive(folder, damaged);
      damaged.insert(place, "\x7F\x7F\x7F");
      survive(folder, damaged);
    }
  }
  // Right metadata on a graph of nonsense.
  survive(folder, onnx_bytes(usual_properties()));
  // The wrong metadata for the graph.
  for (const auto& [name, value] : {std::pair<const char*, const char*>{"io", "image"},
                                    {"in_chans", "1"},
                                    {"scale", "4"},
                                    {"window_size", "64"}}) {
    const std::string key = std::string("swinir_deploy.") + name;
    survive(folder, bytes + field(14, field(1, key) + field(2, value)));
  }
}

void log_to(void* lines, std::int32_t, const char*) { ++*static_cast<int*>(lines); }

void logs(const std::string& path) {
  int lines = 0;
  swinir_model_options options = ort_options();
  options.log = log_to;
  options.log_data = &lines;
  options.log_level = SWINIR_LOG_DEBUG;
  Model model;
  CHECK_STATUS(open(path, options, model), SWINIR_OK);
  CHECK(lines > 0);
}

}  // namespace

int main(int, char** arguments) {
  library = arguments[1];
  const std::string path = std::string(arguments[2]) + "/tensor.onnx";
  info(path);
  tensor_in_tensor_out(path);
  from_memory(path);
  refusals(path);
  logs(path);
  damaged_files(path);
}
