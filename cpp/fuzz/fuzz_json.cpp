// Any bytes as JSON: the reader ends, and what it took for an object it can open.
#include "../tests/check.hpp"
#include "system/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using swinir::core::JsonValue;
  const std::string_view document(reinterpret_cast<const char*>(data), size);
  const auto value = swinir::core::parse_json(document);
  const bool is_object = value && value->kind == JsonValue::Kind::object;
  CHECK_EQUAL(swinir::core::parse_json_object(document).has_value(), is_object);
  if (is_object) CHECK(swinir::core::parse_json_object(value->string).has_value());
  return 0;
}
