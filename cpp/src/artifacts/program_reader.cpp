#include "artifacts/program_reader.hpp"

#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "artifacts/manifest.hpp"

namespace swinir::core {
namespace {

using Names = std::map<std::string, std::size_t>;  // name -> slot

struct OperatorRow {
  const char* name;
  int operands;
};

// In the order of Operator.
constexpr OperatorRow kOperators[] = {{"+", 2},   {"-", 2},   {"*", 2},  {"//", 2}, {"ceil", 2},
                                      {"min", 2}, {"max", 2}, {"<=", 2}, {"if", 3}};
constexpr std::size_t kOperatorCount = sizeof kOperators / sizeof kOperators[0];

// Returns the number of the operator of that name, or how many there are.
std::size_t operator_of(const std::string& name) {
  std::size_t number = 0;
  while (number < kOperatorCount && name != kOperators[number].name) ++number;
  return number;
}

std::int64_t within_bound(std::int64_t value) {
  if (value < -kLargestValue || value > kLargestValue) damaged(value, " is too large a number");
  return value;
}

class ProgramReader {
 public:
  ProgramReader(const std::vector<CudaKernel>& kernels, std::size_t tensors)
      : kernels_(kernels), tensors_(tensors) {}

  Program read(const JsonValue& value) {
    const Members members(value, "it");
    Names names = {{"batch", 0}, {"picture_height", 1}, {"picture_width", 2}};
    program_.definitions = definitions(members["definitions"], names);
    for (const JsonValue& step : members.array("steps"))
      program_.steps.push_back(this->step(step, names));
    program_.arena_elements = number(members["arena_elements"], names);
    const std::vector<JsonValue> shape = members.array("output_shape");
    if (shape.size() != 4) damaged("output_shape has ", shape.size(), " sides");
    for (std::size_t axis = 0; axis < 4; ++axis) {
      program_.output_shape[axis] = number(shape[axis], names);
    }
    return std::move(program_);
  }

 private:
  // Reads definitions, and adds their names.
  std::vector<Definition> definitions(const JsonValue& value, Names& names) {
    std::vector<Definition> result;
    for (const JsonValue& entry : array_of(value, "definitions")) {
      const std::vector<JsonValue> pair = array_of(entry, "a definition");
      if (pair.size() != 2) damaged("a definition has ", pair.size(), " parts");
      Expression meaning = number(pair[1], names);
      result.push_back({add_name(pair[0], names), std::move(meaning)});
    }
    return result;
  }

  std::size_t add_name(const JsonValue& value, Names& names) {
    const std::string& name = string_of(value, "a name");
    if (!is_name(name) || operator_of(name) != kOperatorCount || names.count(name) != 0) {
      damaged(quoted(name), " cannot be a new name");
    }
    return names[name] = program_.slots++;
  }

  Step step(const JsonValue& value, const Names& names) {
    const Members members(value, "a step");
    Step step;
    if (!members.has("repeat")) {
      step.launches.push_back(launch(members, names));
      return step;
    }
    Names inner = names;
    step.is_repeated = true;
    step.count = number(members["repeat"], names);
    step.index = add_name(members["index"], inner);
    step.definitions = definitions(members["definitions"], inner);
    for (const JsonValue& inside : members.array("steps")) {
      step.launches.push_back(launch(Members(inside, "a step"), inner));
    }
    return step;
  }

  LaunchStep launch(const Members& members, const Names& names) {
    LaunchStep launch;
    const std::int64_t kernel = members.integer("kernel");
    if (kernel < 0 || kernel >= static_cast<std::int64_t>(kernels_.size())) {
      damaged("there is no kernel ", kernel);
    }
    launch.kernel = static_cast<std::size_t>(kernel);
    members["part"];  // for reports, but it has to be there
    for (const JsonValue& axis : members.array("grid")) launch.grid.push_back(number(axis, names));
    if (launch.grid.empty() || launch.grid.size() > 3) {
      damaged("a grid has ", launch.grid.size(), " axes");
    }
    const CudaKernel& called = kernels_[launch.kernel];
    const std::vector<JsonValue> given = members.array("arguments");
    if (given.size() != called.parameters.size()) {
      damaged(quoted(called.name), " takes ", called.parameters.size(), " arguments, not ",
              given.size());
    }
    for (std::size_t i = 0; i < given.size(); ++i) {
      launch.arguments.push_back(argument(given[i], called.parameters[i], names));
    }
    return launch;
  }

  Argument argument(const JsonValue& value, const CudaParameter& parameter, const Names& names) {
    const std::vector<JsonValue> parts = array_of(value, "an argument");
    if (parts.empty()) damaged("an argument is empty");
    const std::string& kind = string_of(parts[0], "the kind of an argument");
    const JsonValue* rest = parts.size() == 2 ? &parts[1] : nullptr;
    const bool is_pointer = parameter.kind == CudaParameter::Kind::pointer;
    Argument argument;
    if (is_pointer && parts.size() == 1 && (kind == "input" || kind == "output")) {
      argument.kind = kind == "input" ? Argument::Kind::input : Argument::Kind::output;
      return argument;
    }
    if (is_pointer && rest != nullptr && kind == "arena") {
      argument.kind = Argument::Kind::arena;
      argument.number = number(*rest, names);
      return argument;
    }
    if (is_pointer && rest != nullptr && kind == "weight") {
      const std::int64_t weight = integer_of(*rest, "the number of a weight");
      if (weight < 0 || weight >= static_cast<std::int64_t>(tensors_)) {
        damaged("there is no weight ", weight, " for the argument ", quoted(parameter.name));
      }
      argument.kind = Argument::Kind::weight;
      argument.weight = static_cast<std::size_t>(weight);
      return argument;
    }
    if (parameter.kind == CudaParameter::Kind::i32 && rest != nullptr && kind == "i32") {
      argument.kind = Argument::Kind::i32;
      argument.number = number(*rest, names);
      return argument;
    }
    if (parameter.kind == CudaParameter::Kind::f32 && rest != nullptr && kind == "f32" &&
        rest->kind == JsonValue::Kind::number) {
      argument.kind = Argument::Kind::f32;
      argument.value = static_cast<float>(rest->real());
      if (!std::isfinite(argument.value)) damaged(rest->string, " is too large for 32 bits");
      return argument;
    }
    damaged(quoted(value.string), " cannot be the argument ", quoted(parameter.name));
  }

  // Returns an expression that leaves one value and has known names only.
  static Expression number(const JsonValue& value, const Names& names) {
    if (value.kind == JsonValue::Kind::integer) {
      return {{Token::Kind::literal, within_bound(value.integer)}};
    }
    if (value.kind != JsonValue::Kind::array) damaged(quoted(value.string), " is no number");
    Expression expression;
    std::int64_t depth = 0;
    for (const JsonValue& item : array_of(value, "an expression")) {
      expression.push_back(token(item, names));
      if (expression.back().kind == Token::Kind::operation) {
        const OperatorRow& row = kOperators[expression.back().value];
        if (depth < row.operands) damaged("'", row.name, "' lacks an operand");
        depth -= row.operands;
      }
      ++depth;
    }
    if (depth != 1) damaged("an expression must leave one value");
    return expression;
  }

  static Token token(const JsonValue& value, const Names& names) {
    if (value.kind == JsonValue::Kind::integer) {
      return {Token::Kind::literal, within_bound(value.integer)};
    }
    const std::string& word = string_of(value, "a part of an expression");
    if (const std::size_t number = operator_of(word); number != kOperatorCount) {
      return {Token::Kind::operation, static_cast<std::int64_t>(number)};
    }
    const auto found = names.find(word);
    if (found == names.end()) damaged("unknown name ", quoted(word));
    return {Token::Kind::name, static_cast<std::int64_t>(found->second)};
  }

  const std::vector<CudaKernel>& kernels_;
  std::size_t tensors_;
  Program program_;
};

}  // namespace

Program read_program(const JsonValue& value, const std::vector<CudaKernel>& kernels,
                     std::size_t tensors) {
  return ProgramReader(kernels, tensors).read(value);
}

}  // namespace swinir::core
