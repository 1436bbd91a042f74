"""What a command prints: one JSON document or text for people; and how errors end it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

import click

from swinir_deploy.errors import SwinIRDeployError, SwinIRDeployWarning

__all__ = ["Output", "Stopwatch", "plain", "size_text", "table"]

_INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


class Output:
    """Where one run of the program prints, and how much.

    Attributes:
        as_json: one JSON document goes to stdout, everything else to stderr.
        quiet: only what was asked for, and errors.
        debug: show tracebacks and the libraries' warnings.
        offline: never use the network.
        document: what ``--json`` prints in the end.
    """

    def __init__(self, as_json: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.debug = debug
        self.quiet = False
        self.offline = False
        self.document: dict[str, Any] | None = None
        self._notes: list[str] = []

    @property
    def progress(self) -> bool | None:
        """For progress bars: None shows one where stderr is a terminal."""
        return False if self.quiet else None

    def note(self, text: str) -> None:
        """Say something on the side: to stderr, and into the JSON document's ``notes``."""
        self._notes.append(text)
        self.say(text)

    def say(self, text: str) -> None:
        """Say what is being done, to stderr."""
        if not self.quiet:
            click.echo(text, err=True)

    def answer(self, document: Mapping[str, Any], text: str) -> None:
        """Give what was asked for. Printed with ``--quiet``, too."""
        self._keep(document)
        if not self.as_json:
            click.echo(text)

    def done(self, document: Mapping[str, Any], line: str) -> None:
        """Say in one line what was done."""
        self._keep(document)
        if not (self.as_json or self.quiet):
            click.echo(line)

    def save(self, path: str | os.PathLike[str] | None) -> None:
        """Write the document to a file, too, if one was asked for."""
        if path is not None:
            from swinir_deploy.system.files import atomic_output

            with atomic_output(path) as temporary:
                temporary.write_text(self._text(), encoding="utf-8")
            self.say(f"Wrote {path}")

    def fail(self, kind: str, message: str, exit_code: int, hint: str = "") -> int:
        """Say what went wrong, and give the exit code back."""
        click.echo(f"Error: {message}", err=True)
        if hint:
            click.echo(hint, err=True)
        self.document = {"error": {"type": kind, "message": message}, "exit_code": exit_code}
        return exit_code

    def flush(self, stdout: TextIO) -> None:
        """Print the document, if JSON was asked for and there is one."""
        if self.as_json and self.document is not None:
            stdout.write(self._text())
        stdout.flush()

    def _keep(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        if self._notes:
            self.document["notes"] = self._notes

    def _text(self) -> str:
        return json.dumps(plain(self.document), indent=2, allow_nan=False) + "\n"

    # -------------------------------------------------------------------------- around a command

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Keep stdout for the document, and the libraries' warnings to those who debug."""
        with warnings.catch_warnings():
            if not self.debug:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", SwinIRDeployWarning)
                warnings.showwarning = self._show_warning
            if self.as_json:
                with redirect_stdout(sys.stderr):
                    yield
            else:
                yield

    def _show_warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self.note(f"Warning: {message}")

    def explain(self, error: Exception) -> int:
        """Show an exception as a message, and give the exit code for it."""
        from swinir_deploy.system.packages import explain_import_error

        if self.debug:
            traceback.print_exception(error)
        if isinstance(error, click.Abort):
            return self.fail(
                "Interrupted", "Interrupted. No file was left half written.", _INTERRUPTED
            )
        if isinstance(error, click.ClickException):
            hint = _help_hint(error) if isinstance(error, click.UsageError) else ""
            kind = "UsageError" if hint else type(error).__name__
            return self.fail(kind, error.format_message(), error.exit_code, hint)
        if isinstance(error, ImportError):
            error = explain_import_error(error) or error
        if isinstance(error, SwinIRDeployError):
            return self.fail(type(error).__name__, str(error), error.exit_code)
        if isinstance(error, MemoryError):
            return self.fail(
                "MemoryError", "Memory ran out. Use smaller tiles (--tile) or a smaller model.", 1
            )
        reason = " ".join(str(error).split())[:300]
        what = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        again = "See the traceback above." if self.debug else "Run it again with --debug for more."
        return self.fail(
            type(error).__name__, f"Something unexpected happened ({what}). {again}", 1
        )


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Elapsed so far."""
        return time.perf_counter() - self._started

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"


def plain(value: Any) -> Any:
    """Values as strict JSON has them: paths as text, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "item"):  # a NumPy scalar
        return plain(value.item())
    raise TypeError(f"{type(value).__name__} does not fit into JSON")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text; those that hold numbers only are set to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [bool(rows) and all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def size_text(size_bytes: int) -> str:
    """Such as ``0.8 MB`` or ``12 KB`` (decimal units)."""
    if size_bytes < 100_000:
        return f"{math.ceil(size_bytes / 1000)} KB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"


def take_stdout() -> TextIO:
    """A private stream to stdout; the descriptor itself leads to stderr from now on.

    Libraries in C print to the descriptor, and some do so when the process ends.
    """
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def silence_stdout() -> None:
    """After the reader has gone: nothing may complain when the process ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _help_hint(error: click.UsageError) -> str:
    if error.ctx is None:
        return "Try 'swinir-deploy --help'."
    is_model_option = any("--model" in param.opts for param in error.ctx.command.params)
    is_extra = is_model_option and "unexpected extra argument" in error.message
    named = "A model is named with --model MODEL. " if is_extra else ""
    return f"{named}Try '{error.ctx.command_path} --help' for its options and an example."


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or cell.replace(",", "").replace(".", "").rstrip("x").isdigit()
