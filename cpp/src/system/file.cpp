#include "system/file.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "failure.hpp"

namespace swinir::core {

InputFile::InputFile(const std::string& path, const char* remedy)
    : file_(std::fopen(path.c_str(), "rb")) {
  struct stat about = {};
  if (file_ == nullptr || fstat(fileno(file_.get()), &about) != 0) {
    fail(SWINIR_INVALID_MODEL, path, ": ", std::strerror(errno), ". ", remedy);
  }
  if (!S_ISREG(about.st_mode)) {
    fail(SWINIR_INVALID_MODEL, path, ": not a file. ", remedy);
  }
  size_ = static_cast<std::uint64_t>(about.st_size);
}

InputFile::InputFile(const void* data, std::size_t size) : size_(size) {
  if (size == 0) return;  // nothing is read, and not every C library opens so little
  file_.reset(fmemopen(const_cast<void*>(data), size, "r"));
  if (file_ == nullptr) throw std::bad_alloc();
}

std::optional<std::uint8_t> InputFile::read_byte() {
  const int byte = at_end() ? EOF : std::getc(file_.get());
  if (byte == EOF) return std::nullopt;
  ++position_;
  return static_cast<std::uint8_t>(byte);
}

bool InputFile::read(std::uint64_t size, std::string& bytes) {
  if (size > left()) return false;
  bytes.resize(size);
  if (size == 0) return true;
  position_ += size;
  return std::fread(bytes.data(), 1, size, file_.get()) == size;
}

bool InputFile::skip(std::uint64_t size) {
  if (size > left()) return false;
  if (size == 0) return true;
  position_ += size;
  return fseeko(file_.get(), static_cast<off_t>(position_), SEEK_SET) == 0;
}

}  // namespace swinir::core
