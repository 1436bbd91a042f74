// The few functions of the CUDA runtime that are used here, found at run time.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <initializer_list>
#include <string>

#include "cuda_device.hpp"
#include "plugin.hpp"

namespace swinir::plugin {

class Cuda {
 public:
  // Throws Failure: SWINIR_BACKEND_MISSING, SWINIR_DEVICE_UNAVAILABLE.
  Cuda()
      : library_(nullptr, kLibraries, "Install the CUDA runtime, and have the loader find it.") {}

  // Throws what an error code says; `what` was tried.
  void check(cudaError_t error, const char* what,
             swinir_status status = SWINIR_INFERENCE_FAILED) const {
    if (error == cudaSuccess) return;
    if (error == cudaErrorMemoryAllocation) status = SWINIR_OUT_OF_MEMORY;
    fail(status, what, " failed: ", error_string_(error), ".");
  }

  // Without a driver TensorRT may give garbage instead of an error, so this comes first.
  void require_device(int index) const {
    int count = 0;
    check(count_(&count), "Looking for a GPU", SWINIR_DEVICE_UNAVAILABLE);
    if (index < 0 || index >= count) {
      fail(SWINIR_DEVICE_UNAVAILABLE, "There is no GPU ", index, "; this machine has ", count, ".");
    }
  }

  int device() const {
    int index = 0;
    check(get_device_(&index), "cudaGetDevice", SWINIR_DEVICE_UNAVAILABLE);
    return index;
  }
  void use(int index) const {
    check(set_device_(index), "cudaSetDevice", SWINIR_DEVICE_UNAVAILABLE);
  }

  cudaStream_t create_stream() const {
    cudaStream_t stream = nullptr;
    check(stream_create_(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    return stream;
  }
  void destroy_stream(cudaStream_t stream) const noexcept { stream_destroy_(stream); }
  void synchronize(cudaStream_t stream) const {
    check(stream_synchronize_(stream), "cudaStreamSynchronize");
  }
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
            cudaStream_t stream) const {
    check(memcpy_(to, from, bytes, kind, stream), "cudaMemcpyAsync");
  }
  void* allocate(std::size_t bytes) const {
    void* memory = nullptr;
    check(malloc_(&memory, bytes), "cudaMalloc");
    return memory;
  }
  void release(void* memory) const noexcept { free_(memory); }

 private:
#ifdef _WIN32
  static constexpr std::initializer_list<const char*> kLibraries = {"cudart64_13.dll",
                                                                    "cudart64_12.dll"};
#else
  static constexpr std::initializer_list<const char*> kLibraries = {
      "libcudart.so.13", "libcudart.so.12", "libcudart.so"};
#endif

  // The function that the header declares under this name.
#define SWINIR_CUDA_FUNCTION(member, name, ...) \
  cudaError_t (*member)(__VA_ARGS__) = library_.function<cudaError_t(__VA_ARGS__)>(name)

  Library library_;
  const char* (*error_string_)(cudaError_t) =
      library_.function<const char*(cudaError_t)>("cudaGetErrorString");
  SWINIR_CUDA_FUNCTION(count_, "cudaGetDeviceCount", int*);
  SWINIR_CUDA_FUNCTION(get_device_, "cudaGetDevice", int*);
  SWINIR_CUDA_FUNCTION(set_device_, "cudaSetDevice", int);
  SWINIR_CUDA_FUNCTION(stream_create_, "cudaStreamCreateWithFlags", cudaStream_t*, unsigned int);
  SWINIR_CUDA_FUNCTION(stream_destroy_, "cudaStreamDestroy", cudaStream_t);
  SWINIR_CUDA_FUNCTION(stream_synchronize_, "cudaStreamSynchronize", cudaStream_t);
  SWINIR_CUDA_FUNCTION(memcpy_, "cudaMemcpyAsync", void*, const void*, std::size_t, cudaMemcpyKind,
                       cudaStream_t);
  SWINIR_CUDA_FUNCTION(malloc_, "cudaMalloc", void**, std::size_t);
  SWINIR_CUDA_FUNCTION(free_, "cudaFree", void*);

#undef SWINIR_CUDA_FUNCTION
};

// Makes a device the thread's current one, as long as this lives. The thread belongs to the caller,
// who then finds the device it had before.
class CurrentDevice {
 public:
  CurrentDevice(const Cuda& cuda, int index) : cuda_(cuda), before_(cuda.device()) {
    cuda_.use(index);
  }
  ~CurrentDevice() {
    try {
      cuda_.use(before_);
    } catch (const Failure&) {  // cannot happen: it was in use before
    }
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  const Cuda& cuda_;
  int before_;
};

using DeviceBuffer = GrowingBuffer<Cuda>;

}  // namespace swinir::plugin
