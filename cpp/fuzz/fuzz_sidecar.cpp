// Any text as the sidecar of a plan.
#include "../tests/model_file.hpp"
#include "../tests/survives.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string plan = swinir_test::kUsualPlan;
  const std::string sidecar(reinterpret_cast<const char*>(data), size);
  swinir_test::read_or_refuse({"fuzz", plan.data(), plan.size(), sidecar.c_str()});
  return 0;
}
