"""Standard streams that may be closed, or whose reader may go away."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO, TextIO

__all__ = [
    "is_descriptor_1",
    "prepare_streams",
    "silence_stdout",
    "take_binary_stdout",
    "take_stdout",
]


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable, also where the shell has closed them (``>&-``).

    A closed descriptor is opened on nothing; else the next file would get its number, and what
    libraries print would go into that file. stderr takes messages without an error when nobody
    reads them any more, because they must not end the work.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.fdopen(descriptor, "w" if descriptor else "r", closefd=False)
            setattr(sys, name, opened)
    if os.name != "nt":  # where a console is no file
        raw = _Unheard(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(raw), sys.stderr.encoding, line_buffering=True
        )
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")


class _Unheard(io.FileIO):
    """A descriptor that swallows what cannot be written."""

    def write(self, data: object, /) -> int:
        """Write the bytes if somebody takes them, and return how many there were."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        try:
            written = super().write(view)
        except OSError:  # nobody reads it, or the terminal is gone
            return len(view)
        return len(view) if written is None else written


def take_stdout() -> TextIO:
    """Return a private stream to stdout, and redirect the descriptor of stdout to stderr.

    C libraries print to the descriptor, some of them when the process ends.
    """
    return io.TextIOWrapper(_taken(), "utf-8")


def take_binary_stdout() -> BinaryIO:
    """Return a stream of bytes to stdout, which nothing else writes to from now on."""
    if is_descriptor_1(sys.stdout):
        return _taken()
    return sys.stdout.buffer  # a test's replacement


def _taken() -> io.BufferedWriter:
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return private


def silence_stdout() -> None:
    """Redirect stdout to nowhere after its reader has gone, to avoid errors at the end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def is_descriptor_1(stream: object) -> bool:
    """Return whether a stream is the process's stdout and not a test's replacement."""
    try:
        return bool(stream.fileno() == 1)  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return False
