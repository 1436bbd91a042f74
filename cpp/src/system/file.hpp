// A file, or bytes in memory, read from front to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace swinir::core {

class InputFile {
 public:
  // `path` is UTF-8. Throws Failure(SWINIR_INVALID_MODEL), with `remedy`, where there is no such
  // file, or it cannot be read.
  InputFile(const std::string& path, const char* remedy);

  // The bytes must live as long as this.
  InputFile(const void* data, std::size_t size);

  std::uint64_t left() const { return size_ - position_; }
  bool at_end() const { return left() == 0; }

  // Each returns false, or nothing, where the file ends before.
  std::optional<std::uint8_t> read_byte();
  bool read(std::uint64_t size, std::string& bytes);
  bool skip(std::uint64_t size);

 private:
  const char* data_ = nullptr;  // null: the file
  std::ifstream file_;
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace swinir::core
