// Any text as the manifest of an engine for CUDA, with the right hash and the sections that it may
// name: it is refused, or every shape is planned or refused.
#include <algorithm>

#include "../tests/check.hpp"
#include "../tests/cuda_engine_file.hpp"
#include "artifacts/cuda_engine.hpp"
#include "failure.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace swinir::core;
  static const std::vector<std::string> sections = swinir_test::copy_sections();
  const std::string manifest(reinterpret_cast<const char*>(data), size);
  if (size > 4096 || std::count(manifest.begin(), manifest.end(), '@') > 16) return 0;
  const std::string content = swinir_test::engine_file(manifest, sections);
  try {
    const CudaEngine engine = read_cuda_engine(content, "fuzz");
    CHECK(!engine.architectures.empty());
    for (const auto& [number, code] : engine.architectures) {
      CHECK(number >= 10 && number <= 999);
      for (const std::int64_t side : {8, 64, 1 << 19}) {
        try {
          const Plan plan = plan_launches(code.program, 3, side, side + 5);
          CHECK(plan.arena_elements >= 0);
          CHECK(plan.launches.size() <= static_cast<std::size_t>(kMostLaunches));
        } catch (const Failure& failure) {
          CHECK(failure.status() == SWINIR_OUT_OF_MEMORY ||
                failure.status() == SWINIR_INVALID_MODEL);
        }
      }
    }
  } catch (const Failure& failure) {
    CHECK_EQUAL(failure.status(), SWINIR_INVALID_MODEL);
  }
  return 0;
}
