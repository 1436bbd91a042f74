// Shared objects, which Windows calls DLLs: opened, searched and never closed. Compiled into the
// core and into every plug-in, because "the own folder" is that of the file which holds this code.
#pragma once

#include <string>

namespace swinir::core {

struct SharedLibrary {
  void* handle = nullptr;  // null: it could not be opened
  std::string error;       // why not, in the system's words
};

// Opens `name`, a path or a plain file name. A plain name is searched for as the system's loader
// does, which includes the own folder where this code is in a plug-in. The file stays mapped until
// the process ends: its threads and thread-local data may outlive what opened it.
SharedLibrary open_shared_library(const std::string& name);

// Returns the address of a symbol, or null where the library has none of that name.
void* find_symbol(void* handle, const char* name);

// Returns the folder of the file that holds this code, in UTF-8; "" where it is not known.
std::string own_folder();

}  // namespace swinir::core
