// Any bytes as an ONNX model: protobuf, the properties in it, and the JSON in those.
#include "../tests/survives.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  swinir_test::read_or_refuse(
      {"fuzz", size > 0 ? static_cast<const void*>(data) : "", size, nullptr});
  return 0;
}
