// Engines of this project's own kernels, on NVIDIA's driver alone: nothing is linked, and no CUDA
// toolkit is needed, neither here nor on the machine that runs them. docs/cuda_engine.md describes
// the file.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <list>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "artifacts/cuda_engine.hpp"
#include "cuda_device.hpp"
#include "gpu.hpp"
#include "graph.hpp"
#include "loaded_engine.hpp"
#include "plugin.hpp"
#include "system/file.hpp"

namespace core = swinir::core;
namespace plugin = swinir::plugin;
using plugin::CurrentContext;
using plugin::DeviceMemory;
using plugin::Driver;
using plugin::fail;
using plugin::Gpu;
using plugin::Graph;
using plugin::GrowingBuffer;
using plugin::LoadedEngine;
using plugin::Log;
using plugin::PinnedMemory;
using plugin::PrimaryContext;
using plugin::Stream;

namespace {

using Shape = std::array<std::int64_t, 4>;

// Shapes whose plan, and graph, a session keeps: tiles, full and last batches of them, pictures of
// a few sizes. Launches of them all, so that the memory is bounded.
constexpr std::size_t kKeptShapes = 8, kKeptLaunches = 1 << 15;

// A longer plan works so long that its launches cost nothing beside it.
constexpr std::size_t kLargestGraph = 4096;

constexpr std::int64_t kUsualSide = 64;  // of a picture that every program can plan

std::string version_text(const Driver& driver) {
  int version = 0;
  driver.check(driver.cuDriverGetVersion(&version), "Asking the driver for its version",
               SWINIR_DEVICE_UNAVAILABLE);
  return core::text(version / 1000, ".", version % 1000 / 10);
}

Shape shape_of(const std::int64_t sides[4]) {
  Shape shape{};
  std::copy_n(sides, shape.size(), shape.begin());
  return shape;
}

std::size_t bytes_of(const Shape& shape, std::size_t sample) {
  for (const std::int64_t side : shape) sample *= static_cast<std::size_t>(side);
  return sample;
}

}  // namespace

// Members are destroyed from last to first: what is on the GPU before its context.
struct swinir_backend_model {
  explicit swinir_backend_model(const swinir_backend_options& requested)
      : device(requested.device != nullptr ? requested.device : "cuda"),
        index(plugin::cuda_device_index(device, "cuda")),
        driver(requested.library),
        version(version_text(driver)),
        gpu(driver, index),
        log(requested) {
    std::string file;
    std::string_view content(static_cast<const char*>(requested.data), requested.size);
    if (requested.data == nullptr) {
      core::InputFile input(requested.path, "Build an engine first: swinir-deploy build --help");
      if (!input.read(input.left(), file)) {
        fail(SWINIR_INVALID_MODEL, requested.path, ": cannot be read. Copy it again.");
      }
      content = file;
    }
    // Nothing goes to the GPU before all of the file was checked.
    const core::CudaEngine engine = core::read_cuda_engine(content, requested.path);
    const int number = architecture_of_gpu(engine, requested.path);
    const core::CudaArchitecture& code = engine.architectures.at(number);
    is_tensor = engine.io == SWINIR_IO_TENSOR;
    channels = channels_of(code.program, requested.path);
    context.emplace(driver, gpu.device);
    const CurrentContext current(driver, *context);
    loaded.emplace(driver, gpu, engine, code, requested.path);
    log(SWINIR_LOG_INFO,
        core::text("cuda: machine code for sm", number, " on GPU ", index, " (", gpu.name, ", sm",
                   gpu.major, gpu.minor, "), driver for CUDA ", version)
            .c_str());
  }
  ~swinir_backend_model() {
    plugin::quietly(driver, *context, [this] { loaded.reset(); });
  }
  swinir_backend_model(const swinir_backend_model&) = delete;
  swinir_backend_model& operator=(const swinir_backend_model&) = delete;

  int architecture_of_gpu(const core::CudaEngine& engine, const char* path) const {
    const int found = core::architecture_for(engine, gpu.major, gpu.minor);
    if (found != 0) return found;
    std::string there;
    for (const auto& [number, ignored] : engine.architectures) {
      there += core::text(there.empty() ? "sm" : ", sm", number);
    }
    fail(SWINIR_DEVICE_UNAVAILABLE, path, ": has machine code for ", there, "; GPU ", index, " (",
         gpu.name, ") is sm", gpu.major, gpu.minor,
         ". Build an engine for it with 'swinir-deploy build'.");
  }

  std::int64_t channels_of(const core::Program& program, const char* path) const {
    try {
      return plan_of(program, {1, kUsualSide, kUsualSide}).output_shape[is_tensor ? 1 : 3];
    } catch (const plugin::Failure& failure) {
      fail(SWINIR_INVALID_MODEL, path, ": ", failure.what());
    }
  }

  // Plans a batch of [pictures, height, width].
  static core::Plan plan_of(const core::Program& program, const std::array<std::int64_t, 3>& size) {
    return core::plan_launches(program, size[0], size[1], size[2]);
  }

  void describe(swinir_backend_graph& graph) const {
    graph.inputs = graph.outputs = 1;
    graph.input_type = graph.output_type = is_tensor ? SWINIR_FLOAT32 : SWINIR_UINT8;
    graph.input_rank = 4;
    std::fill_n(graph.shape, 4, -1);
    graph.shape[is_tensor ? 1 : 3] = channels;
    plugin::copy_text(graph.library_version, version);
    plugin::copy_text(graph.device, device);
  }

  std::string device;
  int index;
  Driver driver;
  std::string version;
  Gpu gpu;
  Log log;
  bool is_tensor = true;
  std::int64_t channels = 0;
  std::optional<PrimaryContext> context;
  std::optional<LoadedEngine> loaded;
};

// A stream and buffers. Whatever a run needs lies where it lay in the run before, if that was large
// enough; so a shape that comes again is one launch of a graph.
struct swinir_backend_session {
  explicit swinir_backend_session(const swinir_backend_model& opened)
      : model(opened),
        driver(opened.driver),
        device_memory(driver),
        pinned_memory(driver),
        input(device_memory),
        output(device_memory),
        arena(device_memory),
        pinned_input(pinned_memory),
        pinned_output(pinned_memory) {
    const CurrentContext current(driver, *model.context);
    stream.emplace(driver);
  }
  ~swinir_backend_session() {
    plugin::quietly(driver, *model.context, [this] {
      release();
      stream.reset();
    });
  }
  swinir_backend_session(const swinir_backend_session&) = delete;
  swinir_backend_session& operator=(const swinir_backend_session&) = delete;

  void run(const void* from, const std::int64_t input_shape[4], void* to,
           const std::int64_t output_shape[4]) {
    const Shape shape = shape_of(input_shape), expected = shape_of(output_shape);
    const CurrentContext current(driver, *model.context);
    try {
      Kept& kept = kept_for(shape);
      if (kept.plan.output_shape != expected) {
        fail(SWINIR_INVALID_MODEL,
             "The engine gives another shape than its sidecar promises. Build it again.");
      }
      const std::size_t sample = model.is_tensor ? sizeof(float) : 1;
      const Sizes sizes = {bytes_of(shape, sample), bytes_of(expected, sample)};
      make_room(sizes, static_cast<std::size_t>(kept.plan.arena_elements) * 2);
      std::memcpy(pinned_input.at_least(0), from, sizes.input);
      compute(kept, sizes);
      driver.check(driver.cuStreamSynchronize(stream->get()), "Computing on the GPU");
      std::memcpy(to, pinned_output.at_least(0), sizes.output);
    } catch (const plugin::Failure& failure) {
      give_up(failure.status() == SWINIR_OUT_OF_MEMORY);
      throw;
    } catch (const std::bad_alloc&) {
      give_up(true);
      throw;
    }
  }

  // Returns the bytes that this session has allocated on the GPU, and pinned on the host.
  std::uint64_t bytes() const {
    return input.bytes() + output.bytes() + arena.bytes() + pinned_input.bytes() +
           pinned_output.bytes();
  }

 private:
  void give_up(bool out_of_memory) {
    driver.cuStreamSynchronize(stream->get());  // what was enqueued may be using the buffers
    // A smaller picture is tried next; what is held for this one must not stand in its way.
    if (out_of_memory) release();
  }

  struct Sizes {
    std::size_t input, output;  // bytes
  };

  // A shape that was seen.
  struct Kept {
    Kept(const Shape& seen, core::Plan planned) : shape(seen), plan(std::move(planned)) {}

    Shape shape;
    core::Plan plan;
    std::int64_t runs = 0;
    std::optional<Graph> graph;
  };

  // Returns what is known of a shape, which then is the first of the kept.
  Kept& kept_for(const Shape& shape) {
    const auto found = std::find_if(shapes.begin(), shapes.end(),
                                    [&](const Kept& kept) { return kept.shape == shape; });
    if (found != shapes.end()) {
      shapes.splice(shapes.begin(), shapes, found);
    } else {
      const std::size_t height = model.is_tensor ? 2 : 1;
      core::Plan plan = swinir_backend_model::plan_of(model.loaded->program(),
                                                      {shape[0], shape[height], shape[height + 1]});
      while (!shapes.empty() && (shapes.size() == kKeptShapes ||
                                 kept_launches() + plan.launches.size() > kKeptLaunches)) {
        shapes.pop_back();
      }
      shapes.emplace_front(shape, std::move(plan));
    }
    return shapes.front();
  }

  std::size_t kept_launches() const {
    std::size_t launches = 0;
    for (const Kept& kept : shapes) launches += kept.plan.launches.size();
    return launches;
  }

  void make_room(const Sizes& sizes, std::size_t arena_bytes) {
    const std::uint64_t before = bytes();
    const auto grow = [](auto& buffer, std::size_t bytes) {
      buffer.at_least(std::max<std::size_t>(1, bytes));
    };
    const bool moves =
        sizes.input > input.bytes() || sizes.output > output.bytes() || arena_bytes > arena.bytes();
    if (moves) drop_graphs();
    grow(input, sizes.input);
    grow(output, sizes.output);
    grow(arena, arena_bytes);
    grow(pinned_input, sizes.input);
    grow(pinned_output, sizes.output);
    if (bytes() != before) {
      model.log(SWINIR_LOG_DEBUG, core::text("cuda: ", bytes(), " bytes of buffers").c_str());
    }
  }

  // A graph takes time to make, so a shape gets one when it comes for the second time.
  void compute(Kept& kept, const Sizes& sizes) {
    ++kept.runs;
    if (kept.runs == 2 && kept.plan.launches.size() <= kLargestGraph) {
      try {
        kept.graph.emplace(driver, *stream, [&] { enqueue(kept.plan, sizes); });
      } catch (const plugin::Failure& failure) {
        const std::string message = core::text("cuda: without a graph: ", failure.what());
        model.log(SWINIR_LOG_WARNING, message.c_str());
      }
    }
    if (kept.graph) {
      kept.graph->launch(*stream);
    } else {
      enqueue(kept.plan, sizes);
    }
  }

  // Has the stream copy the input, launch everything, and copy the output.
  void enqueue(const core::Plan& plan, const Sizes& sizes) {
    const plugin::Places places = {input.at_least(0), output.at_least(0), arena.at_least(0)};
    driver.check(driver.cuMemcpyHtoDAsync_v2(places.input, pinned_input.at_least(0), sizes.input,
                                             stream->get()),
                 "Copying to the GPU");
    for (const core::PlannedLaunch& launch : plan.launches) {
      const plugin::Function& function = model.loaded->function(launch.step->kernel);
      const auto axis = [&](std::size_t i) { return static_cast<unsigned int>(launch.grid[i]); };
      driver.check(
          driver.cuLaunchKernel(function.function, axis(0), axis(1), axis(2), function.threads, 1,
                                1, function.shared_bytes, stream->get(),
                                arguments.of(launch, *model.loaded, places), nullptr),
          "Launching a kernel");
    }
    driver.check(driver.cuMemcpyDtoHAsync_v2(pinned_output.at_least(0), places.output, sizes.output,
                                             stream->get()),
                 "Copying from the GPU");
  }

  void drop_graphs() {
    for (Kept& kept : shapes) {
      kept.graph.reset();
      kept.runs = 0;
    }
  }

  void release() noexcept {
    shapes.clear();
    input.clear();
    output.clear();
    arena.clear();
    pinned_input.clear();
    pinned_output.clear();
  }

  const swinir_backend_model& model;
  const Driver& driver;
  DeviceMemory device_memory;
  PinnedMemory pinned_memory;
  GrowingBuffer<DeviceMemory> input, output, arena;
  GrowingBuffer<PinnedMemory> pinned_input, pinned_output;
  std::optional<Stream> stream;
  std::list<Kept> shapes;  // the last used first
  plugin::Arguments arguments;
};

extern "C" SWINIR_BACKEND_EXPORT const swinir_backend* swinir_backend_entry() {
  static constexpr swinir_backend kBackend = plugin::backend_table("cuda");
  return &kBackend;
}
