"""Read from a foreign graph what running cannot tell: range of values, frozen masks, sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from swinir_deploy.adoption.convention import BYTES, UNIT, ValueRange

__all__ = ["Clues", "find_clues"]

_TRANSPARENT = {
    *("Cast", "Transpose", "Pad", "Identity", "Slice", "Concat", "Gather", "Unsqueeze"),
    *("Squeeze", "Reshape", "Clip", "Flatten"),
}
"""Operators between the input and the first arithmetic that leave its values as they are."""

_MASK_IS_USED_BY = {"Add", "Unsqueeze", "Reshape", "Cast", "Identity", "Expand", "Tile"}
"""Operators that add a mask as it is. A mask that is gathered from is one for every size."""


@dataclass(frozen=True)
class Clues:
    """What constants of a graph say.

    Attributes:
        input_range: the values that black and white have in the input; None if nothing says so.
        bgr: whether the first channel is blue, by the mean that is subtracted; None if unknown.
        frozen: height and width in pixels, for which the shift masks were computed; None if no
            mask is a constant.
        sizes: heights and widths that reshapes were written for, the most frequent first.
    """

    input_range: ValueRange | None = None
    bgr: bool | None = None
    frozen: tuple[int, int] | None = None
    sizes: tuple[tuple[int, int], ...] = ()


def find_clues(model: onnx.ModelProto, input_name: str) -> Clues:
    """Look through the constants of a graph.

    Args:
        model: the model with its weights.
        input_name: name of the input that takes the picture.
    """
    constants = _Constants(model.graph)
    input_range, bgr = _range_clue(constants, input_name)
    return Clues(input_range, bgr, _frozen_size(constants), _reshaped_sizes(constants))


class _Constants:
    """The initialisers and ``Constant`` nodes of a graph by name, and who uses which value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.users: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._tensors: dict[str, onnx.TensorProto] = {t.name: t for t in graph.initializer}
        self._plain: dict[str, NDArray[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
            if node.op_type != "Constant":
                continue
            for attribute in node.attribute:
                value = onnx.helper.get_attribute_value(attribute)
                if isinstance(value, onnx.TensorProto):
                    self._tensors[node.output[0]] = value
                elif attribute.name.startswith("value_"):
                    self._plain[node.output[0]] = np.asarray(value)

    def get(self, name: str) -> NDArray[Any] | None:
        if name in self._tensors:
            return numpy_helper.to_array(self._tensors[name])
        return self._plain.get(name)

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, tensor in self._tensors.items():
            yield name, tuple(tensor.dims)

    def operand(self, node: onnx.NodeProto) -> NDArray[Any] | None:
        """Return the constant operand of a node with two inputs."""
        found = (self.get(name) for name in node.input[:2])
        return next((value for value in found if value is not None), None)


def _range_clue(constants: _Constants, input_name: str) -> tuple[ValueRange | None, bool | None]:
    """Follow the input through the arithmetic with constants, to the first convolution."""
    waiting, seen = [input_name], {input_name}
    found: ValueRange | None = None
    bgr: bool | None = None
    factor = 1.0  # of what was followed so far
    while waiting:
        for node in constants.users[waiting.pop(0)]:
            operand = constants.operand(node) if len(node.input) > 1 else None
            if node.op_type in _ARITHMETIC and operand is not None:
                values = operand.astype(np.float64).ravel()
                if values.size not in (1, 3):
                    continue
                found = found or _range_by(node.op_type, values, factor)
                if node.op_type in ("Sub", "Add") and bgr is None:
                    bgr = _bgr_clue(np.abs(values))
                elif node.op_type in ("Mul", "Div") and values.all():
                    factor *= values[0] if node.op_type == "Mul" else 1 / values[0]
            elif node.op_type not in _TRANSPARENT:
                continue
            for name in node.output:
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
    return found, bgr


_ARITHMETIC = ("Sub", "Add", "Mul", "Div")


def _range_by(operator: str, operand: NDArray[np.float64], factor: float) -> ValueRange | None:
    """Return the range of the input that arithmetic on ``factor`` times the input tells."""
    largest = float(np.abs(operand).max())
    if largest == 0:
        return None
    if operator in ("Sub", "Add"):
        return BYTES if largest > 2.5 * factor else UNIT
    whole = factor * (1 / largest if operator == "Div" else largest)
    if abs(whole * 255 - 1) < 0.02:
        return BYTES
    return UNIT if abs(whole / 255 - 1) < 0.02 else None


def _bgr_clue(mean: NDArray[np.float64]) -> bool | None:
    """Return whether blue comes first: photographs have a higher mean in red than in blue."""
    if mean.size != 3 or len(set(mean)) < 3:
        return None
    if mean[0] > mean[1] > mean[2]:
        return False
    return True if mean[0] < mean[1] < mean[2] else None


# ------------------------------------------------------------------------------------ frozen sizes


def _frozen_size(constants: _Constants) -> tuple[int, int] | None:
    """Return the size of the pictures that constant shift masks were computed for."""
    for name, shape in constants.shapes():
        if len(shape) < 3 or shape[-1] != shape[-2]:
            continue
        window = _root(shape[-1])
        if window is None or window < 2:
            continue
        if not any(user.op_type in _MASK_IS_USED_BY for user in constants.users[name]):
            continue
        values = constants.get(name)
        assert values is not None
        masked = values.reshape(-1, shape[-1], shape[-1]) != 0
        if values.dtype == bool or not _is_mask(values):
            continue
        size = _size_of_mask(masked, window)
        if size is not None:
            return size
    return None


def _is_mask(values: NDArray[Any]) -> bool:
    """Return whether the values are 0 and one other, which is negative (-100 in the official)."""
    lowest = values.min()
    return bool(lowest < 0) and bool(np.isin(values, (0, lowest)).all())


def _root(square: int) -> int | None:
    root = round(square**0.5)
    return root if root * root == square else None


def _size_of_mask(masked: NDArray[np.bool_], window: int) -> tuple[int, int] | None:
    """Return height and width in pixels if this is the shift mask of such a picture.

    Args:
        masked: [windows, tokens, tokens], true where two tokens are no neighbours.
        window: side of a window in pixels.
    """
    count = len(masked)
    shifts = sorted(range(1, window), key=lambda shift: shift != window // 2)
    for rows in (rows for rows in range(1, count + 1) if count % rows == 0):
        for shift in shifts:
            if np.array_equal(masked, _shift_mask(rows, count // rows, window, shift)):
                return rows * window, count // rows * window
    return None


def _shift_mask(rows: int, columns: int, window: int, shift: int) -> NDArray[np.bool_]:
    """Return ``calculate_mask`` of models/network_swinir.py as [windows, tokens, tokens] bool."""
    wrapped = np.arange(window) >= window - shift

    def strip(count: int) -> NDArray[np.int64]:
        last = np.arange(count) == count - 1
        inside: NDArray[np.int64] = (last[:, None] & wrapped).astype(np.int64)
        return inside

    label = strip(rows)[:, None, :, None] * 2 + strip(columns)[None, :, None, :]
    label = label.reshape(rows * columns, window * window)
    apart: NDArray[np.bool_] = label[:, :, None] != label[:, None, :]
    return apart


def _reshaped_sizes(constants: _Constants) -> tuple[tuple[int, int], ...]:
    """Return sizes from constant shapes of ``Reshape``: of windows in six axes, or of pictures."""
    counts: Counter[tuple[int, int]] = Counter()
    for node in constants.graph.node:
        if node.op_type != "Reshape":
            continue
        shape = constants.get(node.input[1])
        if shape is None:
            continue
        sides = [int(side) for side in shape]
        if len(sides) == 6 and sides[2] == sides[4] > 1 and min(sides[1], sides[3]) > 0:
            counts[sides[1] * sides[2], sides[3] * sides[4]] += 10
        elif len(sides) == 6 and sides[3] == sides[4] > 1 and min(sides[1], sides[2]) > 0:
            counts[sides[1] * sides[3], sides[2] * sides[4]] += 10  # windows become a picture
        elif len(sides) == 4 and min(sides[1], sides[2]) >= 8:
            counts[sides[1], sides[2]] += 1
    return tuple(size for size, _ in counts.most_common(5))
