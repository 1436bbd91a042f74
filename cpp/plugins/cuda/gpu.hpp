// A GPU, its context, and memory of both sides, on CUDA's driver.
#pragma once

#include <cstddef>
#include <string>

#include "driver.hpp"

namespace swinir::plugin {

// What is known of a GPU before anything is done with it.
struct Gpu {
  // Throws Failure(SWINIR_DEVICE_UNAVAILABLE) where there is no GPU of that number.
  Gpu(const Driver& driver, int index) {
    const auto check = [&driver](CUresult result) {
      driver.check(result, "Looking for a GPU", SWINIR_DEVICE_UNAVAILABLE);
    };
    int count = 0;
    check(driver.cuDeviceGetCount(&count));
    if (index < 0 || index >= count) {
      fail(SWINIR_DEVICE_UNAVAILABLE, "There is no GPU ", index, "; this machine has ", count, ".");
    }
    check(driver.cuDeviceGet(&device, index));
    char words[128] = "";
    check(driver.cuDeviceGetName(words, static_cast<int>(sizeof words) - 1, device));
    name = words;
    const auto attribute = [&](int number) {
      int value = 0;
      check(driver.cuDeviceGetAttribute(&value, number, device));
      return value;
    };
    major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    shared_bytes = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  }

  CUdevice device = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int shared_bytes = 0;      // the most that a thread block may have
};

// The context that a process has on a device, which it shares with CUDA's runtime.
class PrimaryContext {
 public:
  PrimaryContext(const Driver& driver, CUdevice device) : driver_(driver), device_(device) {
    driver.check(driver.cuDevicePrimaryCtxRetain(&context_, device), "Using the GPU",
                 SWINIR_DEVICE_UNAVAILABLE);
  }
  ~PrimaryContext() { driver_.cuDevicePrimaryCtxRelease_v2(device_); }
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;

  CUcontext get() const { return context_; }

 private:
  const Driver& driver_;
  CUdevice device_;
  CUcontext context_ = nullptr;
};

// Makes a context the thread's current one, as long as this lives. The thread belongs to the
// caller, who then finds the context it had before.
class CurrentContext {
 public:
  CurrentContext(const Driver& driver, const PrimaryContext& context) : driver_(driver) {
    driver.check(driver.cuCtxPushCurrent_v2(context.get()), "Using the GPU",
                 SWINIR_DEVICE_UNAVAILABLE);
  }
  ~CurrentContext() {
    CUcontext popped = nullptr;
    driver_.cuCtxPopCurrent_v2(&popped);
  }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

 private:
  const Driver& driver_;
};

// Runs `action` with the context current, and says nothing of failures: for destructors. A process
// that is ending may have no driver left.
template <typename Action>
void quietly(const Driver& driver, const PrimaryContext& context, Action action) noexcept {
  try {
    const CurrentContext current(driver, context);
    action();
  } catch (const Failure&) {
  }
}

// Work in order. One that does not wait for what others do on the GPU.
class Stream {
 public:
  explicit Stream(const Driver& driver) : driver_(driver) {
    driver.check(driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING),
                 "Making a stream on the GPU");
  }
  ~Stream() { driver_.cuStreamDestroy_v2(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  CUstream get() const { return stream_; }

 private:
  const Driver& driver_;
  CUstream stream_ = nullptr;
};

class DeviceMemory {
 public:
  explicit DeviceMemory(const Driver& driver) : driver_(driver) {}

  CUdeviceptr allocate(std::size_t bytes) const {
    CUdeviceptr memory = 0;
    driver_.check(driver_.cuMemAlloc_v2(&memory, bytes),
                  text("Taking ", bytes, " bytes of the GPU's memory").c_str());
    return memory;
  }
  void release(CUdeviceptr memory) const noexcept { driver_.cuMemFree_v2(memory); }

 private:
  const Driver& driver_;
};

// Memory of the host that the GPU reads and writes by itself.
class PinnedMemory {
 public:
  explicit PinnedMemory(const Driver& driver) : driver_(driver) {}

  void* allocate(std::size_t bytes) const {
    void* memory = nullptr;
    driver_.check(driver_.cuMemAllocHost_v2(&memory, bytes),
                  text("Taking ", bytes, " bytes of pinned memory").c_str());
    return memory;
  }
  void release(void* memory) const noexcept { driver_.cuMemFreeHost(memory); }

 private:
  const Driver& driver_;
};

}  // namespace swinir::plugin
