#include "artifacts/metadata.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "artifacts/onnx_file.hpp"
#include "failure.hpp"
#include "system/file.hpp"
#include "system/json.hpp"

namespace swinir::core {
namespace {

using Members = std::map<std::string, JsonValue>;

constexpr std::string_view kPrefix = "swinir_deploy.";
constexpr std::int64_t kSchemaVersion = 1, kEngineSchemaVersion = 1;
constexpr std::uint64_t kLargestSidecar = 4 << 20;
constexpr std::int32_t kLargestScale = 16, kMostChannels = 16, kLargestWindow = 256;

// Values that ONNX properties hold as plain text; all others are JSON there.
constexpr std::string_view kTexts[] = {"io",       "precision",     "task",
                                       "model_id", "source_sha256", "target"};

class Checked {
 public:
  Checked(const Members& members, const std::string& source) : members_(members), source_(source) {}

  std::int64_t number(const std::string& name, std::int64_t minimum, std::int64_t maximum) const {
    const auto found = members_.find(name);
    if (found == members_.end() || found->second.kind != JsonValue::Kind::integer ||
        found->second.integer < minimum || found->second.integer > maximum) {
      refuse(name, text("a whole number from ", minimum, " to ", maximum));
    }
    return found->second.integer;
  }

  std::int32_t integer(const std::string& name, std::int32_t minimum, std::int32_t maximum) const {
    return static_cast<std::int32_t>(number(name, minimum, maximum));
  }

  std::string string(const std::string& name) const {
    const auto found = members_.find(name);
    if (found == members_.end()) return "";
    if (found->second.kind != JsonValue::Kind::string) refuse(name, "a text");
    return found->second.string;
  }

  // Returns the number of the choice that `found` names.
  std::int32_t choice(const std::string& name, const std::string& found,
                      std::initializer_list<std::pair<const char*, std::int32_t>> choices) const {
    std::string names;
    for (const auto& [choice, number] : choices) {
      if (found == choice) return number;
      names += (names.empty() ? "" : ", ") + std::string(choice);
    }
    refuse(name, "one of " + names);
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const {
    std::string value = "missing or of another kind";
    if (const auto found = members_.find(name); found != members_.end()) {
      if (found->second.kind == JsonValue::Kind::integer) value = text(found->second.integer);
      if (found->second.kind == JsonValue::Kind::string) {
        value = "'" + found->second.string.substr(0, 40) + "'";
      }
    }
    fail(SWINIR_INVALID_MODEL, source_, ": metadata ", name, " is ", value, "; it must be ",
         expected, ". Export the model again.");
  }

 private:
  const Members& members_;
  const std::string& source_;
};

// `what` is a model's or an engine's description; `remedy` makes a new one.
void check_schema(const Members& members, const std::string& path, const char* what,
                  std::int64_t newest, const char* remedy) {
  const auto version = members.find("schema_version");
  const bool known = version != members.end() && version->second.kind == JsonValue::Kind::integer &&
                     version->second.integer >= 1 && version->second.integer <= newest;
  if (known) return;
  const std::int64_t found = version == members.end() ? 0 : version->second.integer;
  fail(SWINIR_INVALID_MODEL, path, ": ", what, " schema ", found,
       "; this version of libswinir reads 1 to ", newest, ". Update libswinir, or ", remedy, ".");
}

Members members_of_onnx(InputFile& file, const std::string& path) {
  Members members;
  for (const auto& [key, value] : read_onnx_properties(file, path)) {
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
  if (members.count("schema_version") == 0) {
    fail(SWINIR_INVALID_MODEL, path, ": not made by swinir-deploy (no ", kPrefix,
         "schema_version in its metadata). Export the checkpoint with 'swinir-deploy export'.");
  }
  return members;
}

constexpr const char* kBuildAgain = "build the engine again with 'swinir-deploy build'";

std::string sidecar_text(const std::string& path) {
  InputFile file(
      path,
      "A file whose name does not end in .onnx is an engine, which needs the sidecar that "
      "'swinir-deploy build' wrote beside it.");
  std::string bytes;
  if (file.left() > kLargestSidecar || !file.read(file.left(), bytes)) {
    fail(SWINIR_INVALID_MODEL, path, ": ", file.left(), " bytes; a sidecar has at most ",
         kLargestSidecar, ". Copy it again, or ", kBuildAgain, ".");
  }
  return bytes;
}

// Returns the members of a sidecar, which messages call `path`.
Members sidecar_members(std::string_view sidecar, const std::string& path) {
  auto members = parse_json_object(sidecar);
  if (!members || members->count("model") == 0) {
    fail(SWINIR_INVALID_MODEL, path, ": not the description of an engine. Copy it again, or ",
         kBuildAgain, ".");
  }
  check_schema(*members, path, "engine", kEngineSchemaVersion, kBuildAgain);
  return std::move(*members);
}

std::uint64_t size_of_plan(const std::string& path) {
  return InputFile(path, "Export a model or build an engine first: swinir-deploy --help").left();
}

void check_plan(const std::string& path, std::uint64_t actual, std::int64_t expected) {
  if (actual == static_cast<std::uint64_t>(expected)) return;
  fail(SWINIR_INVALID_MODEL, path, ": ", actual, " bytes, but its sidecar describes a plan of ",
       expected, ". Copy both again, or ", kBuildAgain, ".");
}

// Without its weights an engine would compute nonsense, and TensorRT would not say so.
void check_weights(const std::string& path, const Members& engine) {
  const auto options = engine.find("options");
  if (options == engine.end()) return;
  const Members members = parse_json_object(options->second.string).value_or(Members());
  const auto stripped = members.find("strip_weights");
  if (stripped == members.end() || !stripped->second.boolean) return;
  fail(SWINIR_INVALID_MODEL, path,
       ": built with --strip-weights, so it has no weights to compute with. Refit it and describe "
       "the result with strip_weights false, or ",
       kBuildAgain, " without that option.");
}

// Returns what the members say, checked; a model's description is the same in ONNX files and in
// sidecars.
Metadata checked_model(const Members& members, const std::string& source, const char* backend) {
  check_schema(members, source, "metadata", kSchemaVersion, "export the model again");
  const Checked checked(members, source);
  Metadata metadata;
  metadata.backend = backend;
  metadata.io = checked.choice("io", checked.string("io"),
                               {{"tensor", SWINIR_IO_TENSOR}, {"image", SWINIR_IO_IMAGE}});
  const std::string precision = checked.string("precision");
  metadata.precision =
      checked.choice("precision", precision.empty() ? "fp32" : precision,
                     {{"fp32", SWINIR_FP32}, {"fp16", SWINIR_FP16}, {"bf16", SWINIR_BF16}});
  metadata.scale = checked.integer("scale", 1, kLargestScale);
  metadata.channels = checked.integer("in_chans", 1, kMostChannels);
  if (members.count("out_chans") != 0) {  // files of older versions have no such value
    metadata.out_channels = checked.integer("out_chans", 0, kMostChannels);
  }
  if (metadata.out_channels == 0) metadata.out_channels = metadata.channels;
  metadata.window_px = checked.integer("window_size", 2, kLargestWindow);
  metadata.task = checked.string("task");
  metadata.model_id = checked.string("model_id");
  metadata.source_sha256 = checked.string("source_sha256");
  metadata.target = checked.string("target");
  return metadata;
}

// Tells whether the name ends in .onnx, in upper or lower case.
bool is_onnx_path(const std::string& path) {
  static constexpr std::string_view kSuffix = ".onnx";
  return path.size() > kSuffix.size() &&
         std::equal(kSuffix.rbegin(), kSuffix.rend(), path.rbegin(),
                    [](char expected, char actual) {
                      return expected == std::tolower(static_cast<unsigned char>(actual));
                    });
}

}  // namespace

Metadata read_metadata(const ModelSource& source) {
  const bool is_file = source.data == nullptr;
  const std::string& path = source.name;
  if (is_file ? is_onnx_path(path) : source.sidecar == nullptr) {
    InputFile model = is_file ? InputFile(path, "Export a model first: swinir-deploy export --help")
                              : InputFile(source.data, source.size);
    return checked_model(members_of_onnx(model, path), path, "ort");
  }
  const std::uint64_t actual_bytes = is_file ? size_of_plan(path) : source.size;
  const std::string sidecar = is_file ? path + ".json" : "the sidecar of " + path;
  const Members engine = sidecar_members(is_file ? sidecar_text(sidecar) : source.sidecar, sidecar);
  const Checked checked(engine, sidecar);
  const auto plan_bytes = checked.number("plan_bytes", 1, std::numeric_limits<std::int64_t>::max());
  check_plan(path, actual_bytes, plan_bytes);
  check_weights(path, engine);
  static constexpr const char* kBackends[] = {"tensorrt", "tensorrt_rtx", "cuda"};
  const std::int32_t flavour = checked.choice("flavour", checked.string("flavour"),
                                              {{"tensorrt", 0}, {"rtx", 1}, {"cuda", 2}});
  const auto model = parse_json_object(engine.at("model").string);
  return checked_model(model.value_or(Members()), sidecar, kBackends[flavour]);
}

}  // namespace swinir::core
