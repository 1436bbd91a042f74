// Engines for CUDA as bytes: the file format written once more, by hand from docs/cuda_engine.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "check.hpp"
#include "system/sha256.hpp"

namespace swinir_test {

inline std::string little_endian(std::uint64_t number, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i, number >>= 8) text += static_cast<char>(number & 0xFF);
  return text;
}

// An ELF file as the compiler writes it, as far as the stand-in of the driver looks into it: one
// function with parameters of so many bytes.
inline std::string cubin(const std::string& entry, std::initializer_list<std::uint64_t> sizes) {
  std::string info;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    info += std::string("\x04\x17") + little_endian(12, 2) + little_endian(0, 4) +
            little_endian(i, 2) + little_endian(8 * i, 2) +
            little_endian(sizes.begin()[i] << 18, 4);
  }
  const std::string names = std::string(1, '\0') + ".nv.info." + entry + std::string(1, '\0');
  const std::size_t name_place = 64 + info.size();
  const std::size_t table = (name_place + names.size() + 7) / 8 * 8;
  std::string bytes = std::string(
                          "\x7f"
                          "ELF\x02\x01\x01") +
                      std::string(9, '\0') + little_endian(2, 2) + little_endian(190, 2) +
                      little_endian(1, 4) + little_endian(0, 16) + little_endian(table, 8) +
                      little_endian(0, 4) + little_endian(64, 2) + little_endian(0, 4) +
                      little_endian(64, 2) + little_endian(2, 2) + little_endian(1, 2);
  CHECK_EQUAL(bytes.size(), 64U);
  bytes += info + names;
  bytes.resize(table, '\0');
  const auto section = [](std::size_t name, std::size_t place, std::size_t size) {
    return little_endian(name, 4) + little_endian(0, 20) + little_endian(place, 8) +
           little_endian(size, 8) + little_endian(0, 24);
  };
  return bytes + section(1, 64, info.size()) + section(0, name_place, names.size());
}

// The room that a manifest has in the files here: so the sections begin at the same place.
constexpr std::size_t kManifestRoom = 8192 - 64;

// A file from a manifest and its sections. In the manifest "@0" stands for the place of the first
// section, and so on.
inline std::string engine_file(std::string manifest, const std::vector<std::string>& sections) {
  std::string content;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::string place =
        "{\"offset\": " + std::to_string(64 + kManifestRoom + content.size()) +
        ", \"size\": " + std::to_string(sections[i].size()) + ", \"sha256\": \"" +
        swinir::core::hexadecimal(swinir::core::sha256_of(sections[i])) + "\"}";
    const std::string mark = "\"@" + std::to_string(i) + "\"";
    for (auto found = manifest.find(mark); found != std::string::npos;
         found = manifest.find(mark)) {
      manifest.replace(found, mark.size(), place);
    }
    content += sections[i];
    content.resize((content.size() + 255) / 256 * 256, '\0');
  }
  CHECK(manifest.size() <= kManifestRoom);
  manifest.resize(kManifestRoom, ' ');
  const swinir::core::Sha256 hash = swinir::core::sha256_of(manifest);
  return "SWINIRCU" + little_endian(1, 4) + little_endian(64, 4) +
         little_endian(manifest.size(), 8) + std::string(hash.begin(), hash.end()) +
         little_endian(0, 8) + manifest + content;
}

// An engine that gives back the picture that it gets, bytes of three colours: through two places of
// its arena, with two launches in between that do nothing.
constexpr const char* kCopyManifest = R"({
  "io": "image", "half": "fp16", "compiler": "nothing 1.0", "weights": "@0",
  "tensors": [{"name": "a", "dtype": "fp16", "shape": [3, 5], "offset": 0},
              {"name": "b", "dtype": "fp32", "shape": [7], "offset": 256}],
  "architectures": {"sm80": {
    "kernels": [
      {"name": "copy", "entry": "copy_bytes", "constants": {}, "warps": 4, "shared_bytes": 0,
       "parameters": [["source", "pointer"], ["result", "pointer"], ["bytes", "i32"]],
       "registers": 16, "spill_bytes": 0, "cubin": "@1"},
      {"name": "rows", "entry": "look_at_rows", "constants": {"CHANNELS": 64}, "warps": 8,
       "parameters": [["features", "pointer"], ["weight", "pointer"], ["rows", "i32"],
                      ["eps", "f32"]],
       "shared_bytes": 65536, "registers": 168, "spill_bytes": 0, "cubin": "@2"}],
    "program": {
      "definitions": [["row", ["picture_width", 3, "*"]],
                      ["bytes", ["batch", "picture_height", "row", "*", "*"]],
                      ["elements", ["bytes", 16, "ceil", 8, "*"]]],
      "arena_elements": ["elements", 2, "*"],
      "output_shape": [["batch"], ["picture_height"], ["picture_width"], 3],
      "steps": [
        {"kernel": 0, "part": "edge", "grid": [["bytes", 1024, "ceil"]],
         "arguments": [["input"], ["arena", 0], ["i32", ["bytes"]]]},
        {"kernel": 1, "part": "block", "grid": [["picture_height", 2, "ceil"], 2, 1],
         "arguments": [["arena", 0], ["weight", 1], ["i32", ["batch", "picture_height", "*"]],
                       ["f32", 1e-05]]},
        {"repeat": ["picture_height", 8, "ceil"], "index": "band",
         "definitions": [["first", ["band", 8, "*"]],
                         ["rows", [8, "picture_height", "first", "-", "min"]]],
         "steps": [{"kernel": 1, "part": "head", "grid": [["rows"], 3],
                    "arguments": [["arena", ["elements"]], ["weight", 0], ["i32", ["first"]],
                                  ["f32", -2.5]]}]},
        {"kernel": 0, "part": "edge", "grid": [1],
         "arguments": [["arena", 0], ["arena", ["elements"]], ["i32", ["bytes"]]]},
        {"kernel": 0, "part": "edge", "grid": [1],
         "arguments": [["arena", ["elements"]], ["output"], ["i32", ["bytes"]]]}]}}}})";

// The weights, and the machine code of both kernels, two null pointers behind their parameters.
inline std::vector<std::string> copy_sections() {
  std::string weights;
  for (int i = 0; i < 284; ++i) weights += static_cast<char>(i);
  return {weights, cubin("copy_bytes", {8, 8, 4, 8, 8}), cubin("look_at_rows", {8, 8, 4, 4, 8, 8})};
}

inline std::string copy_engine() { return engine_file(kCopyManifest, copy_sections()); }

// The same with a part of its manifest changed.
inline std::string changed_engine(const std::string& part, const std::string& instead) {
  std::string manifest = kCopyManifest;
  const auto place = manifest.find(part);
  CHECK(place != std::string::npos);
  return engine_file(manifest.replace(place, part.size(), instead), copy_sections());
}

// What `build` writes beside such an engine.
inline std::string copy_sidecar(std::size_t bytes) {
  return R"({"model": {"io": "image", "scale": 1, "in_chans": 3, "window_size": 8,
    "precision": "fp16", "task": "denoise", "schema_version": 1}, "flavour": "cuda",
    "library_version": "3.6.0", "architectures": ["sm80"], "options": {"strip_weights": false},
    "plan_bytes": )" +
         std::to_string(bytes) + R"(, "schema_version": 1})";
}

}  // namespace swinir_test
