// The file format of engines for CUDA: read, and everything wrong in it refused in words.
#include "artifacts/cuda_engine.hpp"
#include "check.hpp"
#include "cuda_engine_file.hpp"
#include "failure.hpp"

using namespace swinir::core;
using namespace swinir_test;

namespace {

std::string refusal(const std::string& content) {
  try {
    read_cuda_engine(content, "x.engine");
    return "";
  } catch (const Failure& failure) {
    CHECK_EQUAL(failure.status(), SWINIR_INVALID_MODEL);
    return failure.what();
  }
}

// `part` has to be in the message; "": it is read.
void expect(const std::string& content, const std::string& part) {
  const std::string found = refusal(content);
  const bool right = part.empty() ? found.empty() : found.find(part) != std::string::npos;
  if (!right) std::cerr << "wanted '" << part << "', found '" << found << "'" << std::endl;
  CHECK(right);
  CHECK(found.empty() || found.find("x.engine") == 0);
}

void reads() {
  const std::string content = copy_engine();
  const CudaEngine engine = read_cuda_engine(content, "x.engine");
  CHECK_EQUAL(engine.io, SWINIR_IO_IMAGE);
  CHECK(engine.weights == copy_sections()[0]);
  CHECK_EQUAL(engine.tensors.size(), 2U);
  CHECK_EQUAL(engine.tensors[1].name, "b");
  CHECK_EQUAL(engine.tensors[1].offset, 256U);
  const CudaArchitecture& code = engine.architectures.at(80);
  CHECK_EQUAL(code.kernels.size(), 2U);
  CHECK_EQUAL(code.kernels[1].entry, "look_at_rows");
  CHECK_EQUAL(code.kernels[1].warps, 8);
  CHECK_EQUAL(code.kernels[1].shared_bytes, 65536);
  CHECK(code.kernels[1].cubin == copy_sections()[2]);
  CHECK(code.kernels[1].parameters[3].kind == CudaParameter::Kind::f32);
  CHECK_EQUAL(code.program.steps.size(), 5U);
  CHECK(code.program.steps[2].is_repeated);
  CHECK(code.program.steps[1].launches[0].arguments[3].value == 1e-5F);
}

void chooses() {
  std::string more;
  for (const char* name : {"sm86", "sm90", "sm103", "sm120"}) {
    more += ", \"" + std::string(name) +
            "\": {\"kernels\": [], \"program\": {\"definitions\": [], "
            "\"steps\": [], \"arena_elements\": 0, \"output_shape\": [1, 1, 1, 1]}}";
  }
  std::string manifest = kCopyManifest;
  manifest.insert(manifest.size() - 2, more);
  const std::string content = engine_file(manifest, copy_sections());
  const CudaEngine engine = read_cuda_engine(content, "x.engine");
  const struct {
    int major, minor, expected;
  } kCases[] = {{8, 0, 80}, {8, 5, 80},   {8, 6, 86}, {8, 9, 86},   {9, 0, 90},  {7, 5, 0},
                {10, 0, 0}, {10, 3, 103}, {11, 0, 0}, {12, 0, 120}, {12, 1, 120}};
  for (const auto& one : kCases) {
    CHECK_EQUAL(architecture_for(engine, one.major, one.minor), one.expected);
  }
}

void refuses_headers() {
  const std::string whole = copy_engine();
  expect(whole, "");
  for (const std::size_t size : {0U, 7U, 8U, 63U})
    expect(whole.substr(0, size), "is not an engine");
  expect("ONNX" + whole.substr(4), "is not an engine");
  const auto with = [&](std::size_t place, const std::string& bytes) {
    std::string content = whole;
    return content.replace(place, bytes.size(), bytes);
  };
  expect(with(8, little_endian(2, 4)), "has version 2 of the format; this program reads version 1");
  expect(with(12, little_endian(65, 4)), "end before its manifest does");
  expect(with(16, little_endian(whole.size() - 63, 8)), "end before its manifest does");
  expect(with(16, little_endian(UINT64_MAX, 8)), "end before its manifest does");
  expect(with(24, "\1"), "its manifest has another SHA-256");
  expect(with(70, "\1"), "its manifest has another SHA-256");
  expect(with(64 + kManifestRoom, "\1"), "the weights have another SHA-256");
  expect(with(64 + kManifestRoom + 512 + 30, "\1"),
         "the code of the kernel 'copy' for sm80 have another SHA-256");
  expect(whole.substr(0, whole.size() - 1000), "lie outside of its");
  expect(engine_file("[]", {}), "its manifest is no object");
  expect(engine_file("{\"io\"", {}), "is not JSON");
  expect(engine_file("{\"io\": \"\xC3\x28\"}", {}), "is not JSON");
}

void refuses_manifests() {
  const struct {
    const char *part, *instead, *message;
  } kWrong[] = {
      {"\"io\": \"image\"", "\"io\": \"bytes\"", "io is 'bytes'"},
      {"\"io\": \"image\"", "\"io\": 1", "io is no text"},
      {"\"io\": \"image\"", "\"of\": \"image\"", "has no 'io'"},
      {"\"half\": \"fp16\"", "\"half\": \"fp32\"", "half is 'fp32'"},
      {"\"nothing 1.0\"", "1.0", "compiler is no text"},
      {"\"weights\": \"@0\"", "\"weights\": 3", "the weights is no object"},
      {"\"weights\": \"@0\"", R"("weights": {"offset": 0, "size": 0, "sha256": ""})",
       "the weights lie outside"},
      {"\"weights\": \"@0\"",
       R"("weights": {"offset": 9223372036854775807, "size": 9223372036854775807, "sha256": ""})",
       "the weights lie outside"},
      {"\"weights\": \"@0\"", R"("weights": {"offset": 8192, "size": -1, "sha256": ""})",
       "the weights lie outside"},
      {"\"weights\": \"@0\"", R"("weights": {"offset": 8193, "size": 1, "sha256": ""})",
       "no multiple of 256"},
      {"\"offset\": 0", "\"offset\": 255", "'a' does not lie"},
      {"\"offset\": 0", "\"offset\": -256", "'a' does not lie"},
      {"\"offset\": 0", "\"offset\": -9223372036854775808", "'a' does not lie"},
      {"\"offset\": 0", "\"offset\": 512", "'a' does not lie"},
      {"[3, 5]", "[3, 1000000000]", "'a' does not lie"},
      {"[3, 5]", "[4611686018427387904, 4]", "'a' does not lie"},
      {"[3, 5]", "[0, 5]", "'a' does not lie"},
      {"[3, 5]", "[-3, -5]", "'a' does not lie"},
      {"[3, 5]", "[]", "'a' does not lie"},
      {"[3, 5]", "[3.0, 5]", "is no whole number"},
      {"[7]", "[8]", "'b' does not lie"},
      {"\"b\", \"dtype\"", "\"a\", \"dtype\"", "two weights 'a'"},
      {"\"dtype\": \"fp16\"", "\"dtype\": \"fp64\"", "dtype is 'fp64'"},
      {"\"sm80\"", "\"sm8\"", "'sm8' is no architecture"},
      {"\"sm80\"", "\"sm080\"", "'sm080' is no architecture"},
      {"\"sm80\"", "\"sm80a\"", "'sm80a' is no architecture"},
      {"\"warps\": 4", "\"warps\": 3", "asks for 3 warps"},
      {"\"warps\": 4", "\"warps\": 64", "asks for 64 warps"},
      {"\"warps\": 4", "\"warps\": -1", "asks for -1 warps"},
      {"\"warps\": 4", "\"warps\": true", "warps is no whole number"},
      {"65536", "1048576", "1048576 bytes"},
      {"65536", "-1", "-1 bytes"},
      {"\"copy_bytes\"", "\"other\"", "no function 'other'"},
      {"\"copy_bytes\"", "\"\"", "no function ''"},
      {"\"copy_bytes\"", "\"copy bytes\"", "no function 'copy bytes'"},
      {"\"cubin\": \"@1\"", "\"cubin\": \"@0\"", "has no machine code"},
      {"\"CHANNELS\": 64", "\"CHANNELS\": \"64\"", "CHANNELS is no whole number"},
      {"[\"bytes\", \"i32\"]", "[\"bytes\", \"i64\"]", "is of the kind 'i64'"},
      {"[\"bytes\", \"i32\"]", "[\"bytes\"]", "a parameter has 1 parts"},
      {"[\"bytes\", \"i32\"]", "[\"source\", \"i32\"]", "two parameters of one name"},
      {"\"kernel\": 0", "\"kernel\": 2", "there is no kernel 2"},
      {"\"kernel\": 0", "\"kernel\": -1", "there is no kernel -1"},
      {"\"kernel\": 0", "\"kernel\": true", "kernel is no whole number"},
      {"\"part\": \"edge\", \"grid\": [[\"bytes\"", "\"grid\": [[\"bytes\"", "has no 'part'"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[]", "a grid has 0 axes"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[1, 1, 1, 1]", "a grid has 4 axes"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[\"x\"]]", "unknown name 'x'"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[\"band\"]]", "unknown name 'band'"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[\"first\"]]", "unknown name 'first'"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[\"+\"]]", "'+' lacks an operand"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[1, 2, \"if\"]]", "'if' lacks an operand"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[1, 2]]", "must leave one value"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[]]", "must leave one value"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[1.5]", "is no number"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[true]", "is no number"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[1.5]]", "is no text"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[4611686018427387905]", "too large a number"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[[-4611686018427387905]]", "too large a number"},
      {"[[\"bytes\", 1024, \"ceil\"]]", "[9223372036854775808]", "is not JSON"},
      {"[\"input\"], [\"arena\", 0]", "[\"arena\", 0]", "takes 3 arguments, not 2"},
      {"[\"input\"]", "[]", "an argument is empty"},
      {"[\"input\"]", "[\"input\", 1]", "cannot be the argument 'source'"},
      {"[\"input\"]", "[\"i32\", 1]", "cannot be the argument 'source'"},
      {"[\"weight\", 1]", "[\"weight\", 2]", "there is no weight 2"},
      {"[\"weight\", 1]", "[\"weight\", -1]", "there is no weight -1"},
      {"[\"weight\", 1]", "[\"weight\"]", "cannot be the argument 'weight'"},
      {"[\"f32\", -2.5]", "[\"f32\", -2]", "cannot be the argument 'eps'"},
      {"[\"f32\", -2.5]", "[\"f32\", -2.5e300]", "too large for 32 bits"},
      {"[\"f32\", -2.5]", "[\"f32\", -2.5e3000]", "too large for 32 bits"},
      {"[\"f32\", -2.5]", "[\"i32\", 1]", "cannot be the argument 'eps'"},
      {"\"index\": \"band\"", "\"index\": \"row\"", "'row' cannot be a new name"},
      {"\"index\": \"band\"", "\"index\": \"max\"", "'max' cannot be a new name"},
      {"\"index\": \"band\"", "\"index\": \"2\"", "'2' cannot be a new name"},
      {"\"index\": \"band\"", "\"index\": 2", "a name is no text"},
      {"[\"row\", [\"picture_width\"", "[\"batch\", [\"picture_width\"", "cannot be a new name"},
      {"[\"row\", [\"picture_width\"", "[\"row\", 1, [\"picture_width\"", "has 3 parts"},
      {"[\"row\", [\"picture_width\", 3, \"*\"]]", "[\"row\", [\"bytes\"]]",
       "unknown name 'bytes'"},
      {"[\"row\", [\"picture_width\", 3, \"*\"]]", "[\"row\", [\"row\"]]", "unknown name 'row'"},
      {"[\"picture_width\"], 3],", "[\"picture_width\"]],", "output_shape has 3 sides"},
      {"[\"picture_width\"], 3],", "\"picture_width\", 3],", "'picture_width' is no number"},
      // What makes no difference.
      {"\"io\": \"image\"", "\"io\": \"image\", \"new\": {\"a\": [1e999]}", ""},
      {"\"compiler\": \"nothing 1.0\", ", "", ""},
      {"[\"f32\", -2.5]", "[\"f32\", -25e-1]", ""},
  };
  for (const auto& wrong : kWrong) expect(changed_engine(wrong.part, wrong.instead), wrong.message);
  expect(changed_engine("\"architectures\": {", "\"architectures\": {}, \"x\": {"),
         "machine code for no architecture");
  // A name that is long, and one that is no line of text.
  const std::string message =
      refusal(changed_engine("\"io\": \"image\"", "\"io\": \"" + std::string(500, 'x') + "\""));
  CHECK(message.size() < 250);
  const std::string lines = refusal(changed_engine("\"io\": \"image\"", R"("io": "a\nb\u0000c")"));
  CHECK(lines.find("'a b c'") != std::string::npos);
}

// Machine code for another machine.
void refuses_code() {
  const auto with = [](const std::string& code) {
    auto sections = copy_sections();
    sections[1] = code;
    return engine_file(kCopyManifest, sections);
  };
  const std::string right = copy_sections()[1];
  expect(with(right), "");
  expect(with(""), "has no machine code");
  expect(with("\x7f"
              "ELF"),
         "has no machine code");
  expect(with(std::string(right).replace(0, 1, "E")), "has no machine code");
  expect(with(std::string(right).replace(18, 1, "\x3E")), "has no machine code");
}

}  // namespace

int main() {
  reads();
  chooses();
  refuses_headers();
  refuses_manifests();
  refuses_code();
}
