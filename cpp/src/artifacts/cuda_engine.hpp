// The file of an engine for CUDA; as swinir_deploy/artifacts/cuda_engine.py. docs/cuda_engine.md
// describes it. Only plug-ins read it: it is no part of libswinir itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/launch_program.hpp"

namespace swinir::core {

struct CudaParameter {
  enum class Kind { pointer, i32, f32 };

  std::string name;  // in messages
  Kind kind;
};

struct CudaKernel {
  std::string name;
  std::string entry;                      // the function in the machine code
  std::vector<CudaParameter> parameters;  // two null pointers follow them
  std::int32_t warps = 0;                 // of 32 threads each
  std::int32_t shared_bytes = 0;          // dynamic shared memory of a program
  std::string_view cubin;                 // of the file's bytes: an ELF file
};

struct CudaArchitecture {
  std::vector<CudaKernel> kernels;
  Program program;
};

struct CudaTensor {
  std::string name;
  std::uint64_t offset = 0;  // in the weights, bytes
};

struct CudaEngine {
  std::int32_t io = 0;  // a SWINIR_IO constant
  std::vector<CudaTensor> tensors;
  std::string_view weights;                       // of the file's bytes
  std::map<int, CudaArchitecture> architectures;  // 80 is sm80
};

// Reads an engine from the bytes of its file, which have to outlive it, and checks all of it:
// sizes, hashes, types, and every expression. `name` is what messages call it.
//
// Throws Failure(SWINIR_INVALID_MODEL): it is no such engine, is damaged, or is of a newer version.
CudaEngine read_cuda_engine(std::string_view content, const std::string& name);

// Returns the architecture whose machine code runs on a GPU of compute capability major.minor; 0:
// none. Code for sm80 runs on every 8.x from 8.0 on; code for another major version never does.
int architecture_for(const CudaEngine& engine, int major, int minor);

}  // namespace swinir::core
