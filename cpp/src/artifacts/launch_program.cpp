#include "artifacts/launch_program.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "failure.hpp"

namespace swinir::core {
namespace {

constexpr std::int64_t kLargestGrid[] = {std::numeric_limits<std::int32_t>::max(), 65535, 65535};

// Elements of the arena in 16 bytes, of which every address is a multiple.
constexpr std::int64_t kAlignedElements = 8;

// A number that is larger than what it is for.
class TooLarge {};

// What no shape is to blame for.
class Malformed : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::int64_t checked(std::int64_t value) {
  if (value < -kLargestValue || value > kLargestValue) throw TooLarge();
  return value;
}

// Operands are within the bound, so a difference from the bound does not overflow.
std::int64_t sum(std::int64_t a, std::int64_t b) {
  if (b > 0 ? a > kLargestValue - b : a < -kLargestValue - b) throw TooLarge();
  return a + b;
}

std::int64_t product(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  const std::int64_t most = kLargestValue / (b < 0 ? -b : b);
  if (a > most || a < -most) throw TooLarge();
  return a * b;
}

std::int64_t quotient(std::int64_t a, std::int64_t b, bool up) {
  if (b <= 0) throw Malformed(text("it divides by ", b));
  const std::int64_t toward_zero = a / b, rest = a % b;
  return up ? toward_zero + (rest > 0 ? 1 : 0) : toward_zero - (rest < 0 ? 1 : 0);
}

// The names of one shape and their values.
class Evaluator {
 public:
  explicit Evaluator(std::size_t slots) : values_(slots) {}

  void set(std::size_t slot, std::int64_t value) { values_[slot] = value; }

  void define(const std::vector<Definition>& definitions) {
    for (const Definition& definition : definitions) set(definition.slot, value(definition.number));
  }

  std::int64_t value(const Expression& expression) {
    stack_.clear();
    for (const Token& token : expression) {
      switch (token.kind) {
        case Token::Kind::literal:
          stack_.push_back(checked(token.value));
          break;
        case Token::Kind::name:
          stack_.push_back(values_[static_cast<std::size_t>(token.value)]);
          break;
        case Token::Kind::operation:
          apply(static_cast<Operator>(token.value));
          break;
      }
    }
    return stack_.back();
  }

 private:
  std::int64_t pop() {
    const std::int64_t top = stack_.back();
    stack_.pop_back();
    return top;
  }

  void apply(Operator operation) {
    const std::int64_t b = pop(), a = pop();
    stack_.push_back(operation == Operator::select ? (pop() != 0 ? a : b)
                                                   : result(operation, a, b));
  }

  static std::int64_t result(Operator operation, std::int64_t a, std::int64_t b) {
    switch (operation) {
      case Operator::add:
        return sum(a, b);
      case Operator::subtract:
        return sum(a, -b);
      case Operator::multiply:
        return product(a, b);
      case Operator::divide_down:
        return quotient(a, b, false);
      case Operator::divide_up:
        return quotient(a, b, true);
      case Operator::smaller:
        return std::min(a, b);
      case Operator::larger:
        return std::max(a, b);
      default:
        return a <= b ? 1 : 0;
    }
  }

  std::vector<std::int64_t> values_;
  std::vector<std::int64_t> stack_;
};

class Planner {
 public:
  Planner(const Program& program, std::int64_t batch, std::int64_t height, std::int64_t width)
      : program_(program), names_(program.slots) {
    names_.set(0, batch);
    names_.set(1, height);
    names_.set(2, width);
  }

  Plan run() {
    names_.define(program_.definitions);
    plan_.arena_elements = names_.value(program_.arena_elements);
    if (plan_.arena_elements < 0) throw Malformed("its arena has less than no elements");
    for (std::size_t axis = 0; axis < 4; ++axis) {
      plan_.output_shape[axis] = names_.value(program_.output_shape[axis]);
    }
    for (const Step& step : program_.steps) {
      if (step.is_repeated) {
        repeat(step);
      } else {
        launch(step.launches.front());
      }
    }
    return std::move(plan_);
  }

 private:
  void repeat(const Step& step) {
    const std::int64_t count = names_.value(step.count);
    if (count > kMostLaunches) throw TooLarge();
    for (std::int64_t turn = 0; turn < count; ++turn) {
      names_.set(step.index, turn);
      names_.define(step.definitions);
      for (const LaunchStep& inside : step.launches) launch(inside);
    }
  }

  void launch(const LaunchStep& step) {
    if (plan_.launches.size() == static_cast<std::size_t>(kMostLaunches)) throw TooLarge();
    PlannedLaunch launch{&step, {1, 1, 1}, {}};
    for (std::size_t axis = 0; axis < step.grid.size(); ++axis) {
      const std::int64_t programs = launch.grid[axis] = names_.value(step.grid[axis]);
      if (programs > kLargestGrid[axis]) throw TooLarge();
      if (programs < 1) throw Malformed(text("a grid has ", programs, " programs"));
    }
    launch.values.reserve(step.arguments.size());
    for (const Argument& argument : step.arguments) launch.values.push_back(value(argument));
    plan_.launches.push_back(std::move(launch));
  }

  std::int64_t value(const Argument& argument) {
    if (argument.kind == Argument::Kind::i32) {
      const std::int64_t value = names_.value(argument.number);
      if (value < std::numeric_limits<std::int32_t>::min() ||
          value > std::numeric_limits<std::int32_t>::max()) {
        throw TooLarge();
      }
      return value;
    }
    if (argument.kind != Argument::Kind::arena) return 0;
    const std::int64_t element = names_.value(argument.number);
    if (element < 0 || element > plan_.arena_elements || element % kAlignedElements != 0) {
      throw Malformed(
          text("it reaches for element ", element, " of an arena with ", plan_.arena_elements));
    }
    return element;
  }

  const Program& program_;
  Evaluator names_;
  Plan plan_;
};

}  // namespace

Plan plan_launches(const Program& program, std::int64_t batch, std::int64_t height,
                   std::int64_t width) {
  try {
    return Planner(program, batch, height, width).run();
  } catch (const TooLarge&) {
    fail(SWINIR_OUT_OF_MEMORY, "A batch of ", batch, " with ", width, "x", height,
         " pixels is too large for one run on the GPU. Use smaller tiles.");
  } catch (const Malformed& malformed) {
    fail(SWINIR_INVALID_MODEL, "The engine cannot run a batch of ", batch, " with ", width, "x",
         height, " pixels: ", malformed.what(), ". Build it again with 'swinir-deploy build'.");
  }
}

}  // namespace swinir::core
