// The environment variables of the process.
#pragma once

#include <cstdlib>

namespace swinir::core {

// Sets a variable unless it is set. Like every change of the environment, it must not run beside
// another thread's getenv(); a program that cannot rule that out sets the variable itself, first.
inline void set_if_unset(const char* name, const char* value) {
#ifdef _WIN32
  if (std::getenv(name) == nullptr) _putenv_s(name, value);
#else
  setenv(name, value, 0);
#endif
}

}  // namespace swinir::core
