// What an engine for CUDA launches for every shape; as swinir_deploy/artifacts/launch_program.py.
// docs/cuda_engine.md describes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace swinir::core {

enum class Operator {
  add,
  subtract,
  multiply,
  divide_down,
  divide_up,
  smaller,
  larger,
  at_most,
  select
};

// A part of an expression. Names have become numbers of slots, in which their values lie.
struct Token {
  enum class Kind { literal, name, operation };

  Kind kind;
  std::int64_t value;  // the literal, the slot, or the Operator
};

// In reverse Polish notation, well formed.
using Expression = std::vector<Token>;

struct Definition {
  std::size_t slot;
  Expression number;
};

struct Argument {
  enum class Kind { weight, arena, input, output, i32, f32 };

  Kind kind = Kind::input;
  Expression number;       // of arena: the element; of i32
  std::size_t weight = 0;  // number of the tensor
  float value = 0;         // of f32
};

struct LaunchStep {
  std::size_t kernel = 0;
  std::vector<Expression> grid;  // one to three axes
  std::vector<Argument> arguments;
};

// One launch, or launches that are repeated.
struct Step {
  bool is_repeated = false;
  Expression count;
  std::size_t index = 0;  // slot of the number of the turn
  std::vector<Definition> definitions;
  std::vector<LaunchStep> launches;
};

// The first slots are the inputs: pictures, and height and width of a picture.
constexpr std::size_t kProgramInputs = 3;

struct Program {
  std::size_t slots = kProgramInputs;
  std::vector<Definition> definitions;
  std::vector<Step> steps;
  Expression arena_elements;
  std::array<Expression, 4> output_shape;
};

// Bound of every value; nothing that a GPU can hold comes near it.
constexpr std::int64_t kLargestValue = std::int64_t{1} << 62;

// A plan with more is refused: no picture needs them, and a damaged file may ask for any number.
constexpr std::int64_t kMostLaunches = 1000000;

struct PlannedLaunch {
  const LaunchStep* step;            // of the program, which has to outlive the plan
  std::array<std::int64_t, 3> grid;  // axes that the step does not have are 1
  std::vector<std::int64_t> values;  // of the arguments: of arena and i32; of others 0
};

// All launches for one shape, in order.
struct Plan {
  std::vector<PlannedLaunch> launches;
  std::int64_t arena_elements = 0;  // of two bytes each
  std::array<std::int64_t, 4> output_shape{};
};

// Evaluates a program for `batch` pictures of `height` x `width` pixels.
//
// Throws Failure: SWINIR_OUT_OF_MEMORY where the shape needs more launches, larger grids or larger
// numbers than there are, which a smaller tile does not; SWINIR_INVALID_MODEL where the program
// divides by zero, or reaches for what lies outside of its arena.
Plan plan_launches(const Program& program, std::int64_t batch, std::int64_t height,
                   std::int64_t width);

}  // namespace swinir::core
