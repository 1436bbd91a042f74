"""What every writer of pictures row by row has: rows that fit, and as many as were announced."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowWriter"]

WriterT = TypeVar("WriterT", bound="RowWriter")


class RowWriter(abc.ABC):
    """Takes the rows of one picture; a context manager.

    Leaving the ``with`` block without an exception ends the file. A format fills in ``_append``,
    ``_end`` and, where it holds something, ``_release``.
    """

    def __init__(self, height: int, width: int, channels: int, dtype: Any) -> None:
        self._shape = (height, width, channels)
        self._dtype = np.dtype(dtype)
        self._rows = 0

    @abc.abstractmethod
    def _append(self, rows: NDArray[Any]) -> None:
        """Write rows that fit, and count them in ``_rows``."""

    @abc.abstractmethod
    def _end(self) -> None:
        """Write what comes after the last row."""

    def _release(self) -> None:  # noqa: B027 - most formats hold nothing
        """Let go of everything, whether the file was ended or not."""

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows of the announced dtype.

        Raises:
            ValueError: the rows do not fit.
            PictureError: the file would be larger than its format can hold.
        """
        if rows.shape[1:] != self._shape[1:] or rows.dtype != self._dtype:
            raise ValueError(
                f"rows of {rows.shape} {rows.dtype} do not fit {self._shape} {self._dtype}"
            )
        self._append(rows)

    def __enter__(self: WriterT) -> WriterT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                return
            if self._rows != self._shape[0]:
                raise ValueError(f"{self._rows} rows were written, {self._shape[0]} were announced")
            self._end()
        finally:
            self._release()
