#include "system/file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "failure.hpp"
#include "system/native_path.hpp"

namespace swinir::core {

namespace fs = std::filesystem;

InputFile::InputFile(const std::string& path, const char* remedy) {
  const fs::path native = native_path(path);
  std::error_code error;
  const fs::file_status about = fs::status(native, error);
  // Asked before it is opened: a named pipe would wait for somebody who writes.
  if (fs::exists(about) && !fs::is_regular_file(about)) {
    fail(SWINIR_INVALID_MODEL, path, ": not a file. ", remedy);
  }
  errno = 0;
  file_.open(native, std::ios::binary);
  if (!file_) {
    fail(SWINIR_INVALID_MODEL, path, ": ", std::strerror(errno != 0 ? errno : EIO), ". ", remedy);
  }
  size_ = fs::file_size(native, error);
  if (error) fail(SWINIR_INVALID_MODEL, path, ": ", error.message(), ". ", remedy);
}

InputFile::InputFile(const void* data, std::size_t size)
    : data_(static_cast<const char*>(data)), size_(size) {}

std::optional<std::uint8_t> InputFile::read_byte() {
  if (at_end()) return std::nullopt;
  const int byte =
      data_ != nullptr ? static_cast<unsigned char>(data_[position_]) : file_.rdbuf()->sbumpc();
  if (byte < 0) return std::nullopt;  // the file has become shorter
  ++position_;
  return static_cast<std::uint8_t>(byte);
}

bool InputFile::read(std::uint64_t size, std::string& bytes) {
  if (size > left()) return false;
  bytes.resize(static_cast<std::size_t>(size));
  if (size == 0) return true;
  const std::uint64_t from = position_;
  position_ += size;
  if (data_ != nullptr) {
    std::memcpy(bytes.data(), data_ + from, bytes.size());
    return true;
  }
  return static_cast<bool>(file_.read(bytes.data(), static_cast<std::streamsize>(size)));
}

bool InputFile::skip(std::uint64_t size) {
  if (size > left()) return false;
  position_ += size;
  return data_ != nullptr || file_.seekg(static_cast<std::streamoff>(position_)).good();
}

}  // namespace swinir::core
