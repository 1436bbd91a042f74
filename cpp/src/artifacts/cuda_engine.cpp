#include "artifacts/cuda_engine.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "artifacts/manifest.hpp"
#include "artifacts/program_reader.hpp"
#include "system/sha256.hpp"

namespace swinir::core {
namespace {

constexpr std::string_view kMagic = "SWINIRCU", kElfMagic =
                                                    "\x7f"
                                                    "ELF";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kHeaderBytes = 64, kLargestManifest = 64 << 20;
constexpr std::int64_t kAlignment = 256;         // of sections and tensors, bytes
constexpr std::int64_t kLargestShared = 232448;  // of a program on any GPU, bytes
constexpr std::uint64_t kCubinMachine = 190;     // EM_CUDA
constexpr const char* kAdvice =
    "Copy the file again, or build the engine again with 'swinir-deploy build'.";

// Returns a number of `size` bytes, little-endian.
std::uint64_t number_at(std::string_view bytes, std::size_t place, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = size; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(bytes[place + i]);
  }
  return number;
}

std::string_view as_text(const Sha256& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

// Returns the number of an architecture such as sm80, or 0.
int architecture_number(const std::string& name) {
  const std::string digits = name.substr(0, 2) == "sm" ? name.substr(2) : "";
  const bool plain =
      (digits.size() == 2 || digits.size() == 3) && digits[0] != '0' &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  return plain ? std::stoi(digits) : 0;
}

std::int64_t element_bytes(const Members& tensor) {
  const std::string& dtype = tensor.string("dtype");
  if (dtype == "fp16" || dtype == "bf16") return 2;
  if (dtype == "fp32") return 4;
  damaged("dtype is ", quoted(dtype), "; it must be fp16, bf16 or fp32");
}

class EngineReader {
 public:
  EngineReader(std::string_view content, const std::string& name)
      : content_(content), name_(name) {}

  CudaEngine read() {
    const Members manifest(parsed_manifest(), "its manifest");
    CudaEngine engine;
    const std::string& io = manifest.string("io");
    if (io != "tensor" && io != "image") damaged("io is ", quoted(io));
    engine.io = io == "tensor" ? SWINIR_IO_TENSOR : SWINIR_IO_IMAGE;
    const std::string& half = manifest.string("half");
    if (half != "fp16" && half != "bf16") damaged("half is ", quoted(half));
    if (manifest.has("compiler")) manifest.string("compiler");
    engine.weights = section(manifest["weights"], "the weights");
    engine.tensors =
        tensors(manifest.array("tensors"), static_cast<std::int64_t>(engine.weights.size()));
    const Members architectures(manifest["architectures"], "architectures");
    if (architectures.all().empty()) damaged("it has machine code for no architecture");
    for (const auto& [key, value] : architectures.all()) {
      const int number = architecture_number(key);
      if (number == 0) damaged(quoted(key), " is no architecture");
      engine.architectures[number] = architecture(value, key, engine.tensors.size());
    }
    return engine;
  }

 private:
  JsonValue parsed_manifest() {
    const std::uint64_t size = content_.size();
    if (size < kHeaderBytes || content_.substr(0, kMagic.size()) != kMagic) {
      fail(SWINIR_INVALID_MODEL, name_,
           " is not an engine of 'swinir-deploy build --target cuda'. ", kAdvice);
    }
    const std::uint64_t version = number_at(content_, 8, 4);
    if (version != kVersion) {
      fail(SWINIR_INVALID_MODEL, name_, " has version ", version,
           " of the format; this program reads version ", kVersion,
           ". Update libswinir, or build the engine again.");
    }
    const std::uint64_t length = number_at(content_, 16, 8);
    if (number_at(content_, 12, 4) != kHeaderBytes ||
        length > std::min(kLargestManifest, size - kHeaderBytes)) {
      damaged("its ", size, " bytes end before its manifest does");
    }
    const std::string_view manifest = content_.substr(kHeaderBytes, length);
    if (as_text(sha256_of(manifest)) != content_.substr(24, 32)) {
      damaged("its manifest has another SHA-256 than its header says");
    }
    end_of_manifest_ = static_cast<std::int64_t>(kHeaderBytes + length);
    auto value = parse_json(manifest);
    if (!value) damaged("its manifest is not JSON");
    return std::move(*value);
  }

  std::string_view section(const JsonValue& value, const std::string& what) const {
    const Members place(value, what);
    const std::int64_t offset = place.integer("offset"), size = place.integer("size");
    const auto end = static_cast<std::int64_t>(content_.size());
    if (size < 0 || offset < end_of_manifest_ || offset > end || size > end - offset) {
      damaged(what, " lie outside of its ", end, " bytes");
    }
    if (offset % kAlignment != 0) {
      damaged(what, " begin at ", offset, ", which is no multiple of ", kAlignment);
    }
    const std::string_view bytes =
        content_.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
    if (hexadecimal(sha256_of(bytes)) != place.string("sha256")) {
      damaged(what, " have another SHA-256 than its manifest says");
    }
    return bytes;
  }

  static std::vector<CudaTensor> tensors(const std::vector<JsonValue>& values, std::int64_t size) {
    std::vector<CudaTensor> result;
    std::set<std::string> names;
    for (const JsonValue& value : values) {
      const Members members(value, "a tensor");
      const std::string& name = members.string("name");
      if (!names.insert(name).second) damaged("there are two weights ", quoted(name));
      const std::int64_t offset = members.integer("offset"), bytes = element_bytes(members);
      const std::vector<JsonValue> shape = members.array("shape");
      bool fits = !shape.empty() && offset >= 0 && offset <= size && offset % kAlignment == 0;
      // How often the sides so far go into what is there.
      std::int64_t left = fits ? (size - offset) / bytes : 0;
      for (const JsonValue& item : shape) {
        const std::int64_t side = integer_of(item, "a side of a tensor");
        fits = fits && side >= 1 && left >= side;
        if (fits) left /= side;
      }
      if (!fits) damaged("the weight ", quoted(name), " does not lie within the weights");
      result.push_back({name, static_cast<std::uint64_t>(offset)});
    }
    return result;
  }

  CudaArchitecture architecture(const JsonValue& value, const std::string& name,
                                std::size_t tensor_count) const {
    const Members members(value, name);
    CudaArchitecture result;
    for (const JsonValue& item : members.array("kernels")) {
      result.kernels.push_back(kernel(Members(item, "a kernel"), name));
    }
    try {
      result.program = read_program(members["program"], result.kernels, tensor_count);
    } catch (const Damaged& reason) {
      damaged("the program for ", name, ": ", reason.what());
    }
    return result;
  }

  CudaKernel kernel(const Members& members, const std::string& architecture) const {
    CudaKernel result;
    result.name = members.string("name");
    result.entry = members.string("entry");
    const std::string what = "the kernel " + quoted(result.name) + " for " + architecture;
    const Members constants(members["constants"], "constants");
    for (const auto& [name, constant] : constants.all()) integer_of(constant, name);
    members.integer("registers");
    members.integer("spill_bytes");
    result.cubin = section(members["cubin"], "the code of " + what);
    if (result.cubin.size() < 20 || result.cubin.substr(0, 4) != kElfMagic ||
        number_at(result.cubin, 18, 2) != kCubinMachine) {
      damaged(what, " has no machine code for NVIDIA GPUs");
    }
    const std::int64_t warps = members.integer("warps"), shared = members.integer("shared_bytes");
    if (warps < 1 || warps > 32 || (warps & (warps - 1)) != 0 || shared < 0 ||
        shared > kLargestShared) {
      damaged(what, " asks for ", warps, " warps, ", shared, " bytes");
    }
    result.warps = static_cast<std::int32_t>(warps);
    result.shared_bytes = static_cast<std::int32_t>(shared);
    if (!is_name(result.entry) || result.cubin.find(result.entry) == std::string_view::npos) {
      damaged(what, " has no function ", quoted(result.entry));
    }
    std::set<std::string> names;
    for (const JsonValue& item : members.array("parameters")) {
      result.parameters.push_back(parameter(item));
      if (!names.insert(result.parameters.back().name).second) {
        damaged(what, " has two parameters of one name");
      }
    }
    return result;
  }

  static CudaParameter parameter(const JsonValue& value) {
    const std::vector<JsonValue> pair = array_of(value, "a parameter");
    if (pair.size() != 2) damaged("a parameter has ", pair.size(), " parts");
    const std::string& name = string_of(pair[0], "the name of a parameter");
    const std::string& kind = string_of(pair[1], "the kind of a parameter");
    using Kind = CudaParameter::Kind;
    if (kind == "pointer") return {name, Kind::pointer};
    if (kind == "i32") return {name, Kind::i32};
    if (kind == "f32") return {name, Kind::f32};
    damaged("the parameter ", quoted(name), " is of the kind ", quoted(kind));
  }

  std::string_view content_;
  const std::string& name_;
  std::int64_t end_of_manifest_ = 0;
};

}  // namespace

CudaEngine read_cuda_engine(std::string_view content, const std::string& name) {
  try {
    return EngineReader(content, name).read();
  } catch (const Damaged& reason) {
    fail(SWINIR_INVALID_MODEL, name, " is damaged: ", reason.what(), ". ", kAdvice);
  }
}

int architecture_for(const CudaEngine& engine, int major, int minor) {
  int best = 0;
  for (const auto& [number, ignored] : engine.architectures) {  // from small to large
    if (number / 10 == major && number % 10 <= minor) best = number;
  }
  return best;
}

}  // namespace swinir::core
