#include <windows.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "failure.hpp"
#include "system/native_path.hpp"
#include "system/shared_library.hpp"

namespace swinir::core {
namespace {

namespace fs = std::filesystem;

// Has a broken DLL end with an error code, not with a window that waits for somebody to close it.
class QuietLoader {
 public:
  QuietLoader() { SetThreadErrorMode(SEM_FAILCRITICALERRORS, &before_); }
  ~QuietLoader() { SetThreadErrorMode(before_, nullptr); }
  QuietLoader(const QuietLoader&) = delete;
  QuietLoader& operator=(const QuietLoader&) = delete;

 private:
  DWORD before_ = 0;
};

std::string message_of(DWORD code) {
  wchar_t words[512] = L"";
  FormatMessageW(
      FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK,
      nullptr, code, 0, words, static_cast<DWORD>(std::size(words)), nullptr);
  std::string message = fs::path(words).u8string();
  message.erase(message.find_last_not_of(" \r\n.") + 1);
  return text(message, " (error ", code, ")");
}

fs::path own_path() {
  HMODULE module = nullptr;
  const auto flags =
      GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  if (!GetModuleHandleExW(flags, reinterpret_cast<LPCWSTR>(&own_folder), &module)) return {};
  std::wstring path(MAX_PATH, L'\0');
  for (;; path.resize(2 * path.size())) {
    const DWORD size = GetModuleFileNameW(module, path.data(), static_cast<DWORD>(path.size()));
    if (size == 0) return {};
    if (size < path.size()) return path.substr(0, size);
  }
}

// Opens a file by its whole path; what it needs may lie beside it.
HMODULE load_file(const fs::path& path) {
  const fs::path whole = fs::absolute(path).make_preferred();
  return LoadLibraryExW(whole.c_str(), nullptr,
                        LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
}

// Looks through PATH, where CUDA and TensorRT put themselves. LoadLibraryExW would do so too, but
// only together with the current folder, in which anybody may have left a file.
HMODULE load_from_path(const fs::path& name) {
  const wchar_t* variable = _wgetenv(L"PATH");
  std::wstring left = variable != nullptr ? variable : L"";
  while (!left.empty()) {
    const std::size_t end = left.find(L';');
    const fs::path folder = left.substr(0, end);
    left = end == std::wstring::npos ? L"" : left.substr(end + 1);
    std::error_code ignored;
    if (!folder.is_absolute() || !fs::exists(folder / name, ignored)) continue;
    if (HMODULE module = load_file(folder / name)) return module;
  }
  return nullptr;
}

HMODULE load_by_name(const fs::path& name) {
  const fs::path beside = own_path().parent_path() / name;
  std::error_code ignored;
  if (fs::exists(beside, ignored)) return load_file(beside);
  if (HMODULE module = LoadLibraryExW(name.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS)) {
    return module;
  }
  const DWORD code = GetLastError();
  HMODULE module = load_from_path(name);
  if (module == nullptr) SetLastError(code);
  return module;
}

}  // namespace

SharedLibrary open_shared_library(const std::string& name) {
  const fs::path path = native_path(name);
  const QuietLoader quiet;
  SharedLibrary library;
  library.handle = path.has_parent_path() ? load_file(path) : load_by_name(path);
  if (library.handle == nullptr) library.error = text(name, ": ", message_of(GetLastError()));
  return library;
}

void* find_symbol(void* handle, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle), name));
}

std::string own_folder() { return own_path().parent_path().u8string(); }

}  // namespace swinir::core
