// ONNX Runtime through its C API, found at run time: nothing is linked.
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "plugin.hpp"

using swinir_plugin::fail;
using swinir_plugin::guarded;
using swinir_plugin::Library;

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

bool is_out_of_memory(const std::string& reason) {
  std::string lower = reason;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* mark : {"failed to allocate memory", "bad_alloc", "out of memory", "bfcarena"}) {
    if (lower.find(mark) != std::string::npos) return true;
  }
  return false;
}

// Owns an object of ONNX Runtime.
template <typename Object>
using Owned = std::unique_ptr<Object, void (*)(Object*)>;

// Throws what a status says; releases it.
class Check {
 public:
  Check(const OrtApi& api, swinir_status status, std::string what)
      : api_(api), status_(status), what_(std::move(what)) {}

  void operator()(OrtStatus* failed) const {
    if (failed == nullptr) return;
    const Owned<OrtStatus> owner(failed, api_.ReleaseStatus);
    const std::string reason = api_.GetErrorMessage(failed);
    fail(is_out_of_memory(reason) ? SWINIR_OUT_OF_MEMORY : status_, what_, " (",
         reason.substr(0, reason.find('\n')), ").");
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
    loads(api.CreateSession(environment.get(), asked.path, raw_options, &raw_session));
    session.reset(raw_session);
  }

  // Fills in `graph`, and the names of the first input and output.
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
  swinir_backend_model& model;
};

namespace {

swinir_status model_open(const swinir_backend_options* options, swinir_backend_model** model,
                         swinir_backend_graph* graph, swinir_backend_message* message) {
  return guarded(message, [=] {
    auto opened = std::make_unique<swinir_backend_model>(*options);
    opened->describe(*graph);
    opened->element = graph->input_type == SWINIR_FLOAT32 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                                                          : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    *model = opened.release();
  });
}

void model_close(swinir_backend_model* model) { delete model; }

swinir_status session_open(swinir_backend_model* model, swinir_backend_session** session,
                           swinir_backend_message* message) {
  return guarded(message, [=] { *session = new swinir_backend_session{*model}; });
}

void session_close(swinir_backend_session* session) { delete session; }

// A tensor over memory that is not its own; ONNX Runtime does not write to an input.
Owned<OrtValue> tensor_over(const swinir_backend_model& model, const void* data,
                            const std::int64_t shape[4], const Check& check) {
  std::size_t bytes = model.element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? sizeof(float) : 1;
  for (int axis = 0; axis < 4; ++axis) bytes *= static_cast<std::size_t>(shape[axis]);
  OrtValue* value = nullptr;
  check(model.api.CreateTensorWithDataAsOrtValue(model.memory.get(), const_cast<void*>(data), bytes,
                                                 shape, 4, model.element, &value));
  return {value, model.api.ReleaseValue};
}

swinir_status session_run(swinir_backend_session* session, const void* input,
                          const std::int64_t input_shape[4], void* output,
                          const std::int64_t output_shape[4], swinir_backend_message* message) {
  return guarded(message, [=] {
    const swinir_backend_model& model = session->model;
    std::string what = "ONNX Runtime failed on an input of [";
    for (int axis = 0; axis < 4; ++axis) {
      what += (axis > 0 ? ", " : "") + std::to_string(input_shape[axis]);
    }
    const Check check(model.api, SWINIR_INFERENCE_FAILED, what + "]");
    const auto from = tensor_over(model, input, input_shape, check);
    const auto to = tensor_over(model, output, output_shape, check);
    const char *inputs[] = {model.input_name.c_str()}, *outputs[] = {model.output_name.c_str()};
    const OrtValue* given[] = {from.get()};
    OrtValue* wanted[] = {to.get()};
    check(model.api.Run(model.session.get(), nullptr, inputs, given, 1, outputs, 1, wanted));
  });
}

// ONNX Runtime's arena belongs to the model, not to a session.
std::uint64_t session_bytes(const swinir_backend_session*) { return 0; }

constexpr swinir_backend kBackend = {SWINIR_BACKEND_ABI, "ort",         model_open,  model_close,
                                     session_open,       session_close, session_run, session_bytes};

}  // namespace

extern "C" SWINIR_API const swinir_backend* swinir_backend_entry() { return &kBackend; }
