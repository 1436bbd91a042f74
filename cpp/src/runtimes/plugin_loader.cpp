#include "runtimes/plugin_loader.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "failure.hpp"
#include "system/native_path.hpp"
#include "system/shared_library.hpp"

namespace swinir::core {
namespace {

namespace fs = std::filesystem;

#ifdef _WIN32
constexpr const char *kPrefix = "swinir_", *kSuffix = ".dll";
#else
constexpr const char *kPrefix = "libswinir_", *kSuffix = ".so";
#endif

void check_name(const std::string& name) {
  const bool plain =
      !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
      });
  if (!plain) {
    fail(SWINIR_INVALID_ARGUMENT, "backend '", name,
         "': a name has small letters, digits and underscores, such as 'ort'.");
  }
}

void* open_plugin(const std::string& file, const std::string& folder) {
  std::vector<fs::path> folders{native_path(folder)};
  if (folder.empty()) {
    const fs::path own = native_path(own_folder());
    folders = {own, own / "swinir"};
  }
  std::string searched;
  for (const fs::path& candidate : folders) {
    const fs::path path = candidate / file;
    std::error_code ignored;
    if (fs::exists(path, ignored)) {
      const SharedLibrary plugin = open_shared_library(path.u8string());
      if (plugin.handle != nullptr) return plugin.handle;
      fail(SWINIR_BACKEND_MISSING, path.u8string(), ": cannot be loaded: ", plugin.error, ".");
    }
    searched += (searched.empty() ? "" : " nor in ") + candidate.u8string();
  }
  if (folder.empty()) {
    if (void* handle = open_shared_library(file).handle) return handle;
    searched += " nor on the loader's path";
  }
  fail(SWINIR_BACKEND_MISSING, file, ": no such plug-in in ", searched,
       ". Ship it beside libswinir, or name its folder in plugin_dir.");
}

// The names of swinir-deploy's back ends and those that people give them, as
// system/library_names.py has them; the plug-in of TensorRT for RTX has a longer one.
std::string plugin_name(const std::string& name) {
  if (name == "trt") return "tensorrt";
  if (name == "rtx" || name == "trt-rtx" || name == "tensorrt-rtx") return "tensorrt_rtx";
  return name == "onnxruntime" ? "ort" : name;
}

}  // namespace

const swinir_backend& load_backend(const std::string& asked, const std::string& folder) {
  const std::string name = plugin_name(asked);
  check_name(name);
  const std::string file = kPrefix + name + kSuffix;
  const auto entry = reinterpret_cast<swinir_backend_entry_function>(
      find_symbol(open_plugin(file, folder), SWINIR_BACKEND_ENTRY));
  if (entry == nullptr) {
    fail(SWINIR_BACKEND_MISMATCH, file, ": has no ", SWINIR_BACKEND_ENTRY,
         "; it is no plug-in of libswinir.");
  }
  const swinir_backend* backend = entry();
  if (backend == nullptr || backend->abi != SWINIR_BACKEND_ABI) {
    fail(SWINIR_BACKEND_MISMATCH, file, ": plug-in interface ",
         backend == nullptr ? 0 : backend->abi, "; this libswinir speaks ", SWINIR_BACKEND_ABI,
         ". Use the plug-in that came with this library.");
  }
  return *backend;
}

}  // namespace swinir::core
