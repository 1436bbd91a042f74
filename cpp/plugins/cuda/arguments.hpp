// The arguments of a launch, as CUDA's driver takes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "artifacts/launch_program.hpp"
#include "loaded_engine.hpp"

namespace swinir::plugin {

// Where the data of a run lies on the GPU.
struct Places {
  CUdeviceptr input, output, arena;
};

class Arguments {
 public:
  // Returns a pointer to each argument, valid until the next call.
  void** of(const core::PlannedLaunch& launch, const LoadedEngine& engine, const Places& places) {
    // Two null pointers follow the kernel's own parameters.
    const std::size_t count = launch.values.size(), all = count + 2;
    cells_.assign(all, {});
    pointers_.resize(all);
    for (std::size_t i = 0; i < all; ++i) {
      if (i < count) cells_[i] = cell(launch.step->arguments[i], launch.values[i], engine, places);
      pointers_[i] = cells_[i].data();
    }
    return pointers_.data();
  }

 private:
  // An address takes all eight bytes, a number the first four.
  using Cell = std::array<unsigned char, 8>;

  template <typename Value>
  static Cell cell_with(Value value) {
    Cell cell = {};
    static_assert(sizeof value <= sizeof cell);
    std::memcpy(cell.data(), &value, sizeof value);
    return cell;
  }

  static Cell cell(const core::Argument& argument, std::int64_t value, const LoadedEngine& engine,
                   const Places& places) {
    using Kind = core::Argument::Kind;
    switch (argument.kind) {
      case Kind::weight:
        return cell_with(engine.weight(argument.weight));
      case Kind::arena:
        return cell_with<CUdeviceptr>(places.arena + static_cast<CUdeviceptr>(value) * 2);
      case Kind::input:
        return cell_with(places.input);
      case Kind::output:
        return cell_with(places.output);
      case Kind::i32:
        return cell_with(static_cast<std::int32_t>(value));
      case Kind::f32:
        return cell_with(argument.value);
    }
    return {};
  }

  std::vector<Cell> cells_;
  std::vector<void*> pointers_;
};

}  // namespace swinir::plugin
