// What files say about themselves: right ones, wrong ones, and right ones with every byte damaged.
#include <algorithm>
#include <string>

#include "artifacts/metadata.hpp"
#include "check.hpp"
#include "model_file.hpp"
#include "survives.hpp"

using namespace swinir_test;
using swinir::core::Metadata;
using swinir::core::ModelSource;
using swinir::core::read_metadata;

namespace {

// What the message must hold; empty: the model is read.
void expect(const ModelSource& source, const std::string& part) {
  const std::string found = read_or_refuse(source);
  const bool right = part.empty() ? found.empty() : found.find(part) != std::string::npos;
  if (!right) std::cerr << "wanted '" << part << "', found '" << found << "'" << std::endl;
  CHECK(right);
}

void expect(const std::string& path, const std::string& part) { expect(ModelSource{path}, part); }

ModelSource in_memory(const std::string& bytes, const char* sidecar = nullptr) {
  return {"the model", bytes.data(), bytes.size(), sidecar};
}

void reads(const Folder& folder) {
  const Metadata metadata = read_metadata({folder.file("a.ONNX", onnx_bytes(usual_properties()))});
  CHECK_EQUAL(metadata.io, SWINIR_IO_TENSOR);
  CHECK_EQUAL(metadata.scale, 2);
  CHECK_EQUAL(metadata.channels, 3);
  CHECK_EQUAL(metadata.out_channels, 3);
  CHECK_EQUAL(metadata.window_px, 8);
  CHECK_EQUAL(metadata.precision, SWINIR_FP32);
  CHECK_EQUAL(metadata.task, "sr");
  CHECK_EQUAL(metadata.model_id, "test-model");
  CHECK_EQUAL(metadata.source_sha256, "");
  CHECK_EQUAL(metadata.backend, "ort");

  folder.file("b.engine.json", kUsualSidecar);
  const Metadata engine = read_metadata({folder.file("b.engine", kUsualPlan)});
  CHECK_EQUAL(engine.io, SWINIR_IO_IMAGE);
  CHECK_EQUAL(engine.scale, 4);
  CHECK_EQUAL(engine.channels, 1);
  CHECK_EQUAL(engine.precision, SWINIR_FP16);
  CHECK_EQUAL(engine.backend, "tensorrt_rtx");
}

void refuses(const Folder& folder) {
  const Properties usual = usual_properties();
  const auto file = [&](const Properties& properties) {
    return folder.file("c.onnx", onnx_bytes(properties));
  };
  Properties foreign = usual;
  foreign.erase("swinir_deploy.schema_version");
  expect(file(foreign), "not made by swinir-deploy");
  expect(file({}), "not made by swinir-deploy");
  Properties without = usual;
  without.erase("swinir_deploy.scale");
  expect(file(without), "scale is missing");

  const struct {
    const char *name, *value, *message;
  } kWrong[] = {{"schema_version", "2", "schema 2"},
                {"schema_version", "0", "schema 0"},
                {"schema_version", "\"1\"", "schema"},
                {"io", "picture", "'picture'"},
                {"io", "", "one of tensor, image"},
                {"scale", "17", "from 1 to 16"},
                {"scale", "0", "from 1 to 16"},
                {"scale", "2.0", "a whole number"},
                {"scale", "two", "a whole number"},
                {"scale", "4294967298", "from 1 to 16"},
                {"in_chans", "17", "from 1 to 16"},
                {"in_chans", "-3", "from 1 to 16"},
                {"out_chans", "17", "from 0 to 16"},
                {"window_size", "1", "from 2 to 256"},
                {"window_size", "257", "from 2 to 256"},
                {"precision", "int8", "fp32, fp16, bf16"}};
  for (const auto& wrong : kWrong) {
    expect(file(with(usual, wrong.name, wrong.value)), wrong.message);
  }
  expect(file(with(usual, "precision", "")), "");
  expect(file(with(usual, "something_new", "not JSON")), "");

  expect(folder.path() + "/none.onnx", "No such file");
  expect(folder.path(), "not a file");
  expect(folder.path() + "/none.pth", "none.pth: No such file");
  expect(folder.file("x.model", "?"), "does not end in .onnx");
  std::filesystem::create_directory(folder.path() + "/folder.onnx");
  expect(folder.path() + "/folder.onnx", "not a file");
  expect(folder.file("empty.onnx", ""), "not made by swinir-deploy");
  expect(folder.file("text.onnx", "This is no model.\n"), "no ONNX model");

  const std::string engine = folder.file("d.engine", kUsualPlan);
  expect(engine, "d.engine.json");
  const auto sidecar = [&](const std::string& part, const std::string& instead) {
    std::string text = kUsualSidecar;
    const auto place = text.find(part);
    CHECK(place != std::string::npos);
    folder.file("d.engine.json", text.replace(place, part.size(), instead));
  };
  const struct {
    const char *part, *instead, *message;
  } kWrongEngines[] = {{"{\"model\"", "[\"model\"", "not the description"},
                       {"\"model\"", "\"models\"", "not the description"},
                       {"{\"io\"", "3, \"x\": {\"io\"", "metadata schema 0"},
                       {"6, \"schema_version\": 1", "6, \"schema_version\": 2", "engine schema 2"},
                       {"\"schema_version\": 1},", "\"schema_version\": 2},", "metadata schema 2"},
                       {"\"rtx\"", "\"other\"", "one of tensorrt, rtx"},
                       {"\"image\"", "3", "io is 3"},
                       {"bytes\": 6", "bytes\": 7", "a plan of 7"},
                       {"bytes\": 6", "bytes\": -1", "plan_bytes is -1"},
                       {"weights\": false", "weights\": true", "built with --strip-weights"},
                       {"{\"compat\"", "[], \"x\": {\"compat\"", ""},
                       {"rtx", "rtx", ""}};
  for (const auto& wrong : kWrongEngines) {
    sidecar(wrong.part, wrong.instead);
    expect(engine, wrong.message);
  }
  folder.file("d.engine.json", std::string((4 << 20) + 1, ' '));
  expect(engine, "4194305 bytes");
  std::filesystem::remove(engine);
  expect(engine, "d.engine: No such file");
}

void from_memory() {
  const std::string bytes = onnx_bytes(usual_properties()), plan = kUsualPlan;
  const Metadata metadata = read_metadata(in_memory(bytes));
  CHECK_EQUAL(metadata.model_id, "test-model");
  CHECK_EQUAL(metadata.backend, "ort");
  const Metadata engine = read_metadata(in_memory(plan, kUsualSidecar));
  CHECK_EQUAL(engine.scale, 4);
  CHECK_EQUAL(engine.backend, "tensorrt_rtx");

  expect(in_memory(""), "the model: not made by swinir-deploy");
  expect({"the model", bytes.data(), 0, nullptr}, "not made by swinir-deploy");
  expect(in_memory(bytes, ""), "the sidecar of the model: not the description");
  expect(in_memory("another plan", kUsualSidecar), "the model: 12 bytes");
}

// Reading must end with an answer or a refusal, whatever the bytes are; the same for a file and
// for memory.
void survive(const Folder& folder, const std::string& name, const std::string& bytes) {
  const std::string path = folder.file(name, bytes);
  const bool is_sidecar = path.rfind(".json") != std::string::npos;
  const std::string model = path.substr(0, path.rfind(".json"));
  const std::string plan = kUsualPlan;
  const std::string in_file = read_or_refuse({model});
  if (is_sidecar && bytes.find('\0') != std::string::npos) return;  // in memory it ends there
  const ModelSource source = is_sidecar ? in_memory(plan, bytes.c_str()) : in_memory(bytes);
  CHECK_EQUAL(read_or_refuse(source).empty(), in_file.empty());
}

void mutations(const Folder& folder, const std::string& name, const std::string& bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    survive(folder, name, bytes.substr(0, i));
    for (const int value : {0x00, 0xFF, bytes[i] ^ 0x01, bytes[i] ^ 0x80}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(value);
      survive(folder, name, damaged);
    }
    std::string without = bytes, twice = bytes;
    without.erase(i, 1);
    twice.insert(i, bytes.substr(i, 20));
    survive(folder, name, without);
    survive(folder, name, twice);
  }
  // Lengths that no file can have.
  const std::string huge = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F";
  for (const char* tag : {"\x0A", "\x72", "\x3A"}) survive(folder, name, tag + huge + bytes);
  survive(folder, name, std::string(64, '\xFF'));
}

}  // namespace

int main() {
  const Folder folder;
  reads(folder);
  refuses(folder);
  from_memory();
  mutations(folder, "m.onnx", onnx_bytes(usual_properties()));
  folder.file("m.engine", kUsualPlan);
  mutations(folder, "m.engine.json", kUsualSidecar);
}
