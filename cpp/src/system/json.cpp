#include "system/json.hpp"

#include <charconv>
#include <limits>
#include <locale>
#include <sstream>
#include <utility>

namespace swinir::core {
namespace {

constexpr int kDeepest = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& text, std::uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Returns how many bytes of UTF-8 begin a text; 0 where it begins with something else (RFC 3629:
// the shortest form, no surrogates, nothing beyond U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC2   ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                     (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return wrong ? 0 : length;
}

// Every function reads one thing from the front of what is left, or returns false.
class Reader {
 public:
  using Members = std::map<std::string, JsonValue>;

  explicit Reader(std::string_view left) : left_(left) {}

  bool at_end() {
    skip_space();
    return left_.empty();
  }

  bool value(JsonValue& found, int depth) {
    skip_space();
    if (left_.empty() || depth > kDeepest) return false;
    const std::string_view start = left_;
    switch (left_.front()) {
      case '{':
        found.kind = JsonValue::Kind::object;
        if (!object(nullptr, depth)) return false;
        found.string = start.substr(0, start.size() - left_.size());
        return true;
      case '[':
        found.kind = JsonValue::Kind::array;
        if (!array(nullptr, depth)) return false;
        found.string = start.substr(0, start.size() - left_.size());
        return true;
      case '"':
        found.kind = JsonValue::Kind::string;
        return string(found.string);
      case 't':
        found.kind = JsonValue::Kind::boolean;
        found.boolean = true;
        return word("true");
      case 'f':
        found.kind = JsonValue::Kind::boolean;
        return word("false");
      case 'n':
        found.kind = JsonValue::Kind::null;
        return word("null");
      default:
        return number(found);
    }
  }

  // `members` may be null: then they are only checked.
  bool object(Members* members, int depth) {
    skip_space();
    if (!character('{')) return false;
    skip_space();
    if (character('}')) return true;
    do {
      std::string name;
      JsonValue member;
      skip_space();
      if (!string(name)) return false;
      skip_space();
      if (!character(':') || !value(member, depth + 1)) return false;
      if (members != nullptr) members->insert_or_assign(std::move(name), std::move(member));
      skip_space();
    } while (character(','));
    return character('}');
  }

  // `items` may be null likewise.
  bool array(std::vector<JsonValue>* items, int depth) {
    skip_space();
    if (!character('[')) return false;
    skip_space();
    if (character(']')) return true;
    do {
      JsonValue item;
      if (!value(item, depth + 1)) return false;
      if (items != nullptr) items->push_back(std::move(item));
      skip_space();
    } while (character(','));
    return character(']');
  }

 private:
  void skip_space() {
    const auto first = left_.find_first_not_of(" \t\n\r");
    left_.remove_prefix(first == std::string_view::npos ? left_.size() : first);
  }

  bool character(char expected) {
    if (left_.empty() || left_.front() != expected) return false;
    left_.remove_prefix(1);
    return true;
  }

  bool word(std::string_view expected) {
    if (left_.substr(0, expected.size()) != expected) return false;
    left_.remove_prefix(expected.size());
    return true;
  }

  bool digits() {
    if (left_.empty() || !is_digit(left_.front())) return false;
    while (!left_.empty() && is_digit(left_.front())) left_.remove_prefix(1);
    return true;
  }

  bool number(JsonValue& found) {
    const std::string_view start = left_;
    found.kind = JsonValue::Kind::integer;
    character('-');
    if (!character('0') && !digits()) return false;
    if (character('.')) {
      found.kind = JsonValue::Kind::number;
      if (!digits()) return false;
    }
    if (character('e') || character('E')) {
      found.kind = JsonValue::Kind::number;
      if (!character('+')) character('-');
      if (!digits()) return false;
    }
    if (found.kind == JsonValue::Kind::number) {
      found.string = start.substr(0, start.size() - left_.size());
      return true;
    }
    const char* end = start.data() + (start.size() - left_.size());
    const auto result = std::from_chars(start.data(), end, found.integer);
    return result.ec == std::errc() && result.ptr == end;
  }

  bool string(std::string& found) {
    if (!character('"')) return false;
    while (!left_.empty()) {
      const char c = left_.front();
      const std::size_t length = utf8_length(left_);
      if (length == 0 || static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '"' && c != '\\') found += left_.substr(0, length);
      left_.remove_prefix(length);
      if (c == '"') return true;
      if (c == '\\' && !escape(found)) return false;
    }
    return false;
  }

  bool escape(std::string& found) {
    static constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    if (left_.empty()) return false;
    const char name = left_.front();
    left_.remove_prefix(1);
    const auto index = kNames.find(name);
    if (index != std::string_view::npos) {
      found += kValues[index];
      return true;
    }
    std::uint32_t code = 0;
    if (name != 'u' || !hexadecimal(code)) return false;
    if (code >= 0xD800 && code < 0xDC00) {  // the first of a surrogate pair
      std::uint32_t low = 0;
      if (!word("\\u") || !hexadecimal(low) || low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      return false;
    }
    append_utf8(found, code);
    return true;
  }

  bool hexadecimal(std::uint32_t& code) {
    if (left_.size() < 4) return false;
    const auto result = std::from_chars(left_.data(), left_.data() + 4, code, 16);
    if (result.ec != std::errc() || result.ptr != left_.data() + 4) return false;
    left_.remove_prefix(4);
    return true;
  }

  std::string_view left_;
};

}  // namespace

double JsonValue::real() const {
  if (kind == Kind::integer) return static_cast<double>(integer);
  // Not strtod, which follows the program's locale; from_chars came for it after GCC 10.
  std::istringstream stream(string);
  stream.imbue(std::locale::classic());
  double value = 0;
  stream >> value;
  return stream.fail() ? std::numeric_limits<double>::infinity() : value;
}

std::optional<JsonValue> parse_json(std::string_view document) {
  Reader reader(document);
  JsonValue value;
  if (!reader.value(value, 0) || !reader.at_end()) return std::nullopt;
  return value;
}

std::optional<std::map<std::string, JsonValue>> parse_json_object(std::string_view document) {
  Reader reader(document);
  Reader::Members members;
  if (!reader.object(&members, 0) || !reader.at_end()) return std::nullopt;
  return members;
}

std::optional<std::vector<JsonValue>> parse_json_array(std::string_view document) {
  Reader reader(document);
  std::vector<JsonValue> items;
  if (!reader.array(&items, 0) || !reader.at_end()) return std::nullopt;
  return items;
}

}  // namespace swinir::core
