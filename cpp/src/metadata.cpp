#include "metadata.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <map>
#include <string_view>
#include <utility>

#include "failure.hpp"
#include "file.hpp"
#include "json.hpp"
#include "onnx_properties.hpp"

namespace swinir::core {
namespace {

using Members = std::map<std::string, JsonValue>;

constexpr std::string_view kPrefix = "swinir_deploy.";
constexpr std::int64_t kSchemaVersion = 1;
constexpr std::uint64_t kLargestSidecar = 4 << 20;

// Values that stand in ONNX properties as they are; all others are JSON there.
constexpr std::string_view kTexts[] = {"io",       "precision",     "task",
                                       "model_id", "source_sha256", "target"};

Members members_of_onnx(const std::string& path) {
  Members members;
  for (const auto& [key, value] : read_onnx_properties(path)) {
    if (key.compare(0, kPrefix.size(), kPrefix) != 0) continue;
    const std::string name = key.substr(kPrefix.size());
    if (std::find(std::begin(kTexts), std::end(kTexts), name) != std::end(kTexts)) {
      JsonValue member;
      member.kind = JsonValue::Kind::string;
      member.string = value;
      members[name] = std::move(member);
    } else if (auto parsed = parse_json(value)) {
      members[name] = std::move(*parsed);
    }
  }
  return members;
}

Members members_of_sidecar(const std::string& path) {
  const std::string sidecar = path + ".json";
  InputFile file(sidecar, "An engine needs the sidecar that swinir-deploy build wrote beside it.");
  std::string bytes;
  if (file.left() > kLargestSidecar || !file.read(file.left(), bytes)) {
    fail(SWINIR_INVALID_MODEL, sidecar, ": ", file.left(), " bytes; a sidecar has at most ",
         kLargestSidecar, ". Build the engine again with 'swinir-deploy build'.");
  }
  auto members = parse_json_object(bytes);
  if (!members) {
    fail(SWINIR_INVALID_MODEL, sidecar,
         ": not a JSON object. Build the engine again with 'swinir-deploy build'.");
  }
  return std::move(*members);
}

class Checked {
 public:
  Checked(const Members& members, const std::string& source) : members_(members), source_(source) {}

  std::int32_t integer(const std::string& name, std::int64_t least, std::int64_t most) const {
    const auto found = members_.find(name);
    if (found == members_.end() || found->second.kind != JsonValue::Kind::integer ||
        found->second.integer < least || found->second.integer > most) {
      refuse(name, text("a whole number from ", least, " to ", most));
    }
    return static_cast<std::int32_t>(found->second.integer);
  }

  std::string string(const std::string& name) const {
    const auto found = members_.find(name);
    if (found == members_.end()) return "";
    if (found->second.kind != JsonValue::Kind::string) refuse(name, "a text");
    return found->second.string;
  }

  // The number that stands beside the text found.
  std::int32_t choice(const std::string& name, const std::string& found,
                      std::initializer_list<std::pair<const char*, std::int32_t>> choices) const {
    std::string names;
    for (const auto& [choice, number] : choices) {
      if (found == choice) return number;
      names += (names.empty() ? "" : ", ") + std::string(choice);
    }
    refuse(name, "one of " + names);
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& wanted) const {
    std::string value = "missing or of another kind";
    if (const auto found = members_.find(name); found != members_.end()) {
      if (found->second.kind == JsonValue::Kind::integer) value = text(found->second.integer);
      if (found->second.kind == JsonValue::Kind::string) {
        value = "'" + found->second.string.substr(0, 40) + "'";
      }
    }
    fail(SWINIR_INVALID_MODEL, source_, ": metadata ", name, " is ", value, "; it must be ", wanted,
         ". Export the model again.");
  }

 private:
  const Members& members_;
  const std::string& source_;
};

void check_schema(const Members& members, const std::string& path) {
  const auto version = members.find("schema_version");
  if (version == members.end()) {
    fail(SWINIR_INVALID_MODEL, path, ": not made by swinir-deploy (no ", kPrefix,
         "schema_version in its metadata). Export the checkpoint with 'swinir-deploy export'.");
  }
  const JsonValue& value = version->second;
  if (value.kind != JsonValue::Kind::integer || value.integer < 1 ||
      value.integer > kSchemaVersion) {
    fail(SWINIR_INVALID_MODEL, path, ": metadata schema ", value.integer,
         "; this version of libswinir reads 1 to ", kSchemaVersion,
         ". Update libswinir or export again.");
  }
}

}  // namespace

bool is_onnx_path(const std::string& path) {
  static constexpr std::string_view kSuffix = ".onnx";
  return path.size() > kSuffix.size() &&
         std::equal(kSuffix.rbegin(), kSuffix.rend(), path.rbegin(), [](char wanted, char found) {
           return wanted == std::tolower(static_cast<unsigned char>(found));
         });
}

Metadata read_metadata(const std::string& path) {
  const Members members = is_onnx_path(path) ? members_of_onnx(path) : members_of_sidecar(path);
  check_schema(members, path);
  const Checked checked(members, path);
  Metadata metadata;
  metadata.io = checked.choice("io", checked.string("io"),
                               {{"tensor", SWINIR_IO_TENSOR}, {"image", SWINIR_IO_IMAGE}});
  const std::string precision = checked.string("precision");
  metadata.precision =
      checked.choice("precision", precision.empty() ? "fp32" : precision,
                     {{"fp32", SWINIR_FP32}, {"fp16", SWINIR_FP16}, {"bf16", SWINIR_BF16}});
  metadata.scale = checked.integer("scale", 1, 8);
  for (const std::int32_t no_scale : {5, 6, 7}) {
    if (metadata.scale == no_scale) checked.refuse("scale", "1, 2, 3, 4 or 8");
  }
  metadata.channels = checked.integer("in_chans", 1, 3);
  if (metadata.channels == 2) checked.refuse("in_chans", "1 or 3");
  metadata.window_px = checked.integer("window_size", 2, 64);
  metadata.task = checked.string("task");
  metadata.model_id = checked.string("model_id");
  metadata.source_sha256 = checked.string("source_sha256");
  metadata.target = checked.string("target");
  return metadata;
}

}  // namespace swinir::core
