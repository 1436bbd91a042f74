// A reader for JSON documents: sidecars, the values of ONNX metadata, manifests of engines for
// CUDA.
//
// The library has no dependencies, and only this much of JSON is needed, so it is read here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace swinir::core {

// One value. Of arrays and objects only the text is kept, checked: parse_json_array and
// parse_json_object read on.
struct JsonValue {
  enum class Kind { null, boolean, integer, number, string, array, object };

  Kind kind = Kind::null;
  bool boolean = false;      // of a boolean
  std::int64_t integer = 0;  // of an integer
  std::string string;        // of a string: UTF-8; of a number, array or object: its JSON

  // Returns a number, or an integer, as a double, which may be infinite.
  double real() const;
};

// Returns the value that `document` holds; empty where it is not JSON (RFC 8259), is not UTF-8,
// nests deeper than 64, or has a whole number beyond 64 bits.
std::optional<JsonValue> parse_json(std::string_view document);

// Returns the members of the object that `document` holds; of equal names the last one counts.
// Empty where it is not an object.
std::optional<std::map<std::string, JsonValue>> parse_json_object(std::string_view document);

// Returns the values of the array that `document` holds; empty where it is not an array.
std::optional<std::vector<JsonValue>> parse_json_array(std::string_view document);

}  // namespace swinir::core
