// Finds a back end's plug-in and opens it.
#pragma once

#include <string>

#include "runtimes/backend.h"

namespace swinir::core {

// Returns the table of the plug-in libswinir_`name`.so (swinir_`name`.dll on Windows): in `folder`
// if that is not empty, else beside this library, in "swinir" beside it, and where the loader
// looks. The plug-in stays loaded until the process ends.
//
// Throws Failure: SWINIR_INVALID_ARGUMENT (no possible name), SWINIR_BACKEND_MISSING,
// SWINIR_BACKEND_MISMATCH.
const swinir_backend& load_backend(const std::string& name, const std::string& folder);

}  // namespace swinir::core
