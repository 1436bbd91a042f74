// How the manifest of an engine for CUDA is taken apart; for its readers alone.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "system/json.hpp"

namespace swinir::core {

// What is wrong with an engine, without its name.
class Damaged : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <typename... Parts>
[[noreturn]] void damaged(const Parts&... parts) {
  throw Damaged(text(parts...));
}

// Returns a text for a message: not longer than a line.
inline std::string quoted(const std::string& value) {
  std::size_t length = 0;
  while (length < value.size() && length < 60) ++length;
  while (length < value.size() && length > 0 && (value[length] & 0xC0) == 0x80) --length;
  std::string shown = "'" + value.substr(0, length) + "'";
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return shown;
}

// Each returns what a value holds, or throws Damaged, which begins with `what`.

inline std::int64_t integer_of(const JsonValue& value, std::string_view what) {
  if (value.kind != JsonValue::Kind::integer) damaged(what, " is no whole number");
  return value.integer;
}

inline const std::string& string_of(const JsonValue& value, std::string_view what) {
  if (value.kind != JsonValue::Kind::string) damaged(what, " is no text");
  return value.string;
}

inline std::vector<JsonValue> array_of(const JsonValue& value, std::string_view what) {
  if (value.kind != JsonValue::Kind::array) damaged(what, " is no list");
  return parse_json_array(value.string).value();
}

// The members of an object, each of which must be there.
class Members {
 public:
  Members(const JsonValue& value, std::string_view what) : what_(what) {
    if (value.kind != JsonValue::Kind::object) damaged(what, " is no object");
    members_ = parse_json_object(value.string).value();
  }

  bool has(const std::string& name) const { return members_.count(name) != 0; }

  const JsonValue& operator[](const std::string& name) const {
    const auto found = members_.find(name);
    if (found == members_.end()) damaged(what_, " has no '", name, "'");
    return found->second;
  }

  std::int64_t integer(const std::string& name) const { return integer_of((*this)[name], name); }
  const std::string& string(const std::string& name) const {
    return string_of((*this)[name], name);
  }
  std::vector<JsonValue> array(const std::string& name) const {
    return array_of((*this)[name], name);
  }

  const std::map<std::string, JsonValue>& all() const { return members_; }

 private:
  std::string what_;
  std::map<std::string, JsonValue> members_;
};

// Tells whether a text is a name: of a function, or in an expression.
inline bool is_name(std::string_view text) {
  const auto is_letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  if (text.empty() || !is_letter(text.front())) return false;
  for (const char c : text) {
    if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '.') return false;
  }
  return true;
}

}  // namespace swinir::core
