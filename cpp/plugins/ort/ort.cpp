// ONNX Runtime through its C API, found at run time: nothing is linked.
#include <onnxruntime_c_api.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "plugin_model.hpp"
#include "system/environment.hpp"
#include "system/native_path.hpp"

namespace plugin = swinir::plugin;
using plugin::fail;
using plugin::Library;
using plugin::Log;
using plugin::Owned;
using plugin::Port;

namespace {

// The oldest interface that has all that is used here (SetUserLoggingFunction). Functions are only
// ever added, so every later 1.x library serves it.
constexpr std::uint32_t kApiVersion = 17;

constexpr const char* kRemedy =
    "Install ONNX Runtime, or name its library in the option 'library'.";

#ifdef _WIN32
constexpr std::initializer_list<const char*> kLibraries = {"onnxruntime.dll"};
#else
constexpr std::initializer_list<const char*> kLibraries = {"libonnxruntime.so.1",
                                                           "libonnxruntime.so"};
#endif

// ONNX Runtime reads this when it is loaded, and sends usage data to its makers unless it is 1.
constexpr const char* kTelemetryVariable = "ORT_DISABLE_TELEMETRY";

// Opens ONNX Runtime with its telemetry switched off, unless the user has set the variable.
Library without_telemetry(const char* path) {
  swinir::core::set_if_unset(kTelemetryVariable, "1");
  return Library(path, kLibraries, kRemedy);
}

bool may_send() {
  const char* set = std::getenv(kTelemetryVariable);
  return set != nullptr && std::strcmp(set, "0") == 0;
}

// Takes the messages of the environment, which the whole process shares: no model's log is theirs.
void ORT_API_CALL discard(void*, OrtLoggingLevel, const char*, const char*, const char*,
                          const char*) {}

void ORT_API_CALL forward(void* log_data, OrtLoggingLevel severity, const char*, const char*,
                          const char*, const char* message) {
  const Log& log = *static_cast<const Log*>(log_data);
  log(severity >= ORT_LOGGING_LEVEL_ERROR     ? SWINIR_LOG_ERROR
      : severity == ORT_LOGGING_LEVEL_WARNING ? SWINIR_LOG_WARNING
      : severity == ORT_LOGGING_LEVEL_INFO    ? SWINIR_LOG_INFO
                                              : SWINIR_LOG_DEBUG,
      message);
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

// The library's table of functions.
struct Api {
  using Status = OrtStatus*;

  const OrtApi* operator->() const { return functions; }

  // Returns the first line of a status's message; releases the status.
  std::optional<std::string> failure(OrtStatus* status) const {
    if (status == nullptr) return std::nullopt;
    const Owned<OrtStatus> owner(status, functions->ReleaseStatus);
    const std::string message = functions->GetErrorMessage(status);
    return message.substr(0, message.find('\n'));
  }

  const OrtApi* functions;
};

using Check = plugin::Check<Api>;

// The version is checked as text first: an older library prints to the terminal when it is asked
// for an interface that it lacks.
Api api_of(const Library& library, std::string& version) {
  const OrtApiBase* base = library.function<const OrtApiBase * ORT_API_CALL()>("OrtGetApiBase")();
  version = base->GetVersionString();
  char* end = nullptr;
  const long major = std::strtol(version.c_str(), &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : -1;
  const bool fits = major == 1 && minor >= static_cast<long>(kApiVersion);
  const OrtApi* functions = fits ? base->GetApi(kApiVersion) : nullptr;
  if (functions == nullptr) {
    fail(SWINIR_BACKEND_MISMATCH, library.name(), ": ONNX Runtime ", version,
         "; this plug-in works with 1.", kApiVersion, " and later 1.x.");
  }
  return {functions};
}

// Returns kind and number of a device: "cuda:1" -> "cuda", "1"; "cuda" -> "cuda", "0".
std::pair<std::string, std::string> split_device(const std::string& device) {
  const auto colon = device.find(':');
  if (colon == std::string::npos) return {device, "0"};
  return {device.substr(0, colon), device.substr(colon + 1)};
}

void append_cuda(const Api& api, OrtSessionOptions* options, const std::string& index) {
  const Check check(api, SWINIR_DEVICE_UNAVAILABLE, "This ONNX Runtime cannot use a CUDA device");
  OrtCUDAProviderOptionsV2* raw = nullptr;
  check(api->CreateCUDAProviderOptions(&raw));
  const Owned<OrtCUDAProviderOptionsV2> cuda(raw, api->ReleaseCUDAProviderOptions);
  const char *keys[] = {"device_id"}, *values[] = {index.c_str()};
  check(api->UpdateCUDAProviderOptions(raw, keys, values, 1));
  check(api->SessionOptionsAppendExecutionProvider_CUDA_V2(options, raw));
}

}  // namespace

// Members are destroyed from last to first: the session before its environment.
struct swinir_backend_model {
  explicit swinir_backend_model(const swinir_backend_options& requested)
      : library(without_telemetry(requested.library)),
        api(api_of(library, version)),
        log(requested),
        device(requested.device != nullptr ? requested.device : "cpu"),
        environment(nullptr, api->ReleaseEnv),
        session(nullptr, api->ReleaseSession),
        memory(nullptr, api->ReleaseMemoryInfo) {
    start();
    load(requested);
  }

  void start() {
    const Check check(api, SWINIR_INTERNAL, "ONNX Runtime cannot start");
    OrtEnv* raw_environment = nullptr;
    check(api->CreateEnvWithCustomLogger(discard, nullptr, ORT_LOGGING_LEVEL_ERROR, "swinir",
                                         &raw_environment));
    environment.reset(raw_environment);
    // Where the program has loaded the library before, and on Windows, which has other telemetry.
    if (!may_send()) check(api->DisableTelemetryEvents(raw_environment));
    OrtMemoryInfo* raw_memory = nullptr;
    check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &raw_memory));
    memory.reset(raw_memory);
  }

  void load(const swinir_backend_options& requested) {
    const Check check(api, SWINIR_INTERNAL, "ONNX Runtime refuses an option");
    OrtSessionOptions* raw_options = nullptr;
    check(api->CreateSessionOptions(&raw_options));
    const Owned<OrtSessionOptions> options(raw_options, api->ReleaseSessionOptions);
    check(api->SetUserLoggingFunction(raw_options, forward, &log));
    check(api->SetSessionLogSeverityLevel(raw_options, severity_of(requested.log_level)));
    if (requested.threads > 0) check(api->SetIntraOpNumThreads(raw_options, requested.threads));
    const auto [kind, index] = split_device(device);
    if (kind == "cuda") {
      append_cuda(api, raw_options, index);
    } else if (device != "cpu") {
      fail(SWINIR_INVALID_ARGUMENT, "device '", device,
           "' for ort; it must be cpu, cuda or cuda:N.");
    }
    OrtSession* raw_session = nullptr;
    const Check loads(
        api, SWINIR_INVALID_MODEL,
        std::string(requested.path) + ": ONNX Runtime " + version + " cannot load it");
    const auto path = swinir::core::native_path(requested.path);
    loads(requested.data != nullptr
              ? api->CreateSessionFromArray(environment.get(), requested.data, requested.size,
                                            raw_options, &raw_session)
              : api->CreateSession(environment.get(), path.c_str(), raw_options, &raw_session));
    session.reset(raw_session);
  }

  std::size_t ports(bool input) const {
    std::size_t count = 0;
    const Check check = describes();
    check((input ? api->SessionGetInputCount : api->SessionGetOutputCount)(session.get(), &count));
    return count;
  }

  Port port(bool input) const {
    const Check check = describes();
    OrtTypeInfo* raw = nullptr;
    check((input ? api->SessionGetInputTypeInfo : api->SessionGetOutputTypeInfo)(session.get(), 0,
                                                                                 &raw));
    const Owned<OrtTypeInfo> info(raw, api->ReleaseTypeInfo);
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // belongs to `info`; null: no tensor
    check(api->CastTypeInfoToTensorInfo(info.get(), &tensor));
    Port port;
    if (tensor == nullptr) return port;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    check(api->GetTensorElementType(tensor, &type));
    port.type = plugin::sample_type(type, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    std::size_t rank = 0;
    check(api->GetDimensionsCount(tensor, &rank));
    port.rank = static_cast<std::int32_t>(rank);
    if (rank == port.shape.size()) check(api->GetDimensions(tensor, port.shape.data(), rank));
    return port;
  }

  // Fills in `graph`, and what a session needs to know of the first input and output.
  void describe(swinir_backend_graph& graph) {
    plugin::describe_model(*this, graph);
    if (graph.inputs == 0 || graph.outputs == 0) return;
    is_float = graph.input_type == SWINIR_FLOAT32;
    read_names(describes());
  }

  void read_names(const Check& check) {
    OrtAllocator* allocator = nullptr;  // the library's own, not to be released
    check(api->GetAllocatorWithDefaultOptions(&allocator));
    const auto take = [&](char* raw) {
      std::string name = raw;
      check(api->AllocatorFree(allocator, raw));
      return name;
    };
    char* raw = nullptr;
    check(api->SessionGetInputName(session.get(), 0, allocator, &raw));
    input_name = take(raw);
    check(api->SessionGetOutputName(session.get(), 0, allocator, &raw));
    output_name = take(raw);
  }

  Check describes() const {
    return {api, SWINIR_INVALID_MODEL, "ONNX Runtime does not describe the model"};
  }

  std::string version;
  Library library;
  Api api;
  Log log;
  std::string device, input_name, output_name;
  std::int32_t precision = 0;  // the file's own
  bool is_float = false;
  Owned<OrtEnv> environment;
  Owned<OrtSession> session;
  Owned<OrtMemoryInfo> memory;
};

// OrtSession::Run may be called by several threads at once, so nothing more is needed.
struct swinir_backend_session {
  explicit swinir_backend_session(const swinir_backend_model& opened) : model(opened) {}

  void run(const void* input, const std::int64_t input_shape[4], void* output,
           const std::int64_t output_shape[4]) const {
    const Check check(model.api, SWINIR_INFERENCE_FAILED,
                      plugin::failed_on("ONNX Runtime", input_shape));
    const auto from = tensor_over(input, input_shape, check);
    const auto to = tensor_over(output, output_shape, check);
    const char *inputs[] = {model.input_name.c_str()}, *outputs[] = {model.output_name.c_str()};
    const OrtValue* given[] = {from.get()};
    OrtValue* results[] = {to.get()};
    check(model.api->Run(model.session.get(), nullptr, inputs, given, 1, outputs, 1, results));
  }

  // ONNX Runtime's arena belongs to the model, not to a session.
  std::uint64_t bytes() const { return 0; }

  // Returns a tensor over memory that is not its own; ONNX Runtime does not write to an input.
  Owned<OrtValue> tensor_over(const void* data, const std::int64_t shape[4],
                              const Check& check) const {
    const std::size_t bytes = plugin::samples_of(shape) * (model.is_float ? sizeof(float) : 1);
    const auto element =
        model.is_float ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    OrtValue* value = nullptr;
    check(model.api->CreateTensorWithDataAsOrtValue(model.memory.get(), const_cast<void*>(data),
                                                    bytes, shape, 4, element, &value));
    return {value, model.api->ReleaseValue};
  }

  const swinir_backend_model& model;
};

extern "C" SWINIR_BACKEND_EXPORT const swinir_backend* swinir_backend_entry() {
  static constexpr swinir_backend kBackend = plugin::backend_table("ort");
  return &kBackend;
}
