// OpenVINO through its C API, found at run time: nothing is linked.
#include <openvino/c/openvino.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugin_model.hpp"
#include "system/native_path.hpp"

namespace plugin = swinir::plugin;
using plugin::fail;
using plugin::Library;
using plugin::Log;
using plugin::Owned;
using plugin::Port;

namespace {

constexpr long kOldestYear = 2023;

constexpr const char* kRemedy = "Install OpenVINO, or name its C library in the option 'library'.";

#ifdef _WIN32
constexpr const char* kLibrary = "openvino_c.dll";
#define SWINIR_OPENVINO_READ ov_core_read_model_unicode  // takes UTF-16
#else
constexpr const char* kLibrary = "libopenvino_c.so";
#define SWINIR_OPENVINO_READ ov_core_read_model
#endif

// The functions that are used here, each of the type that the header declares.
struct Api {
  using Status = ov_status_e;

  explicit Api(const Library& library) : library(library) {}

  // Returns the last line of the message: those before it name places in OpenVINO's sources.
  std::optional<std::string> failure(ov_status_e status) const {
    if (status == ov_status_e::OK) return std::nullopt;
    const char* raw = ov_get_last_err_msg();
    std::string message = raw != nullptr ? raw : "no reason given";
    ov_free(raw);
    while (!message.empty() && std::isspace(static_cast<unsigned char>(message.back()))) {
      message.pop_back();
    }
    return message.substr(message.rfind('\n') + 1);
  }

#define SWINIR_OPENVINO_TEXT(name) #name
#define SWINIR_OPENVINO_MEMBER(member, name) \
  decltype(::name)* member = library.function<decltype(::name)>(SWINIR_OPENVINO_TEXT(name))
#define SWINIR_OPENVINO_FUNCTION(name) SWINIR_OPENVINO_MEMBER(name, name)

  const Library& library;
  SWINIR_OPENVINO_FUNCTION(ov_get_last_err_msg);
  SWINIR_OPENVINO_FUNCTION(ov_free);
  SWINIR_OPENVINO_FUNCTION(ov_core_create);
  SWINIR_OPENVINO_FUNCTION(ov_core_free);
  SWINIR_OPENVINO_FUNCTION(ov_core_get_available_devices);
  SWINIR_OPENVINO_FUNCTION(ov_available_devices_free);
  SWINIR_OPENVINO_MEMBER(read_model, SWINIR_OPENVINO_READ);
  SWINIR_OPENVINO_FUNCTION(ov_core_read_model_from_memory_buffer);
  SWINIR_OPENVINO_FUNCTION(ov_core_compile_model);
  SWINIR_OPENVINO_FUNCTION(ov_model_free);
  SWINIR_OPENVINO_FUNCTION(ov_model_inputs_size);
  SWINIR_OPENVINO_FUNCTION(ov_model_outputs_size);
  SWINIR_OPENVINO_FUNCTION(ov_model_const_input_by_index);
  SWINIR_OPENVINO_FUNCTION(ov_model_const_output_by_index);
  SWINIR_OPENVINO_FUNCTION(ov_port_get_element_type);
  SWINIR_OPENVINO_FUNCTION(ov_port_get_partial_shape);
  SWINIR_OPENVINO_FUNCTION(ov_partial_shape_free);
  SWINIR_OPENVINO_FUNCTION(ov_output_const_port_free);
  SWINIR_OPENVINO_FUNCTION(ov_compiled_model_free);
  SWINIR_OPENVINO_FUNCTION(ov_compiled_model_get_property);
  SWINIR_OPENVINO_FUNCTION(ov_compiled_model_create_infer_request);
  SWINIR_OPENVINO_FUNCTION(ov_infer_request_free);
  SWINIR_OPENVINO_FUNCTION(ov_infer_request_set_input_tensor);
  SWINIR_OPENVINO_FUNCTION(ov_infer_request_set_output_tensor);
  SWINIR_OPENVINO_FUNCTION(ov_infer_request_infer);
  SWINIR_OPENVINO_FUNCTION(ov_tensor_create_from_host_ptr);
  SWINIR_OPENVINO_FUNCTION(ov_tensor_free);

#undef SWINIR_OPENVINO_FUNCTION
#undef SWINIR_OPENVINO_MEMBER
#undef SWINIR_OPENVINO_TEXT
};

using Check = plugin::Check<Api>;

// Returns the version, such as "2026.4.1-22982-...", checked before any object is made.
std::string checked_version(const Library& library) {
  ov_version_t raw = {};
  library.function<decltype(ov_get_openvino_version)>("ov_get_openvino_version")(&raw);
  const std::string version = raw.buildNumber != nullptr ? raw.buildNumber : "";
  library.function<decltype(ov_version_free)>("ov_version_free")(&raw);
  if (std::strtol(version.c_str(), nullptr, 10) < kOldestYear) {
    fail(SWINIR_BACKEND_MISMATCH, library.name(), ": OpenVINO '", version,
         "'; this plug-in works with ", kOldestYear, " and later.");
  }
  return version;
}

const char* hint_of(std::int32_t precision) {
  return precision == SWINIR_FP16 ? "f16" : precision == SWINIR_BF16 ? "bf16" : "f32";
}

std::int32_t precision_of(const std::string& hint) {
  return hint == "f16" ? SWINIR_FP16 : hint == "bf16" ? SWINIR_BF16 : SWINIR_FP32;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

}  // namespace

// Members are destroyed from last to first: the compiled model before the core.
struct swinir_backend_model {
  explicit swinir_backend_model(const swinir_backend_options& requested)
      : library(requested.library, {kLibrary}, kRemedy),
        version(checked_version(library)),
        api(library),
        device(upper(requested.device != nullptr ? requested.device : "CPU")),
        core(nullptr, api.ov_core_free),
        model(nullptr, api.ov_model_free),
        compiled(nullptr, api.ov_compiled_model_free) {
    start();
    const auto path = swinir::core::native_path(requested.path);
    const std::string with = std::string(requested.path) + ": OpenVINO " + version;
    ov_model_t* raw_model = nullptr;
    Check(api, SWINIR_INVALID_MODEL, with + " cannot read it")(
        requested.data != nullptr ? api.ov_core_read_model_from_memory_buffer(
                                        core.get(), static_cast<const char*>(requested.data),
                                        requested.size, nullptr, &raw_model)
                                  : api.read_model(core.get(), path.c_str(), nullptr, &raw_model));
    model.reset(raw_model);
    compile(requested, with);
  }

  void start() {
    const Check check(api, SWINIR_INTERNAL, "OpenVINO cannot start");
    ov_core_t* raw_core = nullptr;
    check(api.ov_core_create(&raw_core));
    core.reset(raw_core);
    ov_available_devices_t found = {};
    check(api.ov_core_get_available_devices(core.get(), &found));
    std::string names;
    bool here = device == "AUTO";
    for (std::size_t i = 0; i < found.size; ++i) {
      const std::string name = found.devices[i];  // "CPU", "GPU.0"
      here = here || name == device || name.substr(0, name.find('.')) == device;
      names += (names.empty() ? "" : ", ") + name;
    }
    api.ov_available_devices_free(&found);
    if (!here) {
      fail(SWINIR_DEVICE_UNAVAILABLE, "OpenVINO ", version, " has no device '", device,
           "'; it has ", names, ".");
    }
  }

  void compile(const swinir_backend_options& requested, const std::string& with) {
    if (device.rfind("NPU", 0) == 0) {
      const Log log(requested);
      log(SWINIR_LOG_WARNING,
          "Swin networks were reported to give wrong pictures on NPUs without any error "
          "(openvino#37264). Check with 'swinir-deploy verify' first.");
    }
    const Check check(api, SWINIR_DEVICE_UNAVAILABLE, with + " cannot compile it for " + device);
    ov_compiled_model_t* raw = nullptr;
    const std::string threads = std::to_string(requested.threads);
    // Always named: by itself OpenVINO takes BF16 on a processor that has it.
    const char* hint = hint_of(requested.precision);
    if (requested.threads > 0) {
      check(api.ov_core_compile_model(core.get(), model.get(), device.c_str(), 6, &raw,
                                      "PERFORMANCE_HINT", "LATENCY", "INFERENCE_PRECISION_HINT",
                                      hint, "INFERENCE_NUM_THREADS", threads.c_str()));
    } else {
      check(api.ov_core_compile_model(core.get(), model.get(), device.c_str(), 4, &raw,
                                      "PERFORMANCE_HINT", "LATENCY", "INFERENCE_PRECISION_HINT",
                                      hint));
    }
    compiled.reset(raw);
    char* answered = nullptr;
    check(api.ov_compiled_model_get_property(raw, "INFERENCE_PRECISION_HINT", &answered));
    precision = precision_of(answered);
    api.ov_free(answered);
  }

  std::size_t ports(bool input) const {
    std::size_t count = 0;
    describes()(
        (input ? api.ov_model_inputs_size : api.ov_model_outputs_size)(model.get(), &count));
    return count;
  }

  Port port(bool input) const {
    const Check check = describes();
    ov_output_const_port_t* raw = nullptr;
    check((input ? api.ov_model_const_input_by_index : api.ov_model_const_output_by_index)(
        model.get(), 0, &raw));
    const Owned<ov_output_const_port_t> owner(raw, api.ov_output_const_port_free);
    ov_element_type_e type;
    check(api.ov_port_get_element_type(raw, &type));
    Port port;
    port.type = plugin::sample_type(type, ov_element_type_e::F32, ov_element_type_e::U8);
    ov_partial_shape_t shape = {};
    check(api.ov_port_get_partial_shape(raw, &shape));
    const bool known = shape.rank.min == shape.rank.max;
    port.rank = known ? static_cast<std::int32_t>(shape.rank.max) : 0;
    for (std::size_t axis = 0; axis < port.shape.size() && port.rank == 4; ++axis) {
      const ov_dimension_t side = shape.dims[axis];
      port.shape[axis] = side.min == side.max ? side.min : -1;
    }
    api.ov_partial_shape_free(&shape);
    return port;
  }

  void describe(swinir_backend_graph& graph) {
    plugin::describe_model(*this, graph);
    is_float = graph.input_type == SWINIR_FLOAT32;
  }

  Check describes() const {
    return {api, SWINIR_INVALID_MODEL, "OpenVINO does not describe the model"};
  }

  Library library;
  std::string version;
  Api api;
  std::string device;
  std::int32_t precision = 0;
  bool is_float = false;
  Owned<ov_core_t> core;
  Owned<ov_model_t> model;
  Owned<ov_compiled_model_t> compiled;
};

struct swinir_backend_session {
  explicit swinir_backend_session(const swinir_backend_model& opened)
      : model(opened), request(nullptr, opened.api.ov_infer_request_free) {
    ov_infer_request_t* raw = nullptr;
    Check(opened.api, SWINIR_INFERENCE_FAILED, "OpenVINO gives no infer request")(
        opened.api.ov_compiled_model_create_infer_request(opened.compiled.get(), &raw));
    request.reset(raw);
  }

  void run(const void* input, const std::int64_t input_shape[4], void* output,
           const std::int64_t output_shape[4]) const {
    const Check check(model.api, SWINIR_INFERENCE_FAILED,
                      plugin::failed_on("OpenVINO", input_shape));
    const auto from = tensor_over(input, input_shape, check);
    const auto to = tensor_over(output, output_shape, check);
    check(model.api.ov_infer_request_set_input_tensor(request.get(), from.get()));
    check(model.api.ov_infer_request_set_output_tensor(request.get(), to.get()));
    check(model.api.ov_infer_request_infer(request.get()));
  }

  // OpenVINO does not tell.
  std::uint64_t bytes() const { return 0; }

  // Returns a tensor over memory that is not its own; OpenVINO does not write to an input.
  Owned<ov_tensor_t> tensor_over(const void* data, const std::int64_t shape[4],
                                 const Check& check) const {
    std::vector<std::int64_t> sides(shape, shape + 4);
    const auto element = model.is_float ? ov_element_type_e::F32 : ov_element_type_e::U8;
    ov_tensor_t* tensor = nullptr;
    check(model.api.ov_tensor_create_from_host_ptr(element, ov_shape_t{4, sides.data()},
                                                   const_cast<void*>(data), &tensor));
    return {tensor, model.api.ov_tensor_free};
  }

  const swinir_backend_model& model;
  Owned<ov_infer_request_t> request;
};

extern "C" SWINIR_BACKEND_EXPORT const swinir_backend* swinir_backend_entry() {
  static constexpr swinir_backend kBackend = plugin::backend_table("openvino");
  return &kBackend;
}
