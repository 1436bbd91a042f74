// What the plug-ins for NVIDIA's GPUs share: the name of a device, and memory that grows.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>

#include "plugin.hpp"

namespace swinir::plugin {

// Returns the number of a device: "cuda" -> 0, "cuda:1" -> 1. `plugin` is for the message.
inline int cuda_device_index(const std::string& device, const char* plugin) {
  if (device == "cuda") return 0;
  int index = -1;
  const char* end = device.data() + device.size();
  if (device.rfind("cuda:", 0) == 0) {
    const auto result = std::from_chars(device.data() + 5, end, index);
    if (result.ec == std::errc() && result.ptr == end && index >= 0) return index;
  }
  fail(SWINIR_INVALID_ARGUMENT, "device '", device, "' for ", plugin,
       "; it must be cuda or cuda:N.");
}

// Memory that grows when more is asked for; its content is then lost. Of `Allocator` are used
//
//   Address allocate(std::size_t bytes) const          throws Failure
//   void release(Address) const noexcept
template <typename Allocator>
class GrowingBuffer {
 public:
  using Address = decltype(std::declval<const Allocator&>().allocate(0));

  explicit GrowingBuffer(const Allocator& allocator) : allocator_(allocator) {}
  ~GrowingBuffer() { clear(); }
  GrowingBuffer(const GrowingBuffer&) = delete;
  GrowingBuffer& operator=(const GrowingBuffer&) = delete;

  Address at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      clear();
      address_ = allocator_.allocate(bytes);
      bytes_ = bytes;
    }
    return address_;
  }

  void clear() noexcept {
    if (bytes_ > 0) allocator_.release(address_);
    address_ = {};
    bytes_ = 0;
  }

  std::size_t bytes() const { return bytes_; }

 private:
  const Allocator& allocator_;
  Address address_ = {};
  std::size_t bytes_ = 0;
};

}  // namespace swinir::plugin
