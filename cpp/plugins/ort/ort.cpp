// ONNX Runtime through its C API, found at run time: nothing is linked.
#include <onnxruntime_c_api.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "plugin.hpp"

using swinir_plugin::fail;
using swinir_plugin::Library;
using swinir_plugin::Owned;
using swinir_plugin::status_of;

namespace {

// The oldest interface that has all that is used here (SetUserLoggingFunction). Functions are only
// ever added, so every later 1.x library serves it.
constexpr std::uint32_t kApiVersion = 17;

constexpr const char* kRemedy =
    "Install ONNX Runtime, or name its libonnxruntime.so in the option 'library'.";

// Of the environment, which the whole process shares: what it says is nobody's in particular.
void ORT_API_CALL discard(void*, OrtLoggingLevel, const char*, const char*, const char*,
                          const char*) {}

struct Log {
  swinir_log_callback callback;
  void* data;
  std::int32_t level;
};

void ORT_API_CALL forward(void* log_data, OrtLoggingLevel severity, const char*, const char*,
                          const char*, const char* message) {
  const Log& log = *static_cast<const Log*>(log_data);
  const std::int32_t level = severity >= ORT_LOGGING_LEVEL_ERROR     ? SWINIR_LOG_ERROR
                             : severity == ORT_LOGGING_LEVEL_WARNING ? SWINIR_LOG_WARNING
                             : severity == ORT_LOGGING_LEVEL_INFO    ? SWINIR_LOG_INFO
                                                                     : SWINIR_LOG_DEBUG;
  if (level <= log.level) log.callback(log.data, level, message);
}

OrtLoggingLevel severity_of(std::int32_t level) {
  switch (level) {
    case SWINIR_LOG_ERROR:
      return ORT_LOGGING_LEVEL_ERROR;
    case SWINIR_LOG_WARNING:
      return ORT_LOGGING_LEVEL_WARNING;
    case SWINIR_LOG_INFO:
      return ORT_LOGGING_LEVEL_INFO;
    default:
      return ORT_LOGGING_LEVEL_VERBOSE;
  }
}

// The version is checked as text first: an older library prints to the terminal when it is asked
// for an interface that it lacks.
const OrtApi& api_of(const Library& library, std::string& version) {
  const OrtApiBase* base = library.function<const OrtApiBase*()>("OrtGetApiBase")();
  version = base->GetVersionString();
  char* end = nullptr;
  const long major = std::strtol(version.c_str(), &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : -1;
  const bool fits = major == 1 && minor >= static_cast<long>(kApiVersion);
  const OrtApi* api = fits ? base->GetApi(kApiVersion) : nullptr;
  if (api == nullptr) {
    fail(SWINIR_BACKEND_MISMATCH, library.name(), ": ONNX Runtime ", version,
         "; this plug-in works with 1.", kApiVersion, " and later 1.x.");
  }
  return *api;
}

// Throws what a status says; releases it.
class Check {
 public:
  Check(const OrtApi& api, swinir_status status, std::string what)
      : api_(api), status_(status), what_(std::move(what)) {}

  void operator()(OrtStatus* failed) const {
    if (failed == nullptr) return;
    const Owned<OrtStatus> owner(failed, api_.ReleaseStatus);
    const std::string reason = api_.GetErrorMessage(failed);
    fail(status_of(reason, status_), what_, " (", reason.substr(0, reason.find('\n')), ").");
  }

 private:
  const OrtApi& api_;
  swinir_status status_;
  std::string what_;
};

// "cuda:1" -> "cuda", "1"; "cuda" -> "cuda", "0".
std::pair<std::string, std::string> split_device(const std::string& device) {
  const auto colon = device.find(':');
  if (colon == std::string::npos) return {device, "0"};
  return {device.substr(0, colon), device.substr(colon + 1)};
}

void append_cuda(const OrtApi& api, OrtSessionOptions* options, const std::string& index) {
  const Check check(api, SWINIR_DEVICE_UNAVAILABLE, "This ONNX Runtime cannot use a CUDA device");
  OrtCUDAProviderOptionsV2* raw = nullptr;
  check(api.CreateCUDAProviderOptions(&raw));
  const Owned<OrtCUDAProviderOptionsV2> cuda(raw, api.ReleaseCUDAProviderOptions);
  const char *keys[] = {"device_id"}, *values[] = {index.c_str()};
  check(api.UpdateCUDAProviderOptions(raw, keys, values, 1));
  check(api.SessionOptionsAppendExecutionProvider_CUDA_V2(options, raw));
}

std::int32_t type_of(ONNXTensorElementDataType type) {
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT   ? SWINIR_FLOAT32
         : type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 ? SWINIR_UINT8
                                                       : 0;
}

}  // namespace

// Members are destroyed from last to first: the session before its environment.
struct swinir_backend_model {
  explicit swinir_backend_model(const swinir_backend_options& asked)
      : library(asked.library, {"libonnxruntime.so.1", "libonnxruntime.so"}, kRemedy),
        api(api_of(library, version)),
        log{asked.log, asked.log_data, asked.log_level},
        device(asked.device != nullptr ? asked.device : "cpu"),
        environment(nullptr, api.ReleaseEnv),
        session(nullptr, api.ReleaseSession),
        memory(nullptr, api.ReleaseMemoryInfo) {
    start();
    load(asked);
  }

  void start() {
    const Check check(api, SWINIR_INTERNAL, "ONNX Runtime cannot start");
    OrtEnv* raw_environment = nullptr;
    check(api.CreateEnvWithCustomLogger(discard, nullptr, ORT_LOGGING_LEVEL_ERROR, "swinir",
                                        &raw_environment));
    environment.reset(raw_environment);
    OrtMemoryInfo* raw_memory = nullptr;
    check(api.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &raw_memory));
    memory.reset(raw_memory);
  }

  void load(const swinir_backend_options& asked) {
    const Check check(api, SWINIR_INTERNAL, "ONNX Runtime refuses an option");
    OrtSessionOptions* raw_options = nullptr;
    check(api.CreateSessionOptions(&raw_options));
    const Owned<OrtSessionOptions> options(raw_options, api.ReleaseSessionOptions);
    check(api.SetUserLoggingFunction(raw_options, forward, &log));
    check(api.SetSessionLogSeverityLevel(raw_options, severity_of(asked.log_level)));
    if (asked.threads > 0) check(api.SetIntraOpNumThreads(raw_options, asked.threads));
    const auto [kind, index] = split_device(device);
    if (kind == "cuda") {
      append_cuda(api, raw_options, index);
    } else if (device != "cpu") {
      fail(SWINIR_INVALID_ARGUMENT, "device '", device,
           "' for ort; it must be cpu, cuda or cuda:N.");
    }
    OrtSession* raw_session = nullptr;
    const Check loads(api, SWINIR_INVALID_MODEL,
                      std::string(asked.path) + ": ONNX Runtime " + version + " cannot load it");
    loads(asked.data != nullptr
              ? api.CreateSessionFromArray(environment.get(), asked.data, asked.size, raw_options,
                                           &raw_session)
              : api.CreateSession(environment.get(), asked.path, raw_options, &raw_session));
    session.reset(raw_session);
  }

  // Fills in `graph`, and what a session needs to know of the first input and output.
  void describe(swinir_backend_graph& graph) {
    const Check check(api, SWINIR_INVALID_MODEL, "ONNX Runtime does not describe the model");
    std::size_t inputs = 0, outputs = 0;
    check(api.SessionGetInputCount(session.get(), &inputs));
    check(api.SessionGetOutputCount(session.get(), &outputs));
    graph.inputs = static_cast<std::int32_t>(inputs);
    graph.outputs = static_cast<std::int32_t>(outputs);
    std::snprintf(graph.library_version, sizeof graph.library_version, "%s", version.c_str());
    std::snprintf(graph.device, sizeof graph.device, "%s", device.c_str());
    if (inputs == 0 || outputs == 0) return;
    OrtTypeInfo* raw = nullptr;
    check(api.SessionGetInputTypeInfo(session.get(), 0, &raw));
    const Owned<OrtTypeInfo> input(raw, api.ReleaseTypeInfo);
    check(api.SessionGetOutputTypeInfo(session.get(), 0, &raw));
    const Owned<OrtTypeInfo> output(raw, api.ReleaseTypeInfo);
    graph.input_type = element_type(input.get(), check);
    graph.output_type = element_type(output.get(), check);
    element = graph.input_type == SWINIR_FLOAT32 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                                                 : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    read_shape(input.get(), graph, check);
    read_names(check);
  }

  void read_shape(const OrtTypeInfo* info, swinir_backend_graph& graph, const Check& check) const {
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // belongs to `info`; null: no tensor
    check(api.CastTypeInfoToTensorInfo(info, &tensor));
    if (tensor == nullptr) return;
    std::size_t rank = 0;
    check(api.GetDimensionsCount(tensor, &rank));
    graph.input_rank = static_cast<std::int32_t>(rank);
    if (rank == std::size(graph.shape)) check(api.GetDimensions(tensor, graph.shape, rank));
  }

  void read_names(const Check& check) {
    OrtAllocator* allocator = nullptr;  // the library's own, not to be released
    check(api.GetAllocatorWithDefaultOptions(&allocator));
    const auto take = [&](char* raw) {
      std::string name = raw;
      check(api.AllocatorFree(allocator, raw));
      return name;
    };
    char* raw = nullptr;
    check(api.SessionGetInputName(session.get(), 0, allocator, &raw));
    input_name = take(raw);
    check(api.SessionGetOutputName(session.get(), 0, allocator, &raw));
    output_name = take(raw);
  }

  std::int32_t element_type(const OrtTypeInfo* info, const Check& check) const {
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;
    check(api.CastTypeInfoToTensorInfo(info, &tensor));
    if (tensor == nullptr) return 0;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    check(api.GetTensorElementType(tensor, &type));
    return type_of(type);
  }

  std::string version;
  Library library;
  const OrtApi& api;
  Log log;
  std::string device, input_name, output_name;
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  Owned<OrtEnv> environment;
  Owned<OrtSession> session;
  Owned<OrtMemoryInfo> memory;
};

// OrtSession::Run may be called by several threads at once, so nothing more is needed.
struct swinir_backend_session {
  explicit swinir_backend_session(const swinir_backend_model& opened) : model(opened) {}

  void run(const void* input, const std::int64_t input_shape[4], void* output,
           const std::int64_t output_shape[4]) const {
    std::string what = "ONNX Runtime failed on an input of [";
    for (int axis = 0; axis < 4; ++axis) {
      what += (axis > 0 ? ", " : "") + std::to_string(input_shape[axis]);
    }
    const Check check(model.api, SWINIR_INFERENCE_FAILED, what + "]");
    const auto from = tensor_over(input, input_shape, check);
    const auto to = tensor_over(output, output_shape, check);
    const char *inputs[] = {model.input_name.c_str()}, *outputs[] = {model.output_name.c_str()};
    const OrtValue* given[] = {from.get()};
    OrtValue* wanted[] = {to.get()};
    check(model.api.Run(model.session.get(), nullptr, inputs, given, 1, outputs, 1, wanted));
  }

  // ONNX Runtime's arena belongs to the model, not to a session.
  std::uint64_t bytes() const { return 0; }

  // A tensor over memory that is not its own; ONNX Runtime does not write to an input.
  Owned<OrtValue> tensor_over(const void* data, const std::int64_t shape[4],
                              const Check& check) const {
    std::size_t bytes = model.element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? sizeof(float) : 1;
    for (int axis = 0; axis < 4; ++axis) bytes *= static_cast<std::size_t>(shape[axis]);
    OrtValue* value = nullptr;
    check(model.api.CreateTensorWithDataAsOrtValue(model.memory.get(), const_cast<void*>(data),
                                                   bytes, shape, 4, model.element, &value));
    return {value, model.api.ReleaseValue};
  }

  const swinir_backend_model& model;
};

extern "C" SWINIR_API const swinir_backend* swinir_backend_entry() {
  static constexpr swinir_backend kBackend = swinir_plugin::backend_table("ort");
  return &kBackend;
}
