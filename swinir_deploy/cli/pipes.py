"""Pictures from stdin and to stdout, for ``restore - -``."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from swinir_deploy.cli.output import Output
from swinir_deploy.cli.streams import take_binary_stdout
from swinir_deploy.errors import InputError, SwinIRDeployError, UsageError

__all__ = ["PIPE", "is_pipe", "through_files"]

PIPE = "-"
"""Stands for stdin as IN and for stdout as OUT."""

_PIECE_BYTES = 1 << 20


def is_pipe(source: str) -> bool:
    """Return whether IN is stdin, or a named pipe such as a shell makes for ``<(command)``."""
    try:
        return source == PIPE or stat.S_ISFIFO(Path(source).stat().st_mode)
    except OSError:
        return False


@contextmanager
def through_files(
    source: str, target: str, suffix: str | None, out: Output
) -> Iterator[tuple[str, str]]:
    """Yield the paths of IN and OUT; a pipe has a temporary file in its place.

    A picture is read from its end as well as its beginning, and its size decides how it is
    restored. So all of stdin is read first, and stdout is written when the result is complete.

    Args:
        source: IN.
        target: OUT.
        suffix: suffix of the result, such as ``.png``; None is that of the picture's format.
        out: prints results to stderr if stdout gets the picture.

    Raises:
        UsageError: stdin or stdout is a terminal, or both the picture and JSON would go to stdout.
        PictureError: stdin is no picture.
        InputError: stdin cannot be read, or stdout not be written.
    """
    reads, writes = is_pipe(source), target == PIPE
    if not (reads or writes):
        yield source, target
        return
    if writes and Path(source).is_dir():
        raise UsageError(f"{source} is a folder, and stdout takes one picture. Give a folder.")
    if writes and out.as_json:
        raise UsageError("OUT - and --json both write to stdout. Leave one of them out.")
    if source == PIPE and sys.stdin.isatty():
        raise UsageError("IN is -, and stdin is a terminal. Pipe a picture in, or name a file.")
    if writes and sys.stdout.isatty():
        raise UsageError("OUT is -, and stdout is a terminal. Pipe it on, or name a file.")
    stdout: BinaryIO | None = None
    if writes:
        stdout, out.stdout_is_taken = take_binary_stdout(), True
    with tempfile.TemporaryDirectory(prefix="swinir-deploy-") as name:
        folder = Path(name)
        shown = {}
        read, written = source, target
        if reads:
            read = os.fspath(_spool(source, folder))
            shown[read] = "stdin" if source == PIPE else source
        if stdout is not None:
            written = os.fspath(folder / f"stdout{suffix or Path(read).suffix}")
            shown[written] = "stdout"
        try:
            yield read, written
        except SwinIRDeployError as error:
            text = str(error)
            for path, words in shown.items():
                text = text.replace(path, words)
            raise type(error)(text) from error
        if stdout is not None:
            with _failing("Cannot write to stdout"), open(written, "rb") as result, stdout:
                shutil.copyfileobj(result, stdout, _PIECE_BYTES)


def _spool(source: str, folder: Path) -> Path:
    """Copy a pipe into a file with the suffix of the picture's format."""
    from swinir_deploy.pictures.formats import FORMATS, format_of

    named = "stdin" if source == PIPE else source
    spooled = folder / "stdin"
    with _failing(f"Cannot read {named}"), ExitStack() as stack:
        reader = sys.stdin.buffer if source == PIPE else stack.enter_context(open(source, "rb"))
        shutil.copyfileobj(reader, stack.enter_context(open(spooled, "wb")), _PIECE_BYTES)
    with open(spooled, "rb") as handle:
        kind = format_of(handle.read(64), Path(named))
    return spooled.rename(spooled.with_suffix(FORMATS[kind].suffixes[0]))


@contextmanager
def _failing(what: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(
            f"{what}: {error.strerror or error}. Give a place that can be used."
        ) from error
