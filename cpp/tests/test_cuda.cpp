// The plug-in "cuda" on a stand-in of the driver: what it launches, what it holds, how it fails.
#include <atomic>
#include <cstring>
#include <sstream>
#include <thread>
#include <utility>

#include "api.hpp"
#include "cuda_engine_file.hpp"
#include "fake_cuda.hpp"

using namespace swinir_test;

namespace {

const FakeCuda& fake() {
  static const FakeCuda driver(SWINIR_TEST_FAKE_CUDA);
  return driver;
}

swinir_model_options options_for(const char* device = nullptr) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  options.library = SWINIR_TEST_FAKE_CUDA;
  options.device = device;
  return options;
}

swinir_status open_bytes(const std::string& content, Model& model,
                         const swinir_model_options& options = options_for()) {
  const std::string sidecar = copy_sidecar(content.size());
  swinir_model* raw = nullptr;
  const swinir_status status =
      swinir_model_open_memory(content.data(), content.size(), sidecar.c_str(), &options, &raw);
  model.reset(raw);
  return status;
}

Model usual_model() {
  Model model;
  CHECK_STATUS(open_bytes(copy_engine(), model), SWINIR_OK);
  return model;
}

void says(const std::string& part) {
  if (std::strstr(swinir_last_error(), part.c_str()) != nullptr) return;
  std::cerr << "no '" << part << "' in '" << swinir_last_error() << "'" << std::endl;
  std::exit(1);
}

// Nothing is held on the GPU, nor for it, and nothing else was said.
void held_nothing() { CHECK_EQUAL(fake().held(), ""); }

std::vector<std::string> log_lines(const std::string& with = "") {
  std::istringstream log(fake().log());
  std::vector<std::string> lines;
  for (std::string line; std::getline(log, line);) {
    if (line.find(with) != std::string::npos) lines.push_back(line);
  }
  return lines;
}

// Runs [batch, height, width, 3] bytes, and checks that the same come back.
swinir_status run(const Session& session, std::int64_t batch, std::int64_t height,
                  std::int64_t width, std::uint32_t seed = 1) {
  const std::int64_t shape[4] = {batch, height, width, 3};
  const auto in = noise(static_cast<std::size_t>(batch * height * width * 3), seed);
  std::vector<std::uint8_t> out(in.size());
  const swinir_status status =
      swinir_session_run(session.get(), in.data(), shape, out.data(), out.size());
  if (status == SWINIR_OK) CHECK(in == out);
  return status;
}

// The launches of a shape, each number thought through by hand from the manifest.
void launches() {
  fake().reset();
  {
    const Model model = usual_model();
    const Session session = session_of(model);
    CHECK_STATUS(run(session, 2, 11, 13), SWINIR_OK);  // 858 bytes: 432 elements
    const auto allocated = log_lines("alloc ");
    CHECK_EQUAL(allocated.size(), 4U);
    const auto number = [](const std::string& line, int word) {
      std::istringstream stream(line);
      std::string found;
      for (int i = 0; i <= word; ++i) stream >> found;
      return std::stoull(found);
    };
    const auto weights = number(allocated[0], 1), input = number(allocated[1], 1),
               output = number(allocated[2], 1), arena = number(allocated[3], 1);
    CHECK_EQUAL(number(allocated[0], 2), 284U);
    CHECK_EQUAL(number(allocated[1], 2), 858U);
    CHECK_EQUAL(number(allocated[2], 2), 858U);
    CHECK_EQUAL(number(allocated[3], 2), 4U * 432);
    const auto at = [](const char* name, unsigned long long address) {
      return std::string(" ") + name + ":" + std::to_string(address);
    };
    // 1e-05 and -2.5 as 32 bits: 0x3727C5AC, 0xC0200000.
    const std::string eps = " 4:925353388", factor = " 4:3223322624", nulls = " 8:0 8:0";
    const std::vector<std::string> expected = {
        "upload " + std::to_string(input) + " 858 pinned stream 1",
        "launch 0 copy_bytes grid 1 1 1 block 128 shared 0 stream 1 arguments" + at("8", input) +
            at("8", arena) + " 4:858" + nulls,
        "launch 1 look_at_rows grid 6 2 1 block 256 shared 65536 stream 1 arguments" +
            at("8", arena) + at("8", weights + 256) + " 4:22" + eps + nulls,
        "launch 1 look_at_rows grid 8 3 1 block 256 shared 65536 stream 1 arguments" +
            at("8", arena + 864) + at("8", weights) + " 4:0" + factor + nulls,
        "launch 1 look_at_rows grid 3 3 1 block 256 shared 65536 stream 1 arguments" +
            at("8", arena + 864) + at("8", weights) + " 4:8" + factor + nulls,
        "launch 0 copy_bytes grid 1 1 1 block 128 shared 0 stream 1 arguments" + at("8", arena) +
            at("8", arena + 864) + " 4:858" + nulls,
        "launch 0 copy_bytes grid 1 1 1 block 128 shared 0 stream 1 arguments" +
            at("8", arena + 864) + at("8", output) + " 4:858" + nulls,
        "download " + std::to_string(output) + " 858 pinned stream 1"};
    const auto found = log_lines("stream 1");
    CHECK_EQUAL(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK_EQUAL(found[i], expected[i]);
    // The weights went first, in a stream of their own.
    CHECK_EQUAL(log_lines("stream 0").size(), 1U);
    CHECK_EQUAL(log_lines("stream 0")[0], "upload " + std::to_string(weights) + " 284 stream 0");
    // Only the kernel with more than 48 KB asks for them.
    CHECK_EQUAL(fake().calls("cuFuncSetAttribute"), 1);
  }
  held_nothing();
}

void describes() {
  fake().reset();
  const Model model = usual_model();
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_OK);
  CHECK_EQUAL(std::string(info.backend), "cuda");
  CHECK_EQUAL(std::string(info.backend_version), "12.8");
  CHECK_EQUAL(std::string(info.device), "cuda");
  CHECK_EQUAL(info.io, SWINIR_IO_IMAGE);
  CHECK_EQUAL(info.precision, SWINIR_FP16);
  CHECK_EQUAL(info.batch + info.height + info.width, 0);
  CHECK_EQUAL(info.min_side_px, 5);
}

// A shape that comes again: a graph from the second time on, of the same launches.
void graphs() {
  fake().reset();
  {
    const Model model = usual_model();
    const Session session = session_of(model);
    for (std::uint32_t turn = 0; turn < 4; ++turn) {
      CHECK_STATUS(run(session, 1, 9, 9, turn), SWINIR_OK);
    }
    CHECK_EQUAL(log_lines("launch-graph").size(), 3U);
    const auto plain = log_lines("launch 0"), recorded = log_lines("recorded launch 0");
    CHECK_EQUAL(recorded.size(), 3U);
    CHECK_EQUAL(plain.size(), 6U);
    for (std::size_t i = 0; i < 3; ++i) CHECK_EQUAL(recorded[i], "recorded " + plain[i]);
    // A smaller shape finds room in the same buffers, and leaves the graph as it is.
    const int allocations = fake().calls("cuMemAlloc_v2");
    CHECK_STATUS(run(session, 1, 8, 9), SWINIR_OK);
    CHECK_STATUS(run(session, 1, 9, 9), SWINIR_OK);
    CHECK_EQUAL(fake().calls("cuMemAlloc_v2"), allocations);
    CHECK_EQUAL(log_lines("launch-graph").size(), 4U);
    // A larger one moves the buffers: the graph, which has their addresses, goes.
    CHECK_STATUS(run(session, 1, 40, 9), SWINIR_OK);
    CHECK_EQUAL(fake().calls("cuMemAlloc_v2"), allocations + 3);
    CHECK_EQUAL(fake().calls("cuGraphExecDestroy"), 1);
    for (std::uint32_t turn = 0; turn < 3; ++turn) {
      CHECK_STATUS(run(session, 1, 9, 9, turn), SWINIR_OK);
    }
    CHECK_EQUAL(log_lines("launch-graph").size(), 6U);
    // Many shapes: not more than eight graphs.
    for (std::int64_t side = 5; side < 25; ++side) {
      for (int turn = 0; turn < 2; ++turn) CHECK_STATUS(run(session, 1, side, 5), SWINIR_OK);
    }
    CHECK(fake().held().find(" 8 ready graphs ") != std::string::npos);
  }
  held_nothing();

  // Where none can be made, everything is launched one by one as before.
  for (const char* function : {"cuStreamBeginCapture_v2", "cuStreamEndCapture",
                               "cuGraphInstantiateWithFlags", "cuLaunchKernel"}) {
    fake().reset();
    {
      const Model model = usual_model();
      const Session session = session_of(model);
      CHECK_STATUS(run(session, 1, 9, 9, 1), SWINIR_OK);
      fake().fail(function, 1, 999);
      CHECK_STATUS(run(session, 1, 9, 9, 2), SWINIR_OK);
      CHECK_EQUAL(log_lines("launch-graph").size(), 0U);
    }
    held_nothing();
  }
}

void finds_no_gpu() {
  const std::string engine = copy_engine();
  Model model;
  const auto expect = [&](const swinir_model_options& options, swinir_status status,
                          const char* part) {
    CHECK_STATUS(open_bytes(engine, model, options), status);
    says(part);
    CHECK_EQUAL(log_lines("alloc").size() + log_lines("module").size(), 0U);
    held_nothing();
  };
  fake().reset();
  swinir_model_options options = options_for();
  options.library = "/nowhere/libcuda.so.1";
  expect(options, SWINIR_BACKEND_MISSING, "Install NVIDIA's driver");
  options.library = kForeignLibrary;
  expect(options, SWINIR_BACKEND_MISMATCH, "cuGetErrorString");
  for (const char* device : {"gpu", "cuda:", "cuda:1x", "cuda:-1"}) {
    expect(options_for(device), SWINIR_INVALID_ARGUMENT, "cuda or cuda:N");
  }
  expect(options_for("cuda:1"), SWINIR_DEVICE_UNAVAILABLE, "no GPU 1; this machine has 1");
  fake().fail("cuInit", 1, 100);
  expect(options_for(), SWINIR_DEVICE_UNAVAILABLE, "Looking for a GPU failed");
  fake().set("devices", 0);
  expect(options_for(), SWINIR_DEVICE_UNAVAILABLE, "no GPU 0; this machine has 0");
  fake().reset();
  fake().set("major", 7);
  fake().set("minor", 5);
  expect(options_for(), SWINIR_DEVICE_UNAVAILABLE,
         "has machine code for sm80; GPU 0 (Stand-in 0) is sm75");
  fake().reset();
  fake().set("shared_bytes", 49152);
  expect(options_for(), SWINIR_DEVICE_UNAVAILABLE,
         "the kernel rows needs 65536 bytes of shared memory; Stand-in 0 has 49152");
  fake().reset();
  fake().fail("cuDevicePrimaryCtxRetain", 1, 101);
  expect(options_for(), SWINIR_DEVICE_UNAVAILABLE, "Using the GPU failed");

  // A second GPU, and one newer than the code but of its kind.
  fake().reset();
  fake().set("devices", 2);
  fake().set("minor", 9);
  CHECK_STATUS(open_bytes(engine, model, options_for("cuda:1")), SWINIR_OK);
  CHECK_EQUAL(log_lines("retain 1").size(), 1U);
  model.reset();
  held_nothing();
}

// A driver that is too old for the machine code says so when it loads it.
void cannot_load() {
  Model model;
  for (const char* function : {"cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute"}) {
    fake().reset();
    fake().fail(function, 1, 209);
    CHECK_STATUS(open_bytes(copy_engine(), model), SWINIR_BACKEND_MISMATCH);
    says("loading the kernel ");
    held_nothing();
  }
  auto sections = copy_sections();
  sections[1] = cubin("copy_bytes_2", {8, 8, 4, 8, 8});
  fake().reset();
  CHECK_STATUS(open_bytes(engine_file(kCopyManifest, sections), model), SWINIR_BACKEND_MISMATCH);
  held_nothing();
}

void runs_out_of_memory() {
  Model model;
  // The first is for the weights.
  fake().reset();
  fake().fail("cuMemAlloc_v2", 1, 2);
  CHECK_STATUS(open_bytes(copy_engine(), model), SWINIR_OUT_OF_MEMORY);
  says("Taking 284 bytes of the GPU's memory failed: out of memory (CUDA_ERROR_OUT_OF_MEMORY)");
  held_nothing();

  // Of a run any may fail, the first one of a session or one that needs more than before; the next
  // run goes well.
  const std::pair<const char*, int> kTurns[] = {{"cuMemAlloc_v2", 1},
                                                {"cuMemAlloc_v2", 2},
                                                {"cuMemAlloc_v2", 3},
                                                {"cuMemAllocHost_v2", 1},
                                                {"cuMemAllocHost_v2", 2}};
  for (const auto& [function, turn] : kTurns) {
    for (const bool is_first : {true, false}) {
      fake().reset();
      {
        model = usual_model();
        const Session session = session_of(model);
        if (!is_first) CHECK_STATUS(run(session, 1, 8, 8), SWINIR_OK);
        fake().fail(function, turn, 2);
        CHECK_STATUS(run(session, 1, 16, 16), SWINIR_OUT_OF_MEMORY);
        // What stands in the way of a smaller tile is gone: the weights and the stream are left.
        CHECK_EQUAL(fake().held(), "1 buffers 2 modules 1 streams 1 retained ");
        CHECK_STATUS(run(session, 1, 16, 16), SWINIR_OK);
      }
      model.reset();
      held_nothing();
    }
  }

  // A picture for which there is no room goes through in tiles, and is the same.
  fake().reset();
  model = usual_model();
  const Session session = session_of(model);
  fake().set("memory", 100000);  // 4 * 3 bytes a pixel: 8000 pixels
  const std::int32_t width = 200, height = 150;
  auto in = noise(width * height * 3);
  std::vector<std::uint8_t> out(in.size());
  const swinir_picture input = picture(in.data(), width, height),
                       output = picture(out.data(), width, height);
  CHECK_STATUS(swinir_session_restore(session.get(), &input, &output), SWINIR_OK);
  CHECK(in == out);
  swinir_memory memory = SWINIR_MEMORY_INIT;
  CHECK_STATUS(swinir_session_get_memory(session.get(), &memory), SWINIR_OK);
  CHECK(memory.backend_bytes > 0 && memory.backend_bytes < 150000);
  // Where not even the smallest tile fits, that is said.
  fake().set("memory", 1000);
  Session second = session_of(model);
  CHECK_STATUS(swinir_session_restore(second.get(), &input, &output), SWINIR_OUT_OF_MEMORY);
  says("Not enough memory for one tile of 32x32 pixels");
}

// A batch that no GPU could be asked for is too large, not wrong.
void is_too_large() {
  fake().reset();
  const Model model = usual_model();
  const Session session = session_of(model);
  const std::int64_t shape[4] = {3, 16384, 16384, 3};  // more than 2^31 - 1 bytes
  std::vector<std::uint8_t> one(1);
  // The library checks the size of the result, not of the input, which is not read here.
  CHECK_STATUS(swinir_session_run(session.get(), one.data(), shape, one.data(),
                                  std::size_t{3} * 16384 * 16384 * 3),
               SWINIR_OUT_OF_MEMORY);
  says("A batch of 3 with 16384x16384 pixels is too large for one run on the GPU");
}

void fails_while_it_computes() {
  const struct {
    const char *function, *words;
    int code;
  } kCases[] = {
      {"cuLaunchKernel", "Launching a kernel failed: some error (CUDA_ERROR)", 701},
      {"cuStreamSynchronize", "Computing on the GPU failed: an illegal address", 700},
      {"cuMemcpyHtoDAsync_v2", "Copying to the GPU failed: an unknown error (error 999)", 999},
      {"cuMemcpyDtoHAsync_v2", "Copying from the GPU failed", 1},
      {"cuCtxPushCurrent_v2", "Using the GPU failed", 201}};
  for (const auto& one : kCases) {
    fake().reset();
    {
      const Model model = usual_model();
      const Session session = session_of(model);
      fake().fail(one.function, 1, one.code);
      CHECK_STATUS(run(session, 1, 9, 9),
                   one.code == 201 ? SWINIR_DEVICE_UNAVAILABLE : SWINIR_INFERENCE_FAILED);
      says(one.words);
      CHECK_STATUS(run(session, 1, 9, 9), SWINIR_OK);
    }
    held_nothing();
  }
  // The same of a graph.
  fake().reset();
  const Model model = usual_model();
  const Session session = session_of(model);
  for (int turn = 0; turn < 2; ++turn) CHECK_STATUS(run(session, 1, 9, 9), SWINIR_OK);
  fake().fail("cuGraphLaunch", 1, 700);
  CHECK_STATUS(run(session, 1, 9, 9), SWINIR_INFERENCE_FAILED);
  says("Launching a graph failed: an illegal address (CUDA_ERROR_ILLEGAL_ADDRESS)");
  // And a session that gets no stream.
  fake().fail("cuStreamCreate", 1, 2);
  swinir_session* raw = nullptr;
  CHECK_STATUS(swinir_session_create(model.get(), nullptr, &raw), SWINIR_OUT_OF_MEMORY);
  says("Making a stream on the GPU failed");
}

// A program that no shape can be planned with is refused before anything goes to the GPU.
void plans_nothing() {
  Model model;
  for (const char* elements : {"[\"elements\", -2, \"*\"]", "[\"elements\", 0, \"//\"]",
                               "[\"bytes\", 4611686018427387904, \"*\"]"}) {
    fake().reset();
    CHECK_STATUS(open_bytes(changed_engine("[\"elements\", 2, \"*\"]", elements), model),
                 SWINIR_INVALID_MODEL);
    says("with 64x64 pixels");
    CHECK_EQUAL(fake().calls("cuDevicePrimaryCtxRetain"), 0);
    held_nothing();
  }
}

// An engine that its sidecar does not describe.
void promises_something_else() {
  fake().reset();
  Model model;
  CHECK_STATUS(open_bytes(changed_engine("\"io\": \"image\"", "\"io\": \"tensor\""), model),
               SWINIR_INVALID_MODEL);
  says("promises one input and one output of uint8 with 3 channels");
  CHECK_STATUS(
      open_bytes(changed_engine("[\"picture_width\"], 3],", "[\"picture_width\"], 1],"), model),
      SWINIR_INVALID_MODEL);
  held_nothing();
  const std::string other = changed_engine("[\"picture_height\"], [\"picture_width\"], 3],",
                                           "[\"picture_width\"], [\"picture_height\"], 3],");
  CHECK_STATUS(open_bytes(other, model), SWINIR_OK);
  const Session session = session_of(model);
  CHECK_STATUS(run(session, 1, 9, 8), SWINIR_INVALID_MODEL);
  says("another shape than its sidecar promises");
}

void reads_files() {
  fake().reset();
  const Folder folder;
  const std::string content = copy_engine();
  const std::string path = folder.file("x.engine", content);
  folder.file("x.engine.json", copy_sidecar(content.size()));
  Model model;
  CHECK_STATUS(open(path, options_for(), model), SWINIR_OK);
  CHECK_STATUS(run(session_of(model), 1, 9, 9), SWINIR_OK);
  model.reset();
  std::string wrong = content;
  wrong[64 + kManifestRoom] = static_cast<char>(wrong[64 + kManifestRoom] ^ 1);
  folder.file("x.engine", wrong);
  CHECK_STATUS(open(path, options_for(), model), SWINIR_INVALID_MODEL);
  says("x.engine is damaged: the weights have another SHA-256");
}

// What it has to say, where that is asked for.
void logs() {
  fake().reset();
  std::string heard;
  swinir_model_options options = options_for();
  options.log_level = SWINIR_LOG_DEBUG;
  options.log_data = &heard;
  options.log = [](void* data, std::int32_t, const char* message) {
    *static_cast<std::string*>(data) += std::string(message) + "\n";
  };
  Model model;
  CHECK_STATUS(open_bytes(copy_engine(), model, options), SWINIR_OK);
  CHECK_STATUS(run(session_of(model), 1, 9, 9), SWINIR_OK);
  CHECK(heard.find("machine code for sm80 on GPU 0 (Stand-in 0, sm86)") != std::string::npos);
  CHECK(heard.find("bytes of buffers") != std::string::npos);
}

// Sessions of one model in threads: each with a stream and buffers of its own.
void threads() {
  fake().reset();
  {
    const Model model = usual_model();
    std::vector<std::thread> running;
    std::atomic<int> right{0};
    for (std::uint32_t number = 0; number < 4; ++number) {
      running.emplace_back([&model, &right, number] {
        const Session session = session_of(model);
        for (std::uint32_t turn = 0; turn < 50; ++turn) {
          const std::int64_t side = 5 + (number + turn / 2) % 7;
          right += run(session, 1, side, side, number * 100 + turn) == SWINIR_OK ? 1 : 0;
        }
      });
    }
    for (std::thread& thread : running) thread.join();
    CHECK_EQUAL(right.load(), 200);
    CHECK_EQUAL(fake().calls("cuStreamCreate"), 5);
  }
  held_nothing();
}

}  // namespace

int main() {
  launches();
  describes();
  graphs();
  finds_no_gpu();
  cannot_load();
  runs_out_of_memory();
  is_too_large();
  fails_while_it_computes();
  plans_nothing();
  promises_something_else();
  reads_files();
  logs();
  threads();
}
