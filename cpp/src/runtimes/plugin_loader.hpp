// Finds a back end's plug-in and opens it.
#pragma once

#include <string>

#include "runtimes/backend.h"

namespace swinir::core {

// The table of libswinir_`name`.so: in `directory` if that is not empty, else beside this library,
// in "swinir" beside it, and where the loader looks. Stays loaded until the process ends.
//
// Throws Failure: SWINIR_INVALID_ARGUMENT (no possible name), SWINIR_BACKEND_MISSING,
// SWINIR_BACKEND_MISMATCH.
const swinir_backend& load_backend(const std::string& name, const std::string& directory);

}  // namespace swinir::core
