#include <dlfcn.h>

#include "system/shared_library.hpp"

namespace swinir::core {

SharedLibrary open_shared_library(const std::string& name) {
  SharedLibrary library;
  library.handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library.handle == nullptr) library.error = dlerror();
  return library;
}

void* find_symbol(void* handle, const char* name) { return dlsym(handle, name); }

std::string own_folder() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) {
    return "";
  }
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace swinir::core
