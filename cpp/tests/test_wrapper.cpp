// swinir.hpp: handles, exceptions and callbacks over the C interface.
#include <string>
#include <type_traits>
#include <vector>

#include "check.hpp"
#include "model_file.hpp"
#include "swinir.hpp"

using namespace swinir_test;

namespace {

static_assert(std::is_copy_constructible_v<swinir::Model>);
static_assert(std::is_nothrow_move_constructible_v<swinir::Session>);
static_assert(!std::is_copy_constructible_v<swinir::Session>);

swinir::Model fake(const Folder& folder, swinir::ModelOptions options = {}) {
  options.backend = "fake";
  options.plugin_dir = SWINIR_TEST_PLUGIN_DIR;
  return swinir::Model(folder.file("x.tensor.-1x3x-1x-1.onnx", onnx_bytes(usual_properties())),
                       options);
}

template <typename Action>
swinir_status status_of(Action action) {
  try {
    action();
  } catch (const swinir::Error& error) {
    CHECK(!std::string(error.what()).empty());
    return error.status();
  }
  return SWINIR_OK;
}

void restores(const Folder& folder) {
  std::vector<std::uint8_t> in(8 * 6 * 3, 50), out(16 * 12 * 3);
  const std::vector<std::uint8_t>& constant = in;
  // The session outlives every handle of its model.
  auto session = [&] { return swinir::Session(fake(folder)); }();
  swinir::Session moved = std::move(session);
  moved.restore(swinir::picture(constant.data(), 8, 6), swinir::picture(out.data(), 16, 12));
  for (const std::uint8_t value : out) CHECK_EQUAL(value, 50);
  CHECK_EQUAL(moved.memory().backend_bytes, 4242U);

  const std::string bytes = onnx_bytes(usual_properties());
  swinir::ModelOptions options;
  options.backend = "fake";
  options.plugin_dir = SWINIR_TEST_PLUGIN_DIR;
  options.library = "x.tensor.-1x3x-1x-1.onnx";  // the fake back end's word for what is in memory
  const auto in_memory = swinir::Model::from_memory(bytes.data(), bytes.size(), options);
  CHECK_EQUAL(std::string(in_memory.info().model_id), "test-model");
  options.library = "x.image.-1x1x-1x-1.engine";
  const auto engine = swinir::Model::from_memory(kUsualPlan, 6, options, kUsualSidecar);
  CHECK_EQUAL(engine.info().scale, 4);

  const swinir::Model model = fake(folder);
  CHECK_EQUAL(model.info().scale, 2);
  const auto shape = model.output_shape({1, 3, 5, 7});
  CHECK((shape == std::array<std::int64_t, 4>{1, 3, 10, 14}));
  std::vector<float> tensor(3 * 5 * 7, 0.25F), result(tensor.size() * 4);
  swinir::Session(model).run(tensor.data(), {1, 3, 5, 7}, result.data(), result.size() * 4);
  for (const float value : result) CHECK_EQUAL(value, 0.25F);
}

void fails(const Folder& folder) {
  CHECK_EQUAL(status_of([&] { swinir::Model("nowhere.onnx"); }), SWINIR_INVALID_MODEL);
  const swinir::Model model = fake(folder);
  swinir::SessionOptions wrong;
  wrong.batch = -1;
  CHECK_EQUAL(status_of([&] { swinir::Session(model, wrong); }), SWINIR_INVALID_ARGUMENT);
  swinir::Session session(model);
  std::vector<float> in(3), out(3);
  const auto too_small = [&] {
    session.restore(swinir::picture(in.data(), 1, 1), swinir::picture(out.data(), 1, 1));
  };
  CHECK_EQUAL(status_of(too_small), SWINIR_INVALID_PICTURE);
}

void calls_back(const Folder& folder) {
  std::vector<std::string> lines;
  swinir::ModelOptions options;
  options.device = "log";
  options.log = [&](std::int32_t, const char* message) {
    lines.push_back(message);
    throw std::runtime_error("dropped");
  };
  const swinir::Model model = fake(folder, options);
  CHECK_EQUAL(lines.size(), 1U);

  std::vector<std::uint8_t> in(8 * 6 * 3), out(16 * 12 * 3);
  const auto restore_with = [&](std::function<bool(std::int64_t, std::int64_t)> progress) {
    swinir::SessionOptions session_options;
    session_options.progress = std::move(progress);
    swinir::Session session(model, session_options);
    session.restore(swinir::picture(in.data(), 8, 6), swinir::picture(out.data(), 16, 12));
  };
  int calls = 0;
  restore_with([&](std::int64_t, std::int64_t total) {
    ++calls;
    return total == 1;
  });
  CHECK_EQUAL(calls, 2);
  CHECK_EQUAL(status_of([&] { restore_with([](auto, auto) { return false; }); }), SWINIR_CANCELLED);
  std::string thrown;
  try {
    restore_with([](auto, auto) -> bool { throw std::runtime_error("of the program"); });
  } catch (const std::runtime_error& error) {
    thrown = error.what();
  }
  CHECK_EQUAL(thrown, "of the program");
}

}  // namespace

int main() {
  const Folder folder;
  restores(folder);
  fails(folder);
  calls_back(folder);
}
