"""The base class of all writers that take a picture row by row."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowWriter"]

WriterT = TypeVar("WriterT", bound="RowWriter")


class RowWriter(abc.ABC):
    """Takes the rows of one picture and checks their shape, dtype and number; a context manager.

    Leaving the ``with`` block without an exception completes the file. A subclass implements
    ``_append``, ``_end`` and, if it holds resources, ``_release``.
    """

    def __init__(self, height: int, width: int, channels: int, dtype: Any) -> None:
        self._shape = (height, width, channels)
        self._dtype = np.dtype(dtype)
        self._rows = 0

    @abc.abstractmethod
    def _append(self, rows: NDArray[Any]) -> None:
        """Write rows that were checked, and count them in ``_rows``."""

    @abc.abstractmethod
    def _end(self) -> None:
        """Write what comes after the last row."""

    def _release(self) -> None:  # noqa: B027 - most formats hold no resources
        """Release all resources, whether the file is complete or not."""

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows of the announced dtype.

        Raises:
            ValueError: the rows have another shape or dtype.
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
