#include "artifacts/onnx_file.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "failure.hpp"

namespace swinir::core {
namespace {

// onnx.proto: ModelProto.metadata_props, StringStringEntryProto.key and .value.
constexpr std::uint64_t kMetadataProps = 14, kKey = 1, kValue = 2;

// Bytes of one entry. Ours have a few kilobytes; a damaged length could ask for anything.
constexpr std::uint64_t kLargestEntry = 16 << 20;

enum WireType { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

// Reads a protobuf varint; `next` gives one byte or nothing.
template <typename NextByte>
std::optional<std::uint64_t> read_varint(NextByte next) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const std::optional<std::uint8_t> byte = next();
    if (!byte) return std::nullopt;
    value |= static_cast<std::uint64_t>(*byte & 0x7F) << shift;
    if (*byte < 0x80) return value;
  }
  return std::nullopt;
}

class Damaged {};

// Reads a StringStringEntryProto.
std::pair<std::string, std::string> parse_entry(std::string_view left) {
  const auto next = [&left]() -> std::optional<std::uint8_t> {
    if (left.empty()) return std::nullopt;
    const auto byte = static_cast<std::uint8_t>(left.front());
    left.remove_prefix(1);
    return byte;
  };
  std::pair<std::string, std::string> entry;
  while (!left.empty()) {
    const auto tag = read_varint(next);
    const auto size = read_varint(next);  // both fields are strings
    if (!tag || !size || (*tag & 7) != kLengthDelimited || *size > left.size()) throw Damaged();
    if (*tag >> 3 == kKey) entry.first = left.substr(0, *size);
    if (*tag >> 3 == kValue) entry.second = left.substr(0, *size);
    left.remove_prefix(*size);
  }
  return entry;
}

std::map<std::string, std::string> parse_model(InputFile& file) {
  std::map<std::string, std::string> properties;
  const auto next = [&file] { return file.read_byte(); };
  while (!file.at_end()) {
    const auto tag = read_varint(next);
    if (!tag) throw Damaged();
    switch (*tag & 7) {
      case kVarint:
        if (!read_varint(next)) throw Damaged();
        break;
      case kFixed64:
        if (!file.skip(8)) throw Damaged();
        break;
      case kFixed32:
        if (!file.skip(4)) throw Damaged();
        break;
      case kLengthDelimited: {
        const auto size = read_varint(next);
        if (!size) throw Damaged();
        if (*tag >> 3 != kMetadataProps) {
          if (!file.skip(*size)) throw Damaged();
          break;
        }
        std::string bytes;
        if (*size > kLargestEntry || !file.read(*size, bytes)) throw Damaged();
        auto [key, value] = parse_entry(bytes);
        properties.insert_or_assign(std::move(key), std::move(value));
        break;
      }
      default:
        throw Damaged();
    }
  }
  return properties;
}

}  // namespace

std::map<std::string, std::string> read_onnx_properties(InputFile& file, const std::string& name) {
  try {
    return parse_model(file);
  } catch (const Damaged&) {
    fail(SWINIR_INVALID_MODEL, name,
         ": no ONNX model, or a damaged one. Export it again with 'swinir-deploy export'.");
  }
}

}  // namespace swinir::core
