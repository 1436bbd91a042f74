// A stand-in of CUDA's driver: one that computes nothing, but knows what may be asked of the real
// one, and writes down what was.
//
// As there, work waits in its stream: copies and launches happen when the stream is synchronized,
// so a buffer that was given back or changed too early shows. Addresses are none of the host's, and
// none is given twice. Of a kernel the parameters are read from its machine code. One kernel
// computes: copy_bytes(source, result, i32 bytes).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#if defined(_WIN32)
#define FAKE extern "C" __declspec(dllexport)
#else
#define FAKE extern "C" __attribute__((visibility("default")))
#endif

namespace {

using Result = int;
using Address = unsigned long long;
using Work = std::function<Result()>;

// Values of CUresult.
constexpr Result kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotInitialized = 3,
                 kInvalidDevice = 101, kInvalidImage = 200, kInvalidContext = 201,
                 kNoBinaryForGpu = 209, kInvalidHandle = 400, kNotFound = 500,
                 kIllegalAddress = 700, kCaptureUnsupported = 900;

struct Function {
  int module;
  std::string entry;
  std::vector<std::size_t> sizes;  // of the parameters, bytes
  std::size_t shared_limit = 48 << 10;
};
struct Module {
  int number;
  std::map<std::string, Function> functions;
};
struct Graph {
  std::vector<Work> work;
};
struct Stream {
  int number;
  std::vector<Work> work;
  Graph* recording = nullptr;
  std::thread::id recorder{};
};
struct Failure {
  int turn;
  Result code;
};

struct State {
  std::map<std::string, std::int64_t> settings;
  std::map<std::string, Failure> failures;
  std::map<std::string, int> calls;
  std::string log, held;
  bool is_initialized = false;
  int retained = 0, modules_made = 0, streams_made = 0;
  Address next_address = 0x7000000000;
  std::map<Address, std::vector<char>> memory;
  std::map<void*, std::unique_ptr<char[]>> pinned;
  std::map<void*, std::unique_ptr<Module>> modules;
  std::map<void*, std::unique_ptr<Stream>> streams;
  std::map<void*, std::unique_ptr<Graph>> graphs, ready_graphs;
};

void usual_machine(State& state) {
  state.settings = {{"devices", 1},      {"major", 8}, {"minor", 6},
                    {"version", 12080},  {"quiet", 0}, {"shared_bytes", 101376},
                    {"memory", 64 << 20}};
}

State& state() {
  static State* const only = [] {
    auto* made = new State;  // never deleted: the library stays until the process ends
    usual_machine(*made);
    return made;
  }();
  return *only;
}

std::mutex mutex;
thread_local std::vector<void*> contexts;
int the_context;  // its address stands for the only one

template <typename... Parts>
void note(const Parts&... parts) {
  if (state().settings["quiet"] != 0) return;
  std::ostringstream line;
  (line << ... << parts) << '\n';
  state().log += line.str();
}

// What every function begins with: whether it has to fail this time.
Result begin(const char* name) {
  ++state().calls[name];
  const auto found = state().failures.find(name);
  if (found == state().failures.end() || --found->second.turn != 0) return kSuccess;
  const Result code = found->second.code;
  state().failures.erase(found);
  return code;
}

#define BEGIN(name)                              \
  const std::lock_guard<std::mutex> lock(mutex); \
  if (const Result told = begin(name); told != kSuccess) return told
#define NEED(condition, code) \
  if (!(condition)) return code
#define BEGIN_IN_CONTEXT(name) \
  BEGIN(name);                 \
  NEED(!contexts.empty(), kInvalidContext)

// Tells whether this thread is recording a graph, when it may not do what would wait for the GPU.
bool is_recording() {
  return std::any_of(state().streams.begin(), state().streams.end(), [](const auto& entry) {
    const Stream& stream = *entry.second;
    return stream.recording != nullptr && stream.recorder == std::this_thread::get_id();
  });
}

// Returns the bytes at an address, or null where `bytes` of them are not all there.
char* bytes_at(Address address, std::size_t bytes) {
  auto block = state().memory.upper_bound(address);
  if (block == state().memory.begin()) return nullptr;
  --block;
  const std::size_t place = address - block->first, size = block->second.size();
  return place <= size && bytes <= size - place ? block->second.data() + place : nullptr;
}

template <typename Number>
Number number_at(const char* place) {
  Number number;
  std::memcpy(&number, place, sizeof number);
  return number;
}

// Reads which functions machine code has, and the sizes of their parameters, from the sections
// .nv.info.NAME of the ELF file: records of a format (1 byte), an attribute (1) and a value (2) or,
// in format 4, its size. Attribute 0x17 is a parameter: its number at 4, its size in bits 18 to 31
// at 8.
std::map<std::string, Function> functions_of(const char* image, int module) {
  std::map<std::string, Function> functions;
  const char* sections = image + number_at<std::uint64_t>(image + 0x28);
  const auto size = number_at<std::uint16_t>(image + 0x3A);
  const auto count = number_at<std::uint16_t>(image + 0x3C);
  const auto names = number_at<std::uint16_t>(image + 0x3E);
  const auto content = [&](int number) {
    return image + number_at<std::uint64_t>(sections + number * size + 0x18);
  };
  for (int i = 0; i < count; ++i) {
    const char* section = sections + i * size;
    const std::string name = content(names) + number_at<std::uint32_t>(section);
    if (name.rfind(".nv.info.", 0) != 0) continue;
    Function function{module, name.substr(9), {}};
    const char* record = content(i);
    const char* end = record + number_at<std::uint64_t>(section + 0x20);
    while (record < end) {
      const bool has_size = record[0] == 4;
      const auto value = number_at<std::uint16_t>(record + 2);
      if (has_size && record[1] == 0x17) {
        const auto parameter = number_at<std::uint16_t>(record + 8);
        if (function.sizes.size() <= parameter) function.sizes.resize(parameter + 1U);
        function.sizes[parameter] = number_at<std::uint32_t>(record + 12) >> 18;
      }
      record += has_size ? 4 + value : 4;
    }
    functions[function.entry] = function;
  }
  return functions;
}

// Puts work into a stream, or into the graph that it is recording.
Result enqueue(void* handle, Work work) {
  const auto found = state().streams.find(handle);
  NEED(found != state().streams.end(), kInvalidHandle);
  Stream& stream = *found->second;
  (stream.recording != nullptr ? stream.recording->work : stream.work).push_back(std::move(work));
  return kSuccess;
}

const char* where(void* handle) {
  return state().streams.at(handle)->recording != nullptr ? "recorded " : "";
}

template <typename Thing>
void* keep(std::map<void*, std::unique_ptr<Thing>>& things, Thing thing) {
  auto made = std::make_unique<Thing>(std::move(thing));
  void* handle = made.get();
  things[handle] = std::move(made);
  return handle;
}

Result copy_bytes(const std::vector<std::uint64_t>& arguments) {
  const auto bytes = static_cast<std::size_t>(arguments[2]);
  const char* from = bytes_at(arguments[0], bytes);
  char* to = bytes_at(arguments[1], bytes);
  NEED(from != nullptr && to != nullptr, kIllegalAddress);
  std::memmove(to, from, bytes);
  return kSuccess;
}

}  // namespace

// ------------------------------------------------------------------------------------- for tests

FAKE void fake_cuda_reset() {
  const std::lock_guard<std::mutex> lock(mutex);
  usual_machine(state());
  state().failures.clear();
  state().calls.clear();
  state().log.clear();
  state().modules_made = state().streams_made = 0;
}

FAKE void fake_cuda_set(const char* name, std::int64_t value) {
  const std::lock_guard<std::mutex> lock(mutex);
  state().settings.at(name) = value;
}

FAKE void fake_cuda_fail(const char* name, int turn, int code) {
  const std::lock_guard<std::mutex> lock(mutex);
  state().failures[name] = {turn, code};
}

FAKE int fake_cuda_calls(const char* name) {
  const std::lock_guard<std::mutex> lock(mutex);
  return state().calls[name];
}

FAKE const char* fake_cuda_log() {
  const std::lock_guard<std::mutex> lock(mutex);
  return state().log.c_str();
}

FAKE const char* fake_cuda_held() {
  const std::lock_guard<std::mutex> lock(mutex);
  std::ostringstream held;
  const auto count = [&](std::size_t number, const char* what) {
    if (number != 0) held << number << ' ' << what << ' ';
  };
  count(state().memory.size(), "buffers");
  count(state().pinned.size(), "pinned");
  count(state().modules.size(), "modules");
  count(state().streams.size(), "streams");
  count(state().graphs.size(), "graphs");
  count(state().ready_graphs.size(), "ready graphs");
  count(static_cast<std::size_t>(state().retained), "retained");
  count(contexts.size(), "current");
  return (state().held = held.str()).c_str();
}

// ------------------------------------------------------------------------------------ the driver

FAKE Result cuInit(unsigned int) {
  BEGIN("cuInit");
  state().is_initialized = true;
  return kSuccess;
}

FAKE Result cuDriverGetVersion(int* version) {
  BEGIN("cuDriverGetVersion");
  *version = static_cast<int>(state().settings["version"]);
  return kSuccess;
}

FAKE Result cuGetErrorString(Result code, const char** words) {
  *words = code == kOutOfMemory      ? "out of memory"
           : code == kIllegalAddress ? "an illegal address"
           : code == 999             ? nullptr
                                     : "some error";
  return *words != nullptr ? kSuccess : kInvalidValue;
}

FAKE Result cuGetErrorName(Result code, const char** name) {
  *name = code == kOutOfMemory      ? "CUDA_ERROR_OUT_OF_MEMORY"
          : code == kIllegalAddress ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : code == 999             ? nullptr
                                    : "CUDA_ERROR";
  return *name != nullptr ? kSuccess : kInvalidValue;
}

FAKE Result cuDeviceGetCount(int* count) {
  BEGIN("cuDeviceGetCount");
  NEED(state().is_initialized, kNotInitialized);
  *count = static_cast<int>(state().settings["devices"]);
  return kSuccess;
}

FAKE Result cuDeviceGet(int* device, int index) {
  BEGIN("cuDeviceGet");
  NEED(index >= 0 && index < state().settings["devices"], kInvalidDevice);
  *device = 40 + index;  // not the index: some take one for the other
  return kSuccess;
}

FAKE Result cuDeviceGetName(char* name, int size, int device) {
  BEGIN("cuDeviceGetName");
  NEED(device >= 40, kInvalidDevice);
  std::snprintf(name, static_cast<std::size_t>(size), "Stand-in %d", device - 40);
  return kSuccess;
}

FAKE Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  BEGIN("cuDeviceGetAttribute");
  NEED(device >= 40, kInvalidDevice);
  const char* name = attribute == 75   ? "major"
                     : attribute == 76 ? "minor"
                     : attribute == 97 ? "shared_bytes"
                                       : nullptr;
  NEED(name != nullptr, kInvalidValue);
  *value = static_cast<int>(state().settings[name]);
  return kSuccess;
}

FAKE Result cuDevicePrimaryCtxRetain(void** context, int device) {
  BEGIN("cuDevicePrimaryCtxRetain");
  NEED(device >= 40, kInvalidDevice);
  ++state().retained;
  *context = &the_context;
  note("retain ", device - 40);
  return kSuccess;
}

FAKE Result cuDevicePrimaryCtxRelease_v2(int) {
  BEGIN("cuDevicePrimaryCtxRelease_v2");
  NEED(state().retained > 0, kInvalidContext);
  --state().retained;
  return kSuccess;
}

FAKE Result cuCtxPushCurrent_v2(void* context) {
  BEGIN("cuCtxPushCurrent_v2");
  NEED(context == &the_context && state().retained > 0, kInvalidContext);
  contexts.push_back(context);
  return kSuccess;
}

FAKE Result cuCtxPopCurrent_v2(void** context) {
  BEGIN_IN_CONTEXT("cuCtxPopCurrent_v2");
  *context = contexts.back();
  contexts.pop_back();
  return kSuccess;
}

FAKE Result cuModuleLoadData(void** module, const void* image) {
  BEGIN_IN_CONTEXT("cuModuleLoadData");
  const char* bytes = static_cast<const char*>(image);
  NEED(std::memcmp(bytes,
                   "\x7f"
                   "ELF",
                   4) == 0,
       kInvalidImage);
  NEED(reinterpret_cast<std::uintptr_t>(image) % 8 == 0, kInvalidImage);
  NEED(number_at<std::uint16_t>(bytes + 18) == 190, kNoBinaryForGpu);
  const int number = state().modules_made++;
  *module = keep(state().modules, Module{number, functions_of(bytes, number)});
  // FNV-1a of what stands before the table of sections: tells one machine code from another.
  std::uint64_t hash = 14695981039346656037U;
  for (std::uint64_t i = 0; i < number_at<std::uint64_t>(bytes + 0x28); ++i) {
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 1099511628211U;
  }
  note("module ", number, " ", hash);
  return kSuccess;
}

FAKE Result cuModuleUnload(void* module) {
  BEGIN_IN_CONTEXT("cuModuleUnload");
  NEED(state().modules.erase(module) == 1, kInvalidHandle);
  return kSuccess;
}

FAKE Result cuModuleGetFunction(void** function, void* module, const char* name) {
  BEGIN_IN_CONTEXT("cuModuleGetFunction");
  NEED(state().modules.count(module) == 1, kInvalidHandle);
  auto& functions = state().modules[module]->functions;
  NEED(functions.count(name) == 1, kNotFound);
  *function = &functions[name];
  return kSuccess;
}

FAKE Result cuFuncSetAttribute(void* handle, int attribute, int value) {
  BEGIN_IN_CONTEXT("cuFuncSetAttribute");
  NEED(attribute == 8 && value >= 0 && value <= state().settings["shared_bytes"], kInvalidValue);
  static_cast<Function*>(handle)->shared_limit = static_cast<std::size_t>(value);
  return kSuccess;
}

FAKE Result cuFuncSetCacheConfig(void*, int config) {
  BEGIN_IN_CONTEXT("cuFuncSetCacheConfig");
  NEED(config >= 0 && config <= 3, kInvalidValue);
  return kSuccess;
}

FAKE Result cuMemAlloc_v2(Address* address, std::size_t bytes) {
  BEGIN_IN_CONTEXT("cuMemAlloc_v2");
  NEED(!is_recording(), kCaptureUnsupported);
  NEED(bytes > 0, kInvalidValue);
  std::size_t used = 0;
  for (const auto& [start, block] : state().memory) used += block.size();
  const auto all = static_cast<std::size_t>(state().settings["memory"]);
  NEED(bytes <= all && used <= all - bytes, kOutOfMemory);
  *address = state().next_address;
  state().next_address += (bytes + 511) / 512 * 512 + 512;
  state().memory[*address].resize(bytes, '\xA5');
  note("alloc ", *address, " ", bytes);
  return kSuccess;
}

FAKE Result cuMemFree_v2(Address address) {
  BEGIN_IN_CONTEXT("cuMemFree_v2");
  NEED(state().memory.erase(address) == 1, kInvalidValue);
  note("free ", address);
  return kSuccess;
}

FAKE Result cuMemAllocHost_v2(void** memory, std::size_t bytes) {
  BEGIN_IN_CONTEXT("cuMemAllocHost_v2");
  NEED(!is_recording(), kCaptureUnsupported);
  NEED(bytes > 0, kInvalidValue);
  auto made = std::make_unique<char[]>(bytes);
  *memory = made.get();
  state().pinned[*memory] = std::move(made);
  return kSuccess;
}

FAKE Result cuMemFreeHost(void* memory) {
  BEGIN_IN_CONTEXT("cuMemFreeHost");
  NEED(state().pinned.erase(memory) == 1, kInvalidValue);
  return kSuccess;
}

FAKE Result cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t bytes, void* stream) {
  BEGIN_IN_CONTEXT("cuMemcpyHtoDAsync_v2");
  NEED(state().streams.count(stream) == 1, kInvalidHandle);
  NEED(bytes_at(to, bytes) != nullptr, kInvalidValue);
  note(where(stream), "upload ", to, " ", bytes,
       state().pinned.count(const_cast<void*>(from)) == 1 ? " pinned" : "", " stream ",
       state().streams[stream]->number);
  return enqueue(stream, [=] {
    char* target = bytes_at(to, bytes);
    NEED(target != nullptr, kIllegalAddress);
    std::memcpy(target, from, bytes);
    return kSuccess;
  });
}

FAKE Result cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t bytes, void* stream) {
  BEGIN_IN_CONTEXT("cuMemcpyDtoHAsync_v2");
  NEED(state().streams.count(stream) == 1, kInvalidHandle);
  NEED(bytes_at(from, bytes) != nullptr, kInvalidValue);
  note(where(stream), "download ", from, " ", bytes, state().pinned.count(to) == 1 ? " pinned" : "",
       " stream ", state().streams[stream]->number);
  return enqueue(stream, [=] {
    const char* source = bytes_at(from, bytes);
    NEED(source != nullptr, kIllegalAddress);
    std::memcpy(to, source, bytes);
    return kSuccess;
  });
}

FAKE Result cuStreamCreate(void** stream, unsigned int flags) {
  BEGIN_IN_CONTEXT("cuStreamCreate");
  NEED(flags == 1, kInvalidValue);  // CU_STREAM_NON_BLOCKING: nobody else's work is waited for
  *stream = keep(state().streams, Stream{state().streams_made++, {}});
  return kSuccess;
}

FAKE Result cuStreamDestroy_v2(void* stream) {
  BEGIN_IN_CONTEXT("cuStreamDestroy_v2");
  NEED(state().streams.erase(stream) == 1, kInvalidHandle);
  return kSuccess;
}

FAKE Result cuStreamSynchronize(void* handle) {
  BEGIN_IN_CONTEXT("cuStreamSynchronize");
  const auto found = state().streams.find(handle);
  NEED(found != state().streams.end(), kInvalidHandle);
  NEED(found->second->recording == nullptr, kCaptureUnsupported);
  std::vector<Work> work;
  work.swap(found->second->work);
  for (const Work& part : work) {
    if (const Result result = part(); result != kSuccess) return result;
  }
  return kSuccess;
}

FAKE Result cuLaunchKernel(void* handle, unsigned int grid_x, unsigned int grid_y,
                           unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                           unsigned int block_z, unsigned int shared, void* stream,
                           void** parameters, void** extra) {
  BEGIN_IN_CONTEXT("cuLaunchKernel");
  NEED(state().streams.count(stream) == 1, kInvalidHandle);
  const auto& function = *static_cast<Function*>(handle);
  NEED(grid_x > 0 && grid_x < 1U << 31 && grid_y > 0 && grid_y < 65536 && grid_z > 0 &&
           grid_z < 65536 && block_x > 0 && block_y == 1 && block_z == 1 && block_x <= 1024 &&
           shared <= function.shared_limit && parameters != nullptr && extra == nullptr,
       kInvalidValue);
  std::ostringstream words;
  std::vector<std::uint64_t> arguments;
  std::vector<Address> places;
  for (std::size_t i = 0; i < function.sizes.size(); ++i) {
    std::uint64_t value = 0;
    std::memcpy(&value, parameters[i], function.sizes[i]);
    arguments.push_back(value);
    words << ' ' << function.sizes[i] << ':' << value;
    const bool is_last = i + 2 >= function.sizes.size();
    NEED(!is_last || value == 0, kInvalidValue);  // the compiler's own
    if (function.sizes[i] != 8 || is_last) continue;
    NEED(value % 16 == 0 && bytes_at(value, 0) != nullptr, kInvalidValue);
    places.push_back(value);
  }
  note(where(stream), "launch ", function.module, " ", function.entry, " grid ", grid_x, " ",
       grid_y, " ", grid_z, " block ", block_x, " shared ", shared, " stream ",
       state().streams[stream]->number, " arguments", words.str());
  const bool copies = function.entry == "copy_bytes";
  return enqueue(stream, [=] {
    for (const Address place : places) NEED(bytes_at(place, 0) != nullptr, kIllegalAddress);
    return copies ? copy_bytes(arguments) : kSuccess;
  });
}

FAKE Result cuStreamBeginCapture_v2(void* handle, int mode) {
  BEGIN_IN_CONTEXT("cuStreamBeginCapture_v2");
  NEED(state().streams.count(handle) == 1, kInvalidHandle);
  NEED(mode == 1, kInvalidValue);  // of the thread alone: others go on
  Stream& stream = *state().streams[handle];
  NEED(stream.recording == nullptr, kInvalidValue);
  stream.recording = static_cast<Graph*>(keep(state().graphs, Graph{}));
  stream.recorder = std::this_thread::get_id();
  return kSuccess;
}

// Also where it fails the recording is over: there is no graph then.
FAKE Result cuStreamEndCapture(void* handle, void** graph) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Result told = begin("cuStreamEndCapture");
  NEED(!contexts.empty(), kInvalidContext);
  NEED(state().streams.count(handle) == 1, kInvalidHandle);
  Stream& stream = *state().streams[handle];
  NEED(stream.recording != nullptr, kInvalidValue);
  *graph = stream.recording;
  stream.recording = nullptr;
  if (told != kSuccess) {
    state().graphs.erase(*graph);
    *graph = nullptr;
  }
  return told;
}

FAKE Result cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long flags) {
  BEGIN_IN_CONTEXT("cuGraphInstantiateWithFlags");
  NEED(state().graphs.count(graph) == 1, kInvalidHandle);
  NEED(flags == 0, kInvalidValue);
  *ready = keep(state().ready_graphs, Graph{state().graphs[graph]->work});
  return kSuccess;
}

FAKE Result cuGraphDestroy(void* graph) {
  BEGIN_IN_CONTEXT("cuGraphDestroy");
  NEED(state().graphs.erase(graph) == 1, kInvalidHandle);
  return kSuccess;
}

FAKE Result cuGraphExecDestroy(void* ready) {
  BEGIN_IN_CONTEXT("cuGraphExecDestroy");
  NEED(state().ready_graphs.erase(ready) == 1, kInvalidHandle);
  return kSuccess;
}

FAKE Result cuGraphLaunch(void* ready, void* stream) {
  BEGIN_IN_CONTEXT("cuGraphLaunch");
  NEED(state().ready_graphs.count(ready) == 1 && state().streams.count(stream) == 1,
       kInvalidHandle);
  note("launch-graph stream ", state().streams[stream]->number);
  for (const Work& work : state().ready_graphs[ready]->work) {
    if (const Result result = enqueue(stream, work); result != kSuccess) return result;
  }
  return kSuccess;
}
