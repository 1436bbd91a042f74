// Files that say what a test wants about a model. Only the fake back end can "run" them.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "check.hpp"

namespace swinir_test {

using Properties = std::map<std::string, std::string>;

// A colour model of x2 with windows of 8, which takes and gives floats.
inline Properties usual_properties() {
  return {{"swinir_deploy.schema_version", "1"},
          {"swinir_deploy.io", "tensor"},
          {"swinir_deploy.scale", "2"},
          {"swinir_deploy.in_chans", "3"},
          {"swinir_deploy.window_size", "8"},
          {"swinir_deploy.precision", "fp32"},
          {"swinir_deploy.task", "sr"},
          {"swinir_deploy.model_id", "test-model"},
          {"swinir_deploy.config", R"({"depths": [2, 3], "img_range": 1.0})"}};
}

inline Properties with(Properties properties, const std::string& name, const std::string& value) {
  properties["swinir_deploy." + name] = value;
  return properties;
}

inline std::string varint(std::size_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  return bytes + static_cast<char>(value);
}

// A protobuf field of bytes.
inline std::string field(std::size_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}

// A ModelProto: ir_version (1), graph (7) of nonsense, metadata_props (14).
inline std::string onnx_bytes(const Properties& properties) {
  std::string bytes = varint(1 << 3) + varint(8) + field(7, std::string(9, 'g'));
  for (const auto& [key, value] : properties) bytes += field(14, field(1, key) + field(2, value));
  return bytes;
}

// What `build` writes beside a plan of six bytes: a gray JPEG model with windows of 7.
constexpr const char* kUsualPlan = "a plan";
constexpr const char* kUsualSidecar = R"({"model": {"io": "image", "scale": 4, "in_chans": 1,
  "window_size": 7, "precision": "fp16", "task": "jpeg", "schema_version": 1}, "flavour": "rtx",
  "profiles": [{"min": [1, 1]}], "options": {"compat": "none", "strip_weights": false},
  "plan_bytes": 6, "schema_version": 1})";

// A folder that goes when the test ends.
class Folder {
 public:
  Folder() {
    // In memory where there is such a place: some tests write thousands of files.
    const std::filesystem::path memory = "/dev/shm";
    const auto parent =
        std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    std::random_device random;
    do {
      path_ = parent / ("swinir-test-" + std::to_string(random()));
    } while (!std::filesystem::create_directory(path_));
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  // Writes a file, whose name is UTF-8, and returns its path.
  std::string file(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path path = path_ / std::filesystem::u8path(name);
    std::ofstream(path, std::ios::binary) << bytes;
    return path.u8string();
  }

  std::string path() const { return path_.u8string(); }

 private:
  std::filesystem::path path_;
};

// What the system calls the plug-in of a back end.
inline std::string plugin_file(const std::string& backend) {
#ifdef _WIN32
  return "swinir_" + backend + ".dll";
#else
  return "libswinir_" + backend + ".so";
#endif
}

// A library that every system has, and that is no back end.
#ifdef _WIN32
constexpr const char* kForeignLibrary = "kernel32.dll";
#else
constexpr const char* kForeignLibrary = "libm.so.6";
#endif

}  // namespace swinir_test
