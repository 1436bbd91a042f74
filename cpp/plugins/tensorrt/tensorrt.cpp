// TensorRT through its runtime interface, found at run time: nothing is linked.
//
// Classes of TensorRT are C++, so header and library must have the same major version: the plug-in
// serves that of the headers it was compiled with. On Windows the library's classes are those of
// Microsoft's compiler, so only that one (or clang-cl) makes a plug-in that works. Compiled with
// the headers of TensorRT for RTX, and SWINIR_TENSORRT_RTX set, it is the plug-in "tensorrt_rtx".
#if defined(_WIN32) && !defined(_MSC_VER) && !defined(SWINIR_COMPILE_ONLY)
#error "TensorRT's classes are laid out by Microsoft's compiler: build this plug-in with it."
#endif

#include <NvInferRuntime.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cuda.hpp"
#include "plugin.hpp"
#include "profiles.hpp"
#include "system/native_path.hpp"

namespace plugin = swinir::plugin;
using plugin::Cuda;
using plugin::CurrentDevice;
using plugin::DeviceBuffer;
using plugin::fail;
using plugin::Library;
using plugin::Log;
using plugin::Profile;
using plugin::Shape;

namespace {

#define SWINIR_TEXT_OF(x) #x
#define SWINIR_TEXT(x) SWINIR_TEXT_OF(x)

#ifdef SWINIR_TENSORRT_RTX
[[maybe_unused]] constexpr std::int32_t kFirstWithSizes = 0;
constexpr const char* kName = "tensorrt_rtx";
#ifdef _WIN32
constexpr const char* kLibrary =
    "tensorrt_rtx_" SWINIR_TEXT(NV_TENSORRT_MAJOR) "_" SWINIR_TEXT(NV_TENSORRT_MINOR) ".dll";
#else
constexpr const char* kLibrary = "libtensorrt_rtx.so." SWINIR_TEXT(NV_TENSORRT_MAJOR);
#endif
#else
[[maybe_unused]] constexpr std::int32_t kFirstWithSizes = 100100;
constexpr const char* kName = "tensorrt";
#ifdef _WIN32
constexpr const char* kLibrary = "nvinfer_" SWINIR_TEXT(NV_TENSORRT_MAJOR) ".dll";
#else
constexpr const char* kLibrary = "libnvinfer.so." SWINIR_TEXT(NV_TENSORRT_MAJOR);
#endif
#endif

constexpr const char* kRemedy =
    "Install TensorRT in the major version that this plug-in was built for, or name its library in "
    "the option 'library'.";

// Returns the version as a number: 10.14.1 is 101401 (and 8.6.1 was 8601), checked before any
// object is made.
std::int32_t checked_version(const Library& library) {
  const std::int32_t number = library.function<std::int32_t()>("getInferLibVersion")();
  const std::int32_t major = number / 10000;
  if (major != NV_TENSORRT_MAJOR) {
    fail(SWINIR_BACKEND_MISMATCH, library.name(), ": ", kName, " of version number ", number,
         ", major version ", major, "; this plug-in was built for ", NV_TENSORRT_MAJOR,
         ". Use the library, or the plug-in, of the other version.");
  }
  return number;
}

std::string version_text(std::int32_t number) {
  return std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) + "." +
         std::to_string(number % 100);
}

// Returns the bytes that a context needs; 0: unknown. The library's function came after TensorRT
// 10.0, where a call of it would end behind the table of functions.
std::int64_t activation_bytes([[maybe_unused]] const nvinfer1::ICudaEngine& engine,
                              [[maybe_unused]] std::int32_t library_version) {
#if NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR == 0
  return 0;
#else
  return library_version >= kFirstWithSizes ? engine.getDeviceMemorySizeV2() : 0;
#endif
}

class Logger : public nvinfer1::ILogger {
 public:
  explicit Logger(const Log& log) : log_(log) {}

  void log(Severity severity, const char* message) noexcept override {
    log_(severity <= Severity::kERROR     ? SWINIR_LOG_ERROR
         : severity == Severity::kWARNING ? SWINIR_LOG_WARNING
         : severity == Severity::kINFO    ? SWINIR_LOG_INFO
                                          : SWINIR_LOG_DEBUG,
         message);
  }

 private:
  Log log_;
};

Shape shape_of(const nvinfer1::Dims& dims) {
  Shape shape{};
  std::copy_n(dims.d, std::min<std::size_t>(4, static_cast<std::size_t>(std::max(0, dims.nbDims))),
              shape.begin());
  return shape;
}

Shape shape_of(const std::int64_t sides[4]) {
  Shape shape{};
  std::copy_n(sides, shape.size(), shape.begin());
  return shape;
}

std::int32_t type_of(nvinfer1::DataType type) {
  return type == nvinfer1::DataType::kFLOAT   ? SWINIR_FLOAT32
         : type == nvinfer1::DataType::kUINT8 ? SWINIR_UINT8
                                              : 0;
}

std::vector<char> read(const char* path) {
  std::ifstream file(swinir::core::native_path(path), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t bytes_of(const Shape& shape, std::size_t sample) {
  for (const std::int64_t side : shape) sample *= static_cast<std::size_t>(side);
  return sample;
}

}  // namespace

// Members are destroyed from last to first: the engine before the runtime, the logger after both.
struct swinir_backend_model {
  explicit swinir_backend_model(const swinir_backend_options& requested)
      : device(requested.device != nullptr ? requested.device : "cuda"),
        index(plugin::cuda_device_index(device, kName)),
        library(requested.library, {kLibrary}, kRemedy),
        version_number(checked_version(library)),
        version(version_text(version_number)),
        logger(Log(requested)) {
    cuda.require_device(index);
    const CurrentDevice current(cuda, index);
    auto* create = library.function<void*(void*, std::int32_t)>("createInferRuntime_INTERNAL");
    runtime.reset(static_cast<nvinfer1::IRuntime*>(create(&logger, NV_TENSORRT_VERSION)));
    if (!runtime) fail(SWINIR_DEVICE_UNAVAILABLE, kName, " ", version, " does not start.");
    const std::vector<char> file =
        requested.data != nullptr ? std::vector<char>() : read(requested.path);
    engine.reset(requested.data != nullptr
                     ? runtime->deserializeCudaEngine(requested.data, requested.size)
                     : runtime->deserializeCudaEngine(file.data(), file.size()));
    if (!engine) {
      fail(SWINIR_INVALID_MODEL, requested.path, ": ", kName, " ", version,
           " cannot load it on this GPU; the log says why. An engine runs with the version and on "
           "the kind of GPU that it was built for: see the .json beside it, or build it again.");
    }
    read_ends();
  }

  void read_ends() {
    for (std::int32_t i = 0; i < engine->getNbIOTensors(); ++i) {
      const char* name = engine->getIOTensorName(i);
      const bool is_input = engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
      (is_input ? inputs : outputs).push_back(name);
    }
    if (inputs.size() != 1 || outputs.size() != 1) return;
    const char* name = inputs[0].c_str();
    sample = type_of(engine->getTensorDataType(name)) == SWINIR_FLOAT32 ? sizeof(float) : 1;
    for (std::int32_t i = 0; i < engine->getNbOptimizationProfiles(); ++i) {
      using Selector = nvinfer1::OptProfileSelector;
      profiles.push_back({shape_of(engine->getProfileShape(name, i, Selector::kMIN)),
                          shape_of(engine->getProfileShape(name, i, Selector::kOPT)),
                          shape_of(engine->getProfileShape(name, i, Selector::kMAX))});
    }
  }

  void describe(swinir_backend_graph& graph) const {
    graph.inputs = static_cast<std::int32_t>(inputs.size());
    graph.outputs = static_cast<std::int32_t>(outputs.size());
    plugin::copy_text(graph.library_version, version);
    plugin::copy_text(graph.device, device);
    if (inputs.size() != 1 || outputs.size() != 1 || profiles.empty()) return;
    graph.input_type = type_of(engine->getTensorDataType(inputs[0].c_str()));
    graph.output_type = type_of(engine->getTensorDataType(outputs[0].c_str()));
    graph.input_rank = engine->getTensorShape(inputs[0].c_str()).nbDims;
    const Shape sizes = plugin::fixed_sizes(profiles);
    std::copy(sizes.begin(), sizes.end(), graph.shape);
    if (sizes[1] >= 0 && sizes[2] >= 0 && sizes[3] >= 0) return;
    // With ranges of sides: the smallest that one of the profiles takes in both directions.
    const std::size_t height = graph.input_type == SWINIR_FLOAT32 ? 2 : 1;
    graph.min_side = std::numeric_limits<std::int64_t>::max();
    for (const Profile& profile : profiles) {
      const std::int64_t minimum = std::max(profile.min[height], profile.min[height + 1]);
      graph.min_side = std::min(graph.min_side, minimum);
    }
  }

  std::string device;
  int index;
  Library library;
  std::int32_t version_number;
  std::string version;
  Cuda cuda;
  Logger logger;
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  std::vector<std::string> inputs, outputs;
  std::vector<Profile> profiles;
  std::size_t sample = 1;  // bytes
};

// One execution context, with a stream and buffers of its own.
struct swinir_backend_session {
  explicit swinir_backend_session(const swinir_backend_model& opened)
      : model(opened), input(opened.cuda), output(opened.cuda) {
    const CurrentDevice current(model.cuda, model.index);
    context.reset(model.engine->createExecutionContext());
    if (!context) {
      fail(SWINIR_OUT_OF_MEMORY, kName, " gives no execution context, most likely for lack of ",
           "memory on the GPU; the log says why.");
    }
    stream = model.cuda.create_stream();
  }
  ~swinir_backend_session() {
    context.reset();
    model.cuda.destroy_stream(stream);
  }
  swinir_backend_session(const swinir_backend_session&) = delete;
  swinir_backend_session& operator=(const swinir_backend_session&) = delete;

  void run(const void* from, const std::int64_t input_shape[4], void* to,
           const std::int64_t output_shape[4]) {
    const Cuda& cuda = model.cuda;
    const Shape shape = shape_of(input_shape), expected = shape_of(output_shape);
    const CurrentDevice current(cuda, model.index);
    choose(shape);
    const char* in = model.inputs[0].c_str();
    const char* out = model.outputs[0].c_str();
    nvinfer1::Dims dims{};
    dims.nbDims = 4;
    std::copy(shape.begin(), shape.end(), dims.d);
    require(context->setInputShape(in, dims), "setInputShape");
    if (shape_of(context->getTensorShape(out)) != expected) {
      fail(SWINIR_INVALID_MODEL,
           "The engine gives another shape than its sidecar promises. Build "
           "it again.");
    }
    const std::size_t in_bytes = bytes_of(shape, model.sample);
    const std::size_t out_bytes = bytes_of(expected, model.sample);
    require(context->setTensorAddress(in, input.at_least(in_bytes)), "setTensorAddress");
    require(context->setTensorAddress(out, output.at_least(out_bytes)), "setTensorAddress");
    cuda.copy(input.at_least(0), from, in_bytes, cudaMemcpyHostToDevice, stream);
    require(context->enqueueV3(stream), "enqueueV3");
    cuda.copy(to, output.at_least(0), out_bytes, cudaMemcpyDeviceToHost, stream);
    cuda.synchronize(stream);
  }

  // Returns the bytes of the context's activations and of what this session has allocated.
  std::uint64_t bytes() const {
    const std::int64_t activations = activation_bytes(*model.engine, model.version_number);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, activations)) + input.bytes() +
           output.bytes();
  }

  void choose(const Shape& shape) {
    const int best = plugin::choose_profile(model.profiles, shape);
    if (best < 0) {
      const Profile& first = model.profiles.front();
      fail(SWINIR_INVALID_ARGUMENT, "The engine takes no input of ", shape[0], "x", shape[1], "x",
           shape[2], "x", shape[3], "; its first profile reaches up to ", first.max[0], "x",
           first.max[1], "x", first.max[2], "x", first.max[3],
           ". Choose tile_px and batch accordingly.");
    }
    if (best == profile) return;
    profile = -1;
    require(context->setOptimizationProfileAsync(best, stream), "setOptimizationProfileAsync");
    profile = best;
  }

  static void require(bool ok, const char* what) {
    if (!ok) fail(SWINIR_INFERENCE_FAILED, kName, ": ", what, " failed; the log says why.");
  }

  const swinir_backend_model& model;
  DeviceBuffer input, output;
  cudaStream_t stream = nullptr;
  std::unique_ptr<nvinfer1::IExecutionContext> context;
  int profile = 0;  // that of a new context
};

extern "C" SWINIR_BACKEND_EXPORT const swinir_backend* swinir_backend_entry() {
  static constexpr swinir_backend kBackend = plugin::backend_table(kName);
  return &kBackend;
}
