"""What is launched on a GPU for every shape of input: expressions of batch, height and width.

A :class:`Program` is made once for a network and a GPU architecture. :meth:`Program.plan` evaluates
it for one shape. It is plain data, so an engine's file holds it, and any program that can evaluate
ten operators on integers can run it: the C library does.

Expressions are kept in reverse Polish notation: ``["height", 7, "+", 8, "//"]``. Their values are
integers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from swinir_deploy.errors import InputError

__all__ = [
    "INPUTS",
    "OPERATORS",
    "Argument",
    "Buffer",
    "Expression",
    "Launch",
    "LaunchStep",
    "Number",
    "Place",
    "Plan",
    "Program",
    "Repeat",
    "Step",
    "Weight",
    "at_most",
    "ceil_div",
    "check_number",
    "evaluate",
    "larger",
    "select",
    "smaller",
]

INPUTS = ("batch", "picture_height", "picture_width")
"""Names that every expression may use: the number of pictures, and their sides in pixels."""

OPERATORS: Mapping[str, tuple[int, Callable[..., int]]] = {
    "+": (2, lambda a, b: a + b),
    "-": (2, lambda a, b: a - b),
    "*": (2, lambda a, b: a * b),
    "//": (2, lambda a, b: a // b),
    "ceil": (2, lambda a, b: -(-a // b)),
    "min": (2, min),
    "max": (2, max),
    "<=": (2, lambda a, b: int(a <= b)),
    "if": (3, lambda condition, yes, no: yes if condition else no),
}
"""Operator -> number of operands, and what it computes. ``//`` rounds down, ``ceil`` is a division
that rounds up; both are used with a positive divisor only. ``if`` takes condition, yes, no."""

LARGEST = 2**62
"""Bound of every value; nothing that a GPU can hold comes near it."""

MOST_LAUNCHES = 1_000_000
"""A plan with more is refused: no picture needs them, and a damaged file may ask for any number."""


class Expression:
    """An integer that depends on names.

    Attributes:
        tokens: integers, names and operators in reverse Polish notation.
    """

    __slots__ = ("tokens",)

    def __init__(self, *tokens: int | str) -> None:
        self.tokens = tokens

    def __add__(self, other: Number) -> Expression:
        return _operation("+", self, other)

    def __radd__(self, other: int) -> Expression:
        return _operation("+", other, self)

    def __sub__(self, other: Number) -> Expression:
        return _operation("-", self, other)

    def __rsub__(self, other: int) -> Expression:
        return _operation("-", other, self)

    def __mul__(self, other: Number) -> Expression:
        return _operation("*", self, other)

    def __rmul__(self, other: int) -> Expression:
        return _operation("*", other, self)

    def __floordiv__(self, other: Number) -> Expression:
        return _operation("//", self, other)

    def __bool__(self) -> bool:
        """Refuse: whether it is zero depends on the shape."""
        raise TypeError("An Expression has no truth value. Use select().")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Expression{self.tokens}"


Number = int | Expression


def _operation(operator: str, *operands: Number) -> Expression:
    tokens: list[int | str] = []
    for operand in operands:
        tokens += operand.tokens if isinstance(operand, Expression) else (operand,)
    return Expression(*tokens, operator)


def _folded(operator: str, *operands: Number) -> Number:
    """Return the result as an integer if all operands are integers."""
    if any(isinstance(operand, Expression) for operand in operands):
        return _operation(operator, *operands)
    return OPERATORS[operator][1](*operands)


def ceil_div(value: Number, unit: Number) -> Number:
    """Return ``value / unit``, rounded up."""
    return _folded("ceil", value, unit)


def smaller(first: Number, second: Number) -> Number:
    """Return the smaller number."""
    return _folded("min", first, second)


def larger(first: Number, second: Number) -> Number:
    """Return the larger number."""
    return _folded("max", first, second)


def at_most(first: Number, second: Number) -> Number:
    """Return 1 if ``first <= second``, else 0."""
    return _folded("<=", first, second)


def select(condition: Number, yes: Number, no: Number) -> Number:
    """Return ``yes`` if the condition is not 0, else ``no``."""
    if isinstance(condition, int):
        return yes if condition else no
    return _operation("if", condition, yes, no)


def evaluate(number: Number, names: Mapping[str, int]) -> int:
    """Return the value of a number.

    Args:
        number: an integer or an expression.
        names: values of all names in it.

    Raises:
        ValueError: the expression is malformed, divides by zero, uses an unknown name, or leaves
            the range of +-2**62.
    """
    if isinstance(number, int):
        return number
    stack: list[int] = []
    for token in number.tokens:
        if isinstance(token, int):
            stack.append(token)
        elif token in OPERATORS:
            count, function = OPERATORS[token]
            if len(stack) < count:
                raise ValueError(f"{token!r} lacks an operand")
            operands = stack[-count:]
            if token in ("//", "ceil") and operands[1] <= 0:
                raise ValueError(f"{token!r} divides by {operands[1]}")
            stack[-count:] = [function(*operands)]
            if not -LARGEST <= stack[-1] <= LARGEST:
                raise ValueError("a value is too large")
        elif token in names:
            stack.append(names[token])
        else:
            raise ValueError(f"unknown name {token!r}")
    if len(stack) != 1:
        raise ValueError("an expression must leave one value")
    return stack[0]


# ------------------------------------------------------------------------------------ for one shape


@dataclass(frozen=True)
class Weight:
    """An argument: a packed tensor by its name."""

    name: str


@dataclass(frozen=True)
class Buffer:
    """An argument: a place in the arena by its first element, or the ``input`` or ``output``."""

    name: str
    offset: int = 0


@dataclass(frozen=True)
class Launch:
    """One kernel with its arguments.

    Attributes:
        kernel: its name.
        grid: programs along one or two axes.
        arguments: by the kernel's parameter names.
        constants: likewise, compiled in.
        part: what of the network it computes, for reports: ``block``, ``attention``, ``mlp``,
            ``convolution``, ``head`` or ``edge``.
    """

    kernel: str
    grid: tuple[int, ...]
    arguments: Mapping[str, Weight | Buffer | int | float]
    constants: Mapping[str, int]
    part: str


@dataclass(frozen=True)
class Plan:
    """All launches for one shape.

    Attributes:
        launches: in order.
        arena_elements: elements of the arena, of the packed dtype (two bytes).
        output_shape: of the result.
    """

    launches: tuple[Launch, ...]
    arena_elements: int
    output_shape: tuple[int, int, int, int]


# ---------------------------------------------------------------------------------- for every shape


@dataclass(frozen=True)
class Place:
    """As :class:`Buffer`, for every shape."""

    name: str
    offset: Number = 0


Argument = Weight | Place | Expression | int | float


@dataclass(frozen=True)
class LaunchStep:
    """As :class:`Launch`, for every shape."""

    kernel: str
    grid: tuple[Number, ...]
    arguments: Mapping[str, Argument]
    constants: Mapping[str, int]
    part: str


Definitions = tuple[tuple[str, Number], ...]
"""Names and their values, in order; a value may use the names before it."""


@dataclass(frozen=True)
class Repeat:
    """Launches that are repeated, such as those of a band of rows.

    Attributes:
        count: how often.
        index: name of the number of the turn, 0 to count - 1.
        definitions: of every turn.
        steps: of every turn.
    """

    count: Number
    index: str
    definitions: Definitions
    steps: tuple[LaunchStep, ...]


Step = LaunchStep | Repeat


@dataclass(frozen=True)
class Program:
    """All launches for every shape.

    Attributes:
        definitions: names that the steps use, beside :data:`INPUTS`.
        steps: in order.
        arena_elements: as in :class:`Plan`.
        output_shape: as in :class:`Plan`.
    """

    definitions: Definitions
    steps: tuple[Step, ...]
    arena_elements: Number
    output_shape: tuple[Number, Number, Number, Number]

    def launches(self) -> Iterator[LaunchStep]:
        """Yield every launch once, also those that are repeated."""
        for step in self.steps:
            yield from (step,) if isinstance(step, LaunchStep) else step.steps

    def plan(self, batch: int, height: int, width: int) -> Plan:
        """Evaluate the program for one shape.

        Args:
            batch: number of pictures, 1 or more.
            height: of a picture in pixels.
            width: likewise.

        Raises:
            InputError: the shape needs numbers beyond 32 bits, or more launches than are sensible.
            ValueError: the program is malformed.
        """
        names = dict(zip(INPUTS, (batch, height, width), strict=True))
        _define(self.definitions, names)
        launches: list[Launch] = []
        for step in self.steps:
            if isinstance(step, LaunchStep):
                launches.append(_launch(step, names))
                continue
            count = evaluate(step.count, names)
            if count * len(step.steps) > MOST_LAUNCHES:
                raise InputError(_too_large(batch, height, width))
            for turn in range(count):
                inner = {**names, step.index: turn}
                _define(step.definitions, inner)
                launches += [_launch(inside, inner) for inside in step.steps]
        shape = tuple(evaluate(side, names) for side in self.output_shape)
        elements = evaluate(self.arena_elements, names)
        if any(not _fits(launch) for launch in launches):
            raise InputError(_too_large(batch, height, width))
        assert len(shape) == 4
        return Plan(tuple(launches), elements, shape)


def _define(definitions: Definitions, names: dict[str, int]) -> None:
    for name, number in definitions:
        names[name] = evaluate(number, names)


def _launch(step: LaunchStep, names: Mapping[str, int]) -> Launch:
    arguments: dict[str, Weight | Buffer | int | float] = {}
    for name, argument in step.arguments.items():
        if isinstance(argument, Place):
            arguments[name] = Buffer(argument.name, evaluate(argument.offset, names))
        elif isinstance(argument, Expression):
            arguments[name] = evaluate(argument, names)
        else:
            arguments[name] = argument
    grid = tuple(evaluate(programs, names) for programs in step.grid)
    return Launch(step.kernel, grid, arguments, step.constants, step.part)


def _fits(launch: Launch) -> bool:
    """Return whether every integer is one that a kernel takes, and the grid one that CUDA takes."""
    integers = [value for value in launch.arguments.values() if isinstance(value, int)]
    limits = (2**31 - 1, 65535, 65535)
    return all(-(2**31) <= value < 2**31 for value in integers) and all(
        0 < programs <= limit for programs, limit in zip(launch.grid, limits, strict=False)
    )


def _too_large(batch: int, height: int, width: int) -> str:
    return (
        f"A batch of {batch} with {width}x{height} pixels is too large for one run on the GPU. Use "
        "tiles (--tile)."
    )


def check_number(number: Number, names: Collection[str]) -> None:
    """Check that an expression is well formed, without its values.

    Args:
        number: an integer or an expression.
        names: that it may use.

    Raises:
        ValueError: it is malformed or uses another name.
    """
    if isinstance(number, int):
        return
    depth = 0
    for token in number.tokens:
        if isinstance(token, str) and token in OPERATORS:
            depth -= OPERATORS[token][0]
            if depth < 0:
                raise ValueError(f"{token!r} lacks an operand")
        elif isinstance(token, str) and token not in names:
            raise ValueError(f"unknown name {token!r}")
        depth += 1
    if depth != 1:
        raise ValueError("an expression must leave one value")
