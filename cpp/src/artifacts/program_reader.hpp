// Reads the program of an architecture from the manifest of an engine for CUDA.
#pragma once

#include <cstddef>
#include <vector>

#include "artifacts/cuda_engine.hpp"
#include "artifacts/launch_program.hpp"
#include "system/json.hpp"

namespace swinir::core {

// `tensors` is how many weights there are. Throws Damaged.
Program read_program(const JsonValue& value, const std::vector<CudaKernel>& kernels,
                     std::size_t tensors);

}  // namespace swinir::core
