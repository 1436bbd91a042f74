#include "runtimes/plugin_loader.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "failure.hpp"

namespace swinir::core {
namespace {

// Of the file that this code is in: libswinir.so, or the program where the library is static.
std::string own_directory() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&own_directory), &info) == 0 ||
      info.dli_fname == nullptr) {
    return "";
  }
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

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

// Files that stay mapped: a library that a plug-in has loaded may hold pointers into it.
void* open_shared_object(const std::string& path) {
  return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

void* open_plugin(const std::string& file, const std::string& directory) {
  std::vector<std::string> directories{directory};
  if (directory.empty()) {
    const std::string own = own_directory();
    directories = {own, own + "/swinir"};
  }
  std::string searched;
  for (const std::string& candidate : directories) {
    const std::string path = candidate + "/" + file;
    if (access(path.c_str(), F_OK) == 0) {
      if (void* handle = open_shared_object(path)) return handle;
      fail(SWINIR_BACKEND_MISSING, path, ": cannot be loaded: ", dlerror(), ".");
    }
    searched += (searched.empty() ? "" : " nor in ") + candidate;
  }
  if (directory.empty()) {
    if (void* handle = open_shared_object(file)) return handle;
    searched += " nor on the loader's path";
  }
  fail(SWINIR_BACKEND_MISSING, file, ": no such plug-in in ", searched,
       ". Ship it beside libswinir, or name its folder in plugin_dir.");
}

}  // namespace

const swinir_backend& load_backend(const std::string& name, const std::string& directory) {
  check_name(name);
  const std::string file = "libswinir_" + name + ".so";
  void* handle = open_plugin(file, directory);
  const auto entry =
      reinterpret_cast<swinir_backend_entry_function>(dlsym(handle, SWINIR_BACKEND_ENTRY));
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
