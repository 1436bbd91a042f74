// An engine on a GPU: its weights and functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "artifacts/cuda_engine.hpp"
#include "cuda_device.hpp"
#include "gpu.hpp"

namespace swinir::plugin {

// A kernel that can be launched.
struct Function {
  CUfunction function = nullptr;
  unsigned int threads = 0;       // of a block
  unsigned int shared_bytes = 0;  // likewise
};

// Made, and destroyed, while the context is current.
class LoadedEngine {
 public:
  // Copies what is needed of the engine's bytes. `name` is the file's. Throws Failure.
  LoadedEngine(const Driver& driver, const Gpu& gpu, const core::CudaEngine& engine,
               const core::CudaArchitecture& code, const std::string& name)
      : driver_(driver), memory_(driver), weights_(memory_), program_(code.program) {
    for (const core::CudaKernel& kernel : code.kernels) check_shared_memory(gpu, kernel, name);
    for (const core::CudaKernel& kernel : code.kernels) load(kernel, name);
    const std::string_view bytes = engine.weights;
    const CUdeviceptr base = weights_.at_least(std::max<std::size_t>(1, bytes.size()));
    const Stream stream(driver);
    const auto copied = [&driver](CUresult result) {
      driver.check(result, "Copying the weights to the GPU");
    };
    if (!bytes.empty()) {
      copied(driver.cuMemcpyHtoDAsync_v2(base, bytes.data(), bytes.size(), stream.get()));
      copied(driver.cuStreamSynchronize(stream.get()));
    }
    for (const core::CudaTensor& tensor : engine.tensors)
      addresses_.push_back(base + tensor.offset);
  }
  LoadedEngine(const LoadedEngine&) = delete;
  LoadedEngine& operator=(const LoadedEngine&) = delete;

  const core::Program& program() const { return program_; }
  const Function& function(std::size_t kernel) const { return functions_[kernel]; }
  CUdeviceptr weight(std::size_t tensor) const { return addresses_[tensor]; }

 private:
  static void check_shared_memory(const Gpu& gpu, const core::CudaKernel& kernel,
                                  const std::string& name) {
    if (kernel.shared_bytes <= gpu.shared_bytes) return;
    fail(SWINIR_DEVICE_UNAVAILABLE, name, ": the kernel ", kernel.name, " needs ",
         kernel.shared_bytes, " bytes of shared memory; ", gpu.name, " has ", gpu.shared_bytes,
         ". Build the engine for sm", gpu.major, gpu.minor, " with 'swinir-deploy build'.");
  }

  void load(const core::CudaKernel& kernel, const std::string& name) {
    const auto check = [&](CUresult result) {
      if (result == CUDA_SUCCESS) return;
      const std::string what = core::text(name, ": loading the kernel ", kernel.name);
      driver_.check(result, what.c_str(), SWINIR_BACKEND_MISMATCH);
    };
    const std::string image(kernel.cubin);  // aligned, as an ELF file's numbers are
    CUmodule module = nullptr;
    check(driver_.cuModuleLoadData(&module, image.data()));
    modules_.emplace_back(module, Unload{&driver_});
    Function loaded;
    loaded.threads = static_cast<unsigned int>(32 * kernel.warps);
    loaded.shared_bytes = static_cast<unsigned int>(kernel.shared_bytes);
    check(driver_.cuModuleGetFunction(&loaded.function, module, kernel.entry.c_str()));
    if (kernel.shared_bytes > kFreeSharedBytes) {
      check(driver_.cuFuncSetAttribute(
          loaded.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel.shared_bytes));
      // As Triton's own launcher does, with which the kernels' settings were measured.
      check(driver_.cuFuncSetCacheConfig(loaded.function, CU_FUNC_CACHE_PREFER_SHARED));
    }
    functions_.push_back(loaded);
  }

  // What a block may have without being asked about it.
  static constexpr std::int32_t kFreeSharedBytes = 48 << 10;

  struct Unload {
    const Driver* driver;
    void operator()(CUmodule module) const { driver->cuModuleUnload(module); }
  };
  using Module = std::unique_ptr<std::remove_pointer_t<CUmodule>, Unload>;

  const Driver& driver_;
  DeviceMemory memory_;
  GrowingBuffer<DeviceMemory> weights_;
  std::vector<Module> modules_;
  std::vector<Function> functions_;
  std::vector<CUdeviceptr> addresses_;  // of the tensors
  core::Program program_;
};

}  // namespace swinir::plugin
