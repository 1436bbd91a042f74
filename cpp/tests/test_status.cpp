// Every status, by the way that a program would meet it.
#include <cstring>
#include <limits>
#include <thread>

#include "api.hpp"

using namespace swinir_test;

namespace {

struct Buffers {
  std::vector<std::uint8_t> in = noise(20 * 10 * 3), out = std::vector<std::uint8_t>(40 * 20 * 3);
  swinir_picture input = picture(in.data(), 20, 10), output = picture(out.data(), 40, 20);
};

swinir_status restore(const Session& session, const Buffers& buffers) {
  return swinir_session_restore(session.get(), &buffers.input, &buffers.output);
}

void says(const char* part) {
  if (std::strstr(swinir_last_error(), part) != nullptr) return;
  std::cerr << "no '" << part << "' in '" << swinir_last_error() << "'" << std::endl;
  std::exit(1);
}

void names() {
  CHECK_EQUAL(std::string(swinir_version()), "0.1.0");
  CHECK_EQUAL(std::string(swinir_last_error()), "");
  CHECK_EQUAL(std::string(swinir_status_name(SWINIR_OK)), "SWINIR_OK");
  CHECK_EQUAL(std::string(swinir_status_name(SWINIR_CANCELLED)), "SWINIR_CANCELLED");
  CHECK_EQUAL(std::string(swinir_status_name(SWINIR_INTERNAL)), "SWINIR_INTERNAL");
  CHECK_EQUAL(std::string(swinir_status_name(-1)), "SWINIR_UNKNOWN");
  CHECK_EQUAL(std::string(swinir_status_name(SWINIR_INTERNAL + 1)), "SWINIR_UNKNOWN");
}

void invalid_arguments() {
  const Model model = fake_model();
  const Session session = session_of(model);
  const Buffers buffers;
  swinir_model* no_model = nullptr;
  swinir_session* no_session = nullptr;
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  const swinir_status expected = SWINIR_INVALID_ARGUMENT;

  CHECK_STATUS(swinir_model_open(nullptr, nullptr, &no_model), expected);
  CHECK_STATUS(swinir_model_open("x.onnx", nullptr, nullptr), expected);
  CHECK_STATUS(swinir_model_get_info(nullptr, &info), expected);
  CHECK_STATUS(swinir_model_get_info(model.get(), nullptr), expected);
  CHECK_STATUS(swinir_session_create(nullptr, nullptr, &no_session), expected);
  CHECK_STATUS(swinir_session_create(model.get(), nullptr, nullptr), expected);
  CHECK_STATUS(swinir_session_restore(nullptr, &buffers.input, &buffers.output), expected);
  CHECK_STATUS(swinir_session_restore(session.get(), nullptr, &buffers.output), expected);
  CHECK_STATUS(swinir_session_restore(session.get(), &buffers.input, nullptr), expected);
  CHECK_STATUS(swinir_session_run(session.get(), nullptr, nullptr, nullptr, 0), expected);
  CHECK_STATUS(swinir_session_get_memory(session.get(), nullptr), expected);
  const std::int64_t shape[4] = {1, 3, 8, 8};
  std::int64_t output_shape[4];
  CHECK_STATUS(swinir_model_output_shape(nullptr, shape, output_shape), expected);
  CHECK_STATUS(swinir_model_output_shape(model.get(), nullptr, output_shape), expected);
  CHECK_STATUS(swinir_model_output_shape(model.get(), shape, nullptr), expected);
  swinir_model_close(nullptr);
  swinir_session_destroy(nullptr);

  const Folder folder;
  const std::string path = folder.file("x.tensor.-1x3x-1x-1.onnx", onnx_bytes(usual_properties()));
  Model none;
  swinir_model_options options = fake_options();
  options.backend = "../evil";
  CHECK_STATUS(open(path, options, none), expected);
  options = fake_options();
  options.threads = -1;
  CHECK_STATUS(open(path, options, none), expected);
  says("threads is -1");
  options = fake_options();
  options.log_level = 5;
  CHECK_STATUS(open(path, options, none), expected);
  options = fake_options();
  options.precision = 4;
  CHECK_STATUS(open(path, options, none), expected);
  options.precision = SWINIR_BF16;
  CHECK_STATUS(open(path, options, none), expected);
  says("that of the file");

  const struct {
    std::int32_t tile, overlap, batch;
  } kWrong[] = {{-2, 0, 0}, {0, -2, 0}, {0, 0, -1}};
  for (const auto& wrong : kWrong) {
    swinir_session_options session_options = SWINIR_SESSION_OPTIONS_INIT;
    session_options.tile_px = wrong.tile;
    session_options.overlap_px = wrong.overlap;
    session_options.batch = wrong.batch;
    CHECK_STATUS(swinir_session_create(model.get(), &session_options, &no_session), expected);
    CHECK(no_session == nullptr);
  }
}

// A program that was compiled against an older or a newer header.
void struct_sizes() {
  const Model model = fake_model();
  swinir_session* raw = nullptr;
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{5000}}) {
    swinir_session_options options = SWINIR_SESSION_OPTIONS_INIT;
    options.struct_size = size;
    CHECK_STATUS(swinir_session_create(model.get(), &options, &raw), SWINIR_INVALID_ARGUMENT);
    swinir_model_info info = SWINIR_MODEL_INFO_INIT;
    info.struct_size = size;
    CHECK_STATUS(swinir_model_get_info(model.get(), &info), SWINIR_INVALID_ARGUMENT);
  }
  // Older: the fields that it does not have are the defaults, even where its memory goes on.
  swinir_session_options older = SWINIR_SESSION_OPTIONS_INIT;
  older.struct_size = offsetof(swinir_session_options, batch);
  older.batch = -7;
  CHECK_STATUS(swinir_session_create(model.get(), &older, &raw), SWINIR_OK);
  swinir_session_destroy(raw);
  swinir_model_info little = SWINIR_MODEL_INFO_INIT;
  little.struct_size = offsetof(swinir_model_info, window_px);
  little.window_px = 77;
  CHECK_STATUS(swinir_model_get_info(model.get(), &little), SWINIR_OK);
  CHECK_EQUAL(little.scale, 2);
  CHECK_EQUAL(little.window_px, 77);
  // Newer: fine as long as what this library does not know is left alone.
  struct {
    swinir_session_options known;
    std::int64_t unknown;
  } newer = {SWINIR_SESSION_OPTIONS_INIT, 0};
  newer.known.struct_size = sizeof newer;
  CHECK_STATUS(swinir_session_create(model.get(), &newer.known, &raw), SWINIR_OK);
  swinir_session_destroy(raw);
  newer.unknown = 1;
  CHECK_STATUS(swinir_session_create(model.get(), &newer.known, &raw), SWINIR_INVALID_ARGUMENT);
  says("does not know");
  struct {
    swinir_memory known;
    std::int64_t unknown;
  } answer = {SWINIR_MEMORY_INIT, 9};
  answer.known.struct_size = sizeof answer;
  const Session session = session_of(model);
  CHECK_STATUS(swinir_session_get_memory(session.get(), &answer.known), SWINIR_OK);
  CHECK_EQUAL(answer.unknown, 0);
  CHECK_EQUAL(answer.known.backend_bytes, 4242U);
}

void invalid_pictures() {
  const Model model = fake_model();
  const Session session = session_of(model);
  const Buffers good;
  CHECK_STATUS(restore(session, good), SWINIR_OK);
  const auto refused = [&](auto change, const char* part) {
    Buffers buffers;
    change(buffers);
    CHECK_STATUS(restore(session, buffers), SWINIR_INVALID_PICTURE);
    says(part);
  };
  refused([](Buffers& b) { b.input.data = nullptr; }, "input: data is NULL");
  refused([](Buffers& b) { b.output.data = nullptr; }, "output: data is NULL");
  refused([](Buffers& b) { b.input.width = 0; }, "0x10");
  refused([](Buffers& b) { b.input.height = -1; }, "20x-1");
  refused([](Buffers& b) { b.input.format = 0; }, "format 0");
  refused([](Buffers& b) { b.output.format = 6; }, "format 6");
  refused([](Buffers& b) { b.input.type = 3; }, "type 3");
  refused([](Buffers& b) { b.input.stride = 59; }, "stride 59");
  refused([](Buffers& b) { b.input.stride = -59; }, "stride -59");
  refused([](Buffers& b) { b.input.stride = std::numeric_limits<std::ptrdiff_t>::min(); },
          "stride");
  refused([](Buffers& b) { b.input.stride = std::numeric_limits<std::ptrdiff_t>::max(); },
          "stride");
  refused([](Buffers& b) { b.output.width = 39; }, "makes 40x20 of 20x10");
  refused([](Buffers& b) { b.output.format = SWINIR_GRAY; }, "both must be gray");
  refused([](Buffers& b) { b.output.data = b.input.data; }, "overlaps");

  std::vector<float> pixels(20 * 10 * 3, 0.5F);
  pixels[100] = std::numeric_limits<float>::quiet_NaN();
  refused(
      [&](Buffers& b) {
        b.input.data = pixels.data();
        b.input.type = SWINIR_FLOAT32;
      },
      "not finite");
}

void invalid_models() {
  const Folder folder;
  Model model;
  const swinir_status expected = SWINIR_INVALID_MODEL;
  CHECK_STATUS(open(folder.path() + "/none.onnx", fake_options(), model), expected);
  CHECK_STATUS(open(folder.file("x.onnx", "rubbish"), fake_options(), model), expected);
  // The metadata says one thing, the graph another.
  const std::string bytes = onnx_bytes(usual_properties());
  CHECK_STATUS(open(folder.file("x.tensor.-1x1x-1x-1.onnx", bytes), fake_options(), model),
               expected);
  CHECK_STATUS(open(folder.file("x.image.-1x3x-1x-1.onnx", bytes), fake_options(), model),
               expected);
  const std::string right = folder.file("x.tensor.-1x3x-1x-1.onnx", bytes);
  CHECK_STATUS(open(right, fake_options("two-inputs"), model), expected);
  says("changed after its export");
  // Fixed sides below a window cannot be tiled.
  const Model narrow = fake_model(usual_properties(), nullptr, "tensor.1x3x6x64");
  CHECK_STATUS(restore(session_of(narrow), Buffers()), expected);
  // Control characters of a file do not reach a terminal.
  CHECK_STATUS(open(folder.file("y.onnx", onnx_bytes(with(usual_properties(), "io", "\x1b[31m"))),
                    fake_options(), model),
               expected);
  says("'?[31m'");
}

void backends() {
  const Folder folder, empty;
  const std::string path = folder.file("x.tensor.-1x3x-1x-1.onnx", onnx_bytes(usual_properties()));
  Model model;
  swinir_model_options options = fake_options();
  options.backend = "no_such_backend";
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISSING);
  says(plugin_file("no_such_backend").c_str());
  options.plugin_dir = nullptr;
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISSING);
  says("loader's path");
  options = fake_options();
  empty.file(plugin_file("fake"), "not a shared object");
  options.plugin_dir = nullptr;
  const std::string directory = empty.path();
  options.plugin_dir = directory.c_str();
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISSING);
  says("cannot be loaded");

  options = fake_options();
  options.backend = "otherabi";
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISMATCH);
  says("plug-in interface 1001");
  options.backend = "noentry";
  CHECK_STATUS(open(path, options, model), SWINIR_BACKEND_MISMATCH);
  says("is no plug-in");

  CHECK_STATUS(open(path, fake_options("no-device"), model), SWINIR_DEVICE_UNAVAILABLE);
  says("no such device");
}

// Paths are UTF-8 on every system.
void paths() {
  const Folder folder;
  const std::string name =
      "\u043c\u043e\u0434\u0435\u043b\u044c \u6a21\u578b.tensor.-1x3x-1x-1.onnx";
  const std::string path = folder.file(name, onnx_bytes(usual_properties()));
  Model model;
  CHECK_STATUS(open(path, fake_options(), model), SWINIR_OK);
  CHECK_STATUS(open(path + "x", fake_options(), model), SWINIR_INVALID_MODEL);
  says(name.c_str());
  // In the build folder: Windows does not delete a DLL that is in use.
  const auto source = std::filesystem::u8path(SWINIR_TEST_PLUGIN_DIR);
  const auto elsewhere = source / std::filesystem::u8path("\u00fc \u63d2\u4ef6");
  std::filesystem::create_directories(elsewhere);
  std::filesystem::remove(elsewhere / plugin_file("fake"));
  std::filesystem::copy_file(source / plugin_file("fake"), elsewhere / plugin_file("fake"));
  const std::string plugins = elsewhere.u8string();
  swinir_model_options options = fake_options();
  options.plugin_dir = plugins.c_str();
  CHECK_STATUS(open(path, options, model), SWINIR_OK);
#ifdef _WIN32
  CHECK_STATUS(open("\xff.onnx", fake_options(), model), SWINIR_INVALID_ARGUMENT);
  says("not UTF-8");
#endif
}

void computing() {
  const Buffers buffers;
  const auto behaving = [&](const char* behaviour) {
    return restore(session_of(fake_model(usual_properties(), behaviour)), buffers);
  };
  CHECK_STATUS(behaving("fails"), SWINIR_INFERENCE_FAILED);
  says("not work today");
  CHECK_STATUS(behaving("nan"), SWINIR_NOT_FINITE);
  CHECK_STATUS(behaving("throws"), SWINIR_INTERNAL);
  says("a defect");
  CHECK_STATUS(behaving("unknown-status"), SWINIR_INTERNAL);
  says("status 99");
  CHECK_STATUS(behaving("memory:7"), SWINIR_OUT_OF_MEMORY);
  says("Too large");
}

std::int32_t cancel_at_two(void* calls, std::int64_t done, std::int64_t total) {
  ++*static_cast<int*>(calls);
  CHECK(done <= total);
  return done >= 2 ? 1 : 0;
}

struct Reentry {
  swinir_session* session;
  Buffers buffers;
  swinir_status status;
};

std::int32_t restore_again(void* data, std::int64_t, std::int64_t) {
  auto& reentry = *static_cast<Reentry*>(data);
  reentry.status =
      swinir_session_restore(reentry.session, &reentry.buffers.input, &reentry.buffers.output);
  return 0;
}

void callbacks() {
  const Model model = fake_model();
  swinir_session_options options = SWINIR_SESSION_OPTIONS_INIT;
  int calls = 0;
  options.tile_px = 8;
  options.overlap_px = SWINIR_OVERLAP_NONE;
  options.progress = cancel_at_two;
  options.progress_data = &calls;
  CHECK_STATUS(restore(session_of(model, &options), Buffers()), SWINIR_CANCELLED);
  CHECK_EQUAL(calls, 3);
  says("after 2 of 6 tiles");

  Reentry reentry{nullptr, {}, SWINIR_OK};
  options.progress = restore_again;
  options.progress_data = &reentry;
  const Session session = session_of(model, &options);
  reentry.session = session.get();
  CHECK_STATUS(restore(session, Buffers()), SWINIR_OK);
  CHECK_STATUS(reentry.status, SWINIR_BUSY);
}

// A mistake of the caller that corrupts nothing: every call is either whole or refused.
void one_session_in_many_threads() {
  const Session session = session_of(fake_model());
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const Buffers buffers;
        const swinir_status status = restore(session, buffers);
        if (status == SWINIR_BUSY) continue;
        CHECK_STATUS(status, SWINIR_OK);
        for (std::size_t x = 0; x < 40 * 3; ++x) {
          CHECK_EQUAL(buffers.out[x], buffers.in[x / 6 * 3 + x % 3]);
        }
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done > 0);
}

void messages_belong_to_threads() {
  CHECK_STATUS(swinir_model_open(nullptr, nullptr, nullptr), SWINIR_INVALID_ARGUMENT);
  std::thread([] { CHECK_EQUAL(std::string(swinir_last_error()), ""); }).join();
  says("NULL");
}

void order_of_closing() {
  Model model = fake_model();
  const Session session = session_of(model);
  model.reset();
  CHECK_STATUS(restore(session, Buffers()), SWINIR_OK);
}

void from_memory() {
  const std::string bytes = onnx_bytes(usual_properties());
  swinir_model_options options = fake_options();
  options.library = "x.tensor.-1x3x-1x-1.onnx";
  swinir_model* raw = nullptr;
  const auto opened = [&](const void* data, std::size_t size, const char* sidecar) {
    return swinir_model_open_memory(data, size, sidecar, &options, &raw);
  };
  {
    std::string copy = bytes;
    CHECK_STATUS(opened(copy.data(), copy.size(), nullptr), SWINIR_OK);
    copy.assign(copy.size(), '?');  // nothing of it is kept
  }
  const Model model(raw);
  CHECK_STATUS(restore(session_of(model), Buffers()), SWINIR_OK);
  CHECK_STATUS(opened(kUsualPlan, 6, kUsualSidecar), SWINIR_INVALID_MODEL);  // wants bytes
  options.library = "x.image.-1x1x-1x-1.engine";
  CHECK_STATUS(opened(kUsualPlan, 6, kUsualSidecar), SWINIR_OK);
  swinir_model_close(raw);

  CHECK_STATUS(opened(nullptr, 6, nullptr), SWINIR_INVALID_ARGUMENT);
  CHECK(raw == nullptr);
  CHECK_STATUS(swinir_model_open_memory(bytes.data(), bytes.size(), nullptr, &options, nullptr),
               SWINIR_INVALID_ARGUMENT);
  CHECK_STATUS(opened(bytes.data(), 0, nullptr), SWINIR_INVALID_MODEL);
  CHECK_STATUS(opened(bytes.data(), bytes.size() - 1, nullptr), SWINIR_INVALID_MODEL);
  says("the model in memory");
  CHECK_STATUS(opened(kUsualPlan, 5, kUsualSidecar), SWINIR_INVALID_MODEL);
  says("5 bytes");
}

}  // namespace

int main() {
  names();
  invalid_arguments();
  struct_sizes();
  invalid_pictures();
  invalid_models();
  backends();
  paths();
  computing();
  callbacks();
  one_session_in_many_threads();
  messages_belong_to_threads();
  order_of_closing();
  from_memory();
  // Each of them was met on the way.
  CHECK_EQUAL(met_statuses.load(), (std::uint64_t{2} << SWINIR_INTERNAL) - 1);
}
