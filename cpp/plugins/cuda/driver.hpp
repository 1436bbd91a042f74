// The few functions of CUDA's driver that are used here, found at run time. Their types are
// declared as cuda.h has them, so that no CUDA toolkit is needed to build.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "plugin.hpp"

namespace swinir::plugin {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUgraph = struct CUgraph_st*;
using CUgraphExec = struct CUgraphExec_st*;

constexpr CUresult CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2;
constexpr int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
              CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
              CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
              CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8, CU_FUNC_CACHE_PREFER_SHARED = 1,
              CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1;
constexpr unsigned int CU_STREAM_NON_BLOCKING = 1;

class Driver {
 public:
  // Opens the library at `path`, or the one that the loader finds. Throws Failure:
  // SWINIR_BACKEND_MISSING, SWINIR_BACKEND_MISMATCH, SWINIR_DEVICE_UNAVAILABLE.
  explicit Driver(const char* path)
      : library_(path, kLibraries,
                 "Install NVIDIA's driver, which this library is a part of, or name the library in "
                 "the option 'library'.") {
    check(cuInit(0), "Looking for a GPU", SWINIR_DEVICE_UNAVAILABLE);
  }

  // Throws what an error code says; `what` was tried.
  void check(CUresult result, const char* what,
             swinir_status status = SWINIR_INFERENCE_FAILED) const {
    if (result == CUDA_SUCCESS) return;
    if (result == CUDA_ERROR_OUT_OF_MEMORY) status = SWINIR_OUT_OF_MEMORY;
    const char *words = nullptr, *name = nullptr;
    cuGetErrorString(result, &words);
    cuGetErrorName(result, &name);
    fail(status, what, " failed: ", words != nullptr ? words : "an unknown error", " (",
         name != nullptr ? name : text("error ", result), ").");
  }

 private:
#ifdef _WIN32
  static constexpr std::initializer_list<const char*> kLibraries = {"nvcuda.dll"};
#else
  static constexpr std::initializer_list<const char*> kLibraries = {"libcuda.so.1"};
#endif

  Library library_;

 public:
  // A function of the driver, under its name.
#define SWINIR_DRIVER_FUNCTION(name, ...) \
  CUresult (*name)(__VA_ARGS__) = library_.function<CUresult(__VA_ARGS__)>(#name)

  SWINIR_DRIVER_FUNCTION(cuGetErrorString, CUresult, const char**);
  SWINIR_DRIVER_FUNCTION(cuGetErrorName, CUresult, const char**);
  SWINIR_DRIVER_FUNCTION(cuInit, unsigned int);
  SWINIR_DRIVER_FUNCTION(cuDriverGetVersion, int*);

  SWINIR_DRIVER_FUNCTION(cuDeviceGetCount, int*);
  SWINIR_DRIVER_FUNCTION(cuDeviceGet, CUdevice*, int);
  SWINIR_DRIVER_FUNCTION(cuDeviceGetName, char*, int, CUdevice);
  SWINIR_DRIVER_FUNCTION(cuDeviceGetAttribute, int*, int, CUdevice);
  SWINIR_DRIVER_FUNCTION(cuDevicePrimaryCtxRetain, CUcontext*, CUdevice);
  SWINIR_DRIVER_FUNCTION(cuDevicePrimaryCtxRelease_v2, CUdevice);
  SWINIR_DRIVER_FUNCTION(cuCtxPushCurrent_v2, CUcontext);
  SWINIR_DRIVER_FUNCTION(cuCtxPopCurrent_v2, CUcontext*);

  SWINIR_DRIVER_FUNCTION(cuModuleLoadData, CUmodule*, const void*);
  SWINIR_DRIVER_FUNCTION(cuModuleUnload, CUmodule);
  SWINIR_DRIVER_FUNCTION(cuModuleGetFunction, CUfunction*, CUmodule, const char*);
  SWINIR_DRIVER_FUNCTION(cuFuncSetAttribute, CUfunction, int, int);
  SWINIR_DRIVER_FUNCTION(cuFuncSetCacheConfig, CUfunction, int);
  SWINIR_DRIVER_FUNCTION(cuLaunchKernel, CUfunction, unsigned int, unsigned int, unsigned int,
                         unsigned int, unsigned int, unsigned int, unsigned int, CUstream, void**,
                         void**);

  SWINIR_DRIVER_FUNCTION(cuMemAlloc_v2, CUdeviceptr*, std::size_t);
  SWINIR_DRIVER_FUNCTION(cuMemFree_v2, CUdeviceptr);
  SWINIR_DRIVER_FUNCTION(cuMemAllocHost_v2, void**, std::size_t);
  SWINIR_DRIVER_FUNCTION(cuMemFreeHost, void*);
  SWINIR_DRIVER_FUNCTION(cuMemcpyHtoDAsync_v2, CUdeviceptr, const void*, std::size_t, CUstream);
  SWINIR_DRIVER_FUNCTION(cuMemcpyDtoHAsync_v2, void*, CUdeviceptr, std::size_t, CUstream);

  SWINIR_DRIVER_FUNCTION(cuStreamCreate, CUstream*, unsigned int);
  SWINIR_DRIVER_FUNCTION(cuStreamDestroy_v2, CUstream);
  SWINIR_DRIVER_FUNCTION(cuStreamSynchronize, CUstream);
  SWINIR_DRIVER_FUNCTION(cuStreamBeginCapture_v2, CUstream, int);
  SWINIR_DRIVER_FUNCTION(cuStreamEndCapture, CUstream, CUgraph*);
  SWINIR_DRIVER_FUNCTION(cuGraphInstantiateWithFlags, CUgraphExec*, CUgraph, unsigned long long);
  SWINIR_DRIVER_FUNCTION(cuGraphLaunch, CUgraphExec, CUstream);
  SWINIR_DRIVER_FUNCTION(cuGraphExecDestroy, CUgraphExec);
  SWINIR_DRIVER_FUNCTION(cuGraphDestroy, CUgraph);

#undef SWINIR_DRIVER_FUNCTION
};

}  // namespace swinir::plugin
