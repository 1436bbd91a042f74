"""How a foreign model takes and gives pictures, and the conversion from and to NCHW in 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["BYTES", "SIGNED", "UNIT", "Convention", "Layout", "ValueRange"]

Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True)
class ValueRange:
    """The values that black and white have.

    Attributes:
        low: value of black.
        high: value of white.
    """

    low: float
    high: float

    def from_unit(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values in this range of values in 0..1."""
        scaled: NDArray[np.float32] = values * np.float32(self.high - self.low)
        return scaled + np.float32(self.low)

    def to_unit(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values in 0..1 of values in this range."""
        shifted: NDArray[np.float32] = values - np.float32(self.low)
        return shifted / np.float32(self.high - self.low)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


UNIT, BYTES, SIGNED = ValueRange(0, 1), ValueRange(0, 255), ValueRange(-1, 1)


@dataclass(frozen=True)
class Convention:
    """How pictures go into a foreign model, and come out of it.

    Attributes:
        channels: channels of input and output, 1 or 3.
        input_name: name of the input.
        input_dtype: NumPy's name of its element type.
        input_layout: order of its axes.
        input_range: values of black and white in the input.
        output_name: name of the output that holds the picture.
        output_dtype: NumPy's name of its element type.
        output_layout: order of its axes.
        output_range: values of black and white in the output.
        bgr: whether the first of three channels is blue.
    """

    channels: int
    input_name: str
    input_dtype: str
    input_layout: Layout
    input_range: ValueRange
    output_name: str
    output_dtype: str
    output_layout: Layout
    output_range: ValueRange
    bgr: bool = False

    def feed(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Return what the model takes for NCHW RGB values in 0..1."""
        if self.bgr:
            values = values[:, ::-1]
        fed = self.input_range.from_unit(values)
        if self.input_layout == "nhwc":
            fed = fed.transpose(0, 2, 3, 1)
        if self.input_dtype == "uint8":
            fed = np.rint(np.clip(fed, 0, 255))
        return np.ascontiguousarray(fed.astype(self.input_dtype))

    def picture(self, output: NDArray[Any]) -> NDArray[np.float32] | None:
        """Return the output as NCHW RGB values around 0..1; None if it is no such picture."""
        if output.ndim != 4 or min(output.shape) < 1:
            return None
        if self.output_layout == "nhwc":
            output = output.transpose(0, 3, 1, 2)
        if output.shape[1] != self.channels:
            return None
        values = self.output_range.to_unit(output.astype(np.float32))
        return np.ascontiguousarray(values[:, ::-1] if self.bgr else values)
