// The JSON reader against RFC 8259.
#include <string>

#include "check.hpp"
#include "system/json.hpp"

using swinir::core::JsonValue;
using swinir::core::parse_json;
using swinir::core::parse_json_object;

namespace {

void values() {
  CHECK(parse_json("0")->integer == 0);
  CHECK(parse_json(" -12 ")->integer == -12);
  CHECK(parse_json("9223372036854775807")->integer == INT64_MAX);
  CHECK(parse_json("1.5e-3")->kind == JsonValue::Kind::number);
  CHECK(parse_json("1E5")->kind == JsonValue::Kind::number);
  CHECK(parse_json("true")->kind == JsonValue::Kind::boolean);
  CHECK(parse_json("true")->boolean);
  CHECK(!parse_json("false")->boolean);
  CHECK(parse_json("null")->kind == JsonValue::Kind::null);
  CHECK(parse_json("[1, [], {\"a\": [2]}]")->kind == JsonValue::Kind::array);
  CHECK(parse_json(R"("a\"\\\/\b\f\n\r\tz")")->string == "a\"\\/\b\f\n\r\tz");
  CHECK(parse_json(R"("\u0041\u00e9\u20ac\ud83d\ude00")")->string ==
        "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
}

void objects() {
  const auto members = parse_json_object(R"( {"a": 1, "b": {"a": 2}, "a": 3, "c": "x"} )");
  CHECK(members.has_value());
  CHECK(members->size() == 3);
  CHECK(members->at("a").integer == 3);
  CHECK(members->at("b").kind == JsonValue::Kind::object);
  CHECK_EQUAL(members->at("b").string, "{\"a\": 2}");
  CHECK(parse_json_object(members->at("b").string)->at("a").integer == 2);
  CHECK(members->at("c").string == "x");
  CHECK(parse_json_object("{}")->empty());
}

void arrays() {
  const auto items = swinir::core::parse_json_array(R"( [1, [2, "]"], {"a": [3]}, "x", []] )");
  CHECK(items.has_value());
  CHECK(items->size() == 5);
  CHECK(items->at(0).integer == 1);
  CHECK_EQUAL(items->at(1).string, "[2, \"]\"]");
  CHECK_EQUAL(items->at(2).string, "{\"a\": [3]}");
  CHECK(items->at(3).string == "x");
  CHECK(swinir::core::parse_json_array("[]")->empty());
  for (const char* text : {"{}", "1", "[1", "[1,]", "[1] 2", "", "[1 2]"}) {
    CHECK(!swinir::core::parse_json_array(text));
  }
}

void numbers() {
  CHECK(parse_json("1e-05")->real() == 1e-05);
  CHECK(parse_json("-2.5E+3")->real() == -2500);
  CHECK(parse_json("0.1")->real() == 0.1);
  CHECK(parse_json("17")->real() == 17);
  CHECK(parse_json("1e999")->real() > 1e308);
}

// RFC 3629: the shortest form, no surrogates, nothing beyond U+10FFFF.
void utf8() {
  for (const char* text : {"\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    CHECK_EQUAL(parse_json("\"" + std::string(text) + "\"")->string, text);
  }
  for (const char* text :
       {"\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xEF\xBF",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF1\x80\x80", "\xFF"}) {
    CHECK(!parse_json("\"" + std::string(text) + "\""));
    CHECK(!parse_json("\"" + std::string(text)));
  }
}

void refuses() {
  for (const char* text : {"",
                           " ",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "0x1",
                           "tru",
                           "nul",
                           "\"",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\n\"",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,]",
                           "{",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\" 1}",
                           "1 2",
                           "{} {}",
                           "NaN",
                           "Infinity",
                           "9223372036854775808"}) {
    if (parse_json(text).has_value()) std::cerr << "accepted: " << text << std::endl;
    CHECK(!parse_json(text).has_value());
  }
  CHECK(!parse_json_object("[]").has_value());
  CHECK(!parse_json_object("1").has_value());
}

void depth() {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  CHECK(parse_json(nested(60)).has_value());
  CHECK(!parse_json(nested(100)).has_value());
  CHECK(!parse_json(std::string(1 << 20, '[')).has_value());
}

}  // namespace

int main() {
  values();
  objects();
  arrays();
  numbers();
  utf8();
  refuses();
  depth();
}
