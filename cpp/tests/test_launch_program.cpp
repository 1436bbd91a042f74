// Expressions and plans, against cases thought through by hand.
#include <limits>

#include "artifacts/launch_program.hpp"
#include "check.hpp"
#include "failure.hpp"

using namespace swinir::core;

namespace {

Token operation(Operator name) { return {Token::Kind::operation, static_cast<std::int64_t>(name)}; }
Token literal(std::int64_t value) { return {Token::Kind::literal, value}; }
Token name(std::int64_t slot) { return {Token::Kind::name, slot}; }

Argument argument(Argument::Kind kind, Expression number) {
  Argument made;
  made.kind = kind;
  made.number = std::move(number);
  return made;
}

// A program of one launch with an i32, and an arena of 64 elements.
Program program_of(Expression number, Expression grid = {literal(1)}) {
  Program program;
  program.arena_elements = {literal(64)};
  program.output_shape.fill({literal(1)});
  Step step;
  step.launches.resize(1);
  step.launches[0].grid = {std::move(grid)};
  step.launches[0].arguments = {argument(Argument::Kind::i32, std::move(number))};
  program.steps = {step};
  return program;
}

std::int64_t value(Expression number) {
  const Program program = program_of(std::move(number));
  return plan_launches(program, 2, 30, 50).launches.at(0).values.at(0);
}

std::int64_t value(std::int64_t a, std::int64_t b, Operator name) {
  return value({literal(a), literal(b), operation(name)});
}

swinir_status refusal(const Program& program) {
  try {
    plan_launches(program, 1, 8, 8);
  } catch (const Failure& failure) {
    CHECK(std::string(failure.what()).size() > 20);
    return failure.status();
  }
  return SWINIR_OK;
}

swinir_status refusal(Expression number) { return refusal(program_of(std::move(number))); }

void operators() {
  CHECK_EQUAL(value({name(0)}), 2);
  CHECK_EQUAL(value({name(1)}), 30);
  CHECK_EQUAL(value({name(2)}), 50);
  CHECK_EQUAL(value(7, -3, Operator::add), 4);
  CHECK_EQUAL(value(7, -3, Operator::subtract), 10);
  CHECK_EQUAL(value(7, -3, Operator::multiply), -21);
  CHECK_EQUAL(value(0, -3, Operator::multiply), 0);
  // Down is down, also below zero.
  CHECK_EQUAL(value(7, 2, Operator::divide_down), 3);
  CHECK_EQUAL(value(-7, 2, Operator::divide_down), -4);
  CHECK_EQUAL(value(-8, 2, Operator::divide_down), -4);
  CHECK_EQUAL(value(7, 2, Operator::divide_up), 4);
  CHECK_EQUAL(value(8, 2, Operator::divide_up), 4);
  CHECK_EQUAL(value(-7, 2, Operator::divide_up), -3);
  CHECK_EQUAL(value(7, -3, Operator::smaller), -3);
  CHECK_EQUAL(value(7, -3, Operator::larger), 7);
  CHECK_EQUAL(value(7, 7, Operator::at_most), 1);
  CHECK_EQUAL(value(8, 7, Operator::at_most), 0);
  // Operands in order: condition, yes, no.
  CHECK_EQUAL(value({literal(5), literal(1), literal(2), operation(Operator::select)}), 1);
  CHECK_EQUAL(value({literal(0), literal(1), literal(2), operation(Operator::select)}), 2);
  // (30 + 7) // 8 * 8
  CHECK_EQUAL(value({name(1), literal(7), operation(Operator::add), literal(8),
                     operation(Operator::divide_down), literal(8), operation(Operator::multiply)}),
              32);
}

void bounds() {
  constexpr std::int64_t kMost = kLargestValue;
  const auto is_too_large = [](std::int64_t a, std::int64_t b, Operator name) {
    // Compared with the bound itself, so that 32 bits are enough for the argument.
    return refusal({literal(a), literal(b), operation(name), literal(0),
                    operation(Operator::at_most)}) == SWINIR_OUT_OF_MEMORY;
  };
  CHECK(!is_too_large(kMost, 0, Operator::add));
  CHECK(is_too_large(kMost, 1, Operator::add));
  CHECK(is_too_large(kMost, kMost, Operator::add));
  CHECK(!is_too_large(-kMost, 0, Operator::add));
  CHECK(is_too_large(-kMost, -1, Operator::add));
  CHECK(is_too_large(-kMost, kMost, Operator::subtract));
  CHECK(!is_too_large(kMost, kMost, Operator::subtract));
  CHECK(!is_too_large(std::int64_t{1} << 31, std::int64_t{1} << 31, Operator::multiply));
  CHECK(is_too_large(std::int64_t{1} << 31, (std::int64_t{1} << 31) + 1, Operator::multiply));
  CHECK(is_too_large(-(std::int64_t{1} << 40), std::int64_t{1} << 40, Operator::multiply));
  CHECK(is_too_large(-kMost, -kMost, Operator::multiply));
  CHECK(!is_too_large(-kMost, 1, Operator::multiply));
  CHECK(is_too_large(std::numeric_limits<std::int64_t>::max(), 0, Operator::smaller));
  CHECK(is_too_large(std::numeric_limits<std::int64_t>::min(), 0, Operator::larger));

  CHECK_EQUAL(refusal({literal(1), literal(0), operation(Operator::divide_down)}),
              SWINIR_INVALID_MODEL);
  CHECK_EQUAL(refusal({literal(1), literal(-1), operation(Operator::divide_up)}),
              SWINIR_INVALID_MODEL);

  CHECK_EQUAL(value({literal(2147483647)}), 2147483647);
  CHECK_EQUAL(value({literal(-2147483648)}), -2147483648);
  CHECK_EQUAL(refusal({literal(2147483648)}), SWINIR_OUT_OF_MEMORY);
  CHECK_EQUAL(refusal({literal(-2147483649)}), SWINIR_OUT_OF_MEMORY);

  CHECK_EQUAL(refusal(program_of({literal(0)}, {literal(2147483647)})), SWINIR_OK);
  CHECK_EQUAL(refusal(program_of({literal(0)}, {literal(2147483648)})), SWINIR_OUT_OF_MEMORY);
  CHECK_EQUAL(refusal(program_of({literal(0)}, {literal(0)})), SWINIR_INVALID_MODEL);
  Program program = program_of({literal(0)});
  for (const std::int64_t programs : {65535, 65536}) {
    for (const std::size_t axis : {1, 2}) {
      program.steps[0].launches[0].grid.assign(3, {literal(1)});
      program.steps[0].launches[0].grid[axis] = {literal(programs)};
      CHECK_EQUAL(refusal(program), programs == 65535 ? SWINIR_OK : SWINIR_OUT_OF_MEMORY);
    }
  }
}

void arena() {
  const auto reaches = [](std::int64_t element) {
    Program program = program_of({literal(0)});
    program.steps[0].launches[0].arguments = {argument(Argument::Kind::arena, {literal(element)})};
    return refusal(program);
  };
  CHECK_EQUAL(reaches(0), SWINIR_OK);
  CHECK_EQUAL(reaches(64), SWINIR_OK);  // where nothing is read
  for (const std::int64_t wrong : {-8, 4, 72}) CHECK_EQUAL(reaches(wrong), SWINIR_INVALID_MODEL);
  Program program = program_of({literal(0)});
  program.arena_elements = {literal(-1)};
  CHECK_EQUAL(refusal(program), SWINIR_INVALID_MODEL);
}

// Names, and launches that are repeated.
void repetitions() {
  Program program = program_of({name(3)});
  program.slots = 6;
  program.definitions = {{3, {name(1), literal(10), operation(Operator::divide_up)}}};
  Step step = program.steps[0];
  step.is_repeated = true;
  step.count = {name(3)};
  step.index = 4;
  step.definitions = {{5, {name(4), literal(100), operation(Operator::add)}}};
  step.launches[0].arguments[0].number = {name(5)};
  step.launches.push_back(step.launches[0]);
  step.launches[1].kernel = 7;
  program.steps.push_back(step);
  const Plan plan = plan_launches(program, 1, 25, 8);
  CHECK_EQUAL(plan.launches.size(), 7U);
  CHECK_EQUAL(plan.launches[0].values[0], 3);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK_EQUAL(plan.launches[1 + i].values[0], static_cast<std::int64_t>(100 + i / 2));
    CHECK_EQUAL(plan.launches[1 + i].step->kernel, i % 2 == 0 ? 0U : 7U);
  }

  // A million launches at most, and turns without a launch do not go on for ever.
  program.steps[1].launches.resize(1);
  const auto with_turns = [&](std::int64_t count) {
    program.steps[1].count = {literal(count)};
    return refusal(program);
  };
  CHECK_EQUAL(with_turns(999999), SWINIR_OK);
  CHECK_EQUAL(with_turns(1000000), SWINIR_OUT_OF_MEMORY);
  CHECK_EQUAL(with_turns(0), SWINIR_OK);
  CHECK_EQUAL(with_turns(-5), SWINIR_OK);
  program.steps[1].launches.clear();
  CHECK_EQUAL(with_turns(kLargestValue), SWINIR_OUT_OF_MEMORY);
}

}  // namespace

int main() {
  operators();
  bounds();
  arena();
  repetitions();
}
