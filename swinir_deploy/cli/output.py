"""The output of a command: one JSON document or text, and the errors that end it."""

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
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

import click

from swinir_deploy.cli.tables import table
from swinir_deploy.errors import InputError, SwinIRDeployError, SwinIRDeployWarning
from swinir_deploy.system.termination import Terminated

__all__ = ["Output", "Stopwatch", "plain", "size_text", "table", "tell_failures"]

_INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""

_SHOWN_FAILURES = 20

_NOTHING_HALF = "No file was left half written."


class Output:
    """The output of one run of the program.

    Attributes:
        as_json: True prints one JSON document to stdout and everything else to stderr.
        quiet: True prints only results and errors.
        debug: True shows tracebacks and the libraries' warnings.
        offline: True never uses the network.
        stdout_is_taken: True prints results to stderr, because stdout gets the bytes of a picture.
        document: the document that ``--json`` prints at the end.
        arguments: the command line without the program's name; None if a program runs a command.
    """

    def __init__(self, as_json: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.debug = debug
        self.quiet = False
        self.offline = False
        self.stdout_is_taken = False
        self.document: dict[str, Any] | None = None
        self.arguments: tuple[str, ...] | None = None
        self._notes: list[str] = []

    @property
    def progress(self) -> bool | None:
        """Return the setting of progress bars: None shows one if stderr is a terminal."""
        return False if self.quiet else None

    @property
    def loading(self) -> dict[str, Any]:
        """Return the arguments of functions that may download or export a model."""
        return {"progress": not self.quiet, "offline": self.offline, "say": self.say}

    def note(self, text: str) -> None:
        """Print a remark to stderr, and add it to the JSON document's ``notes``."""
        self._notes.append(text)
        self.say(text)

    def say(self, text: str) -> None:
        """Print a line about the progress to stderr, unless ``--quiet`` was given."""
        if not self.quiet:
            click.echo(text, err=True)

    def answer(self, document: Mapping[str, Any], text: str) -> None:
        """Keep the document and print the text of a result, also with ``--quiet``."""
        self._keep(document)
        if not self.as_json:
            self._print(text)

    def done(self, document: Mapping[str, Any], line: str) -> None:
        """Keep the document and print a line about the work done, unless ``--quiet`` was given."""
        self._keep(document)
        if not (self.as_json or self.quiet):
            self._print(line)

    def save(self, path: str | os.PathLike[str] | None) -> None:
        """Write the document to a file, unless ``path`` is None.

        Raises:
            InputError: the file cannot be written.
        """
        if path is not None:
            from swinir_deploy.system.files import atomic_output

            with atomic_output(path) as temporary:
                temporary.write_text(self._text(), encoding="utf-8")
            self.say(f"Wrote {path}")

    def fail(self, kind: str, message: str, exit_code: int, hint: str = "") -> int:
        """Print an error, make it the document, and return the exit code.

        Args:
            kind: name of the error's class.
            message: the error, with the next step.
            exit_code: the exit code of the program.
            hint: a further line for stderr; may be empty.
        """
        click.echo(f"Error: {message}", err=True)
        if hint:
            click.echo(hint, err=True)
        self.document = {"error": {"type": kind, "message": message}, "exit_code": exit_code}
        return exit_code

    def flush(self, stdout: TextIO) -> None:
        """Print the document if ``--json`` was given and there is one.

        Raises:
            InputError: stdout cannot be written.
            BrokenPipeError: nobody reads stdout any more.
        """
        with _writing_to_stdout():
            if self.as_json and self.document is not None:
                stdout.write(self._text())
            stdout.flush()

    def _print(self, text: str) -> None:
        with _writing_to_stdout():
            click.echo(text, err=self.stdout_is_taken)

    def _keep(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        if self._notes:
            self.document["notes"] = self._notes

    def _text(self) -> str:
        return json.dumps(plain(self.document), indent=2, allow_nan=False) + "\n"

    # -------------------------------------------------------------------------- around a command

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Keep stdout for the document, and hide the libraries' warnings without ``--debug``."""
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
        text = f"Warning: {message}"
        if text not in self._notes:  # a model that several back ends open warns each time
            self.note(text)

    def explain(self, error: Exception) -> int:
        """Print an exception as a message, and return its exit code."""
        from swinir_deploy.system.packages import explain_import_error

        if self.debug:
            traceback.print_exception(error)
        if isinstance(error, click.Abort):
            ended = error.__cause__
            if isinstance(ended, Terminated):
                return self.fail("Terminated", f"{ended}. {_NOTHING_HALF}", ended.exit_code)
            return self.fail("Interrupted", f"Interrupted. {_NOTHING_HALF}", _INTERRUPTED)
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
        return self.fail(type(error).__name__, f"Unexpected error ({what}). {again}", 1)


@contextmanager
def _writing_to_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(
            f"Cannot write to stdout: {error.strerror or error}. The work is done; send its answer "
            "to a place that takes it."
        ) from error


class Stopwatch:
    """The time since its creation. As text, it is such as ``1.5 s``."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return the elapsed time in seconds."""
        return time.perf_counter() - self._started

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"


def plain(value: Any) -> Any:
    """Return a value for strict JSON: paths become text, and non-finite numbers become null.

    Raises:
        TypeError: JSON has no form for the value.
    """
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
    raise TypeError(f"JSON has no form for a value of type {type(value).__name__}")


def tell_failures(verb: str, failures: Sequence[tuple[str, str]]) -> int:
    """Print which pictures failed, and return the exit code.

    Args:
        verb: what could not be done with them, such as ``restored``.
        failures: the path of each picture, and its error.

    Returns:
        1 if there are any, else 0.
    """
    if not failures:
        return 0
    lines = [f"  {path}: {error}" for path, error in failures[:_SHOWN_FAILURES]]
    if len(failures) > _SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - _SHOWN_FAILURES} more; --json lists all")
    click.echo("\n".join([f"Error: {len(failures)} could not be {verb}:", *lines]), err=True)
    return 1


def size_text(size_bytes: int) -> str:
    """Return a size as text in decimal units, such as ``0.8 MB`` or ``12 KB``."""
    if size_bytes < 100_000:
        return f"{math.ceil(size_bytes / 1000)} KB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"


def _help_hint(error: click.UsageError) -> str:
    if error.ctx is None:
        return "Try 'swinir-deploy --help'."
    is_model_option = any("--model" in param.opts for param in error.ctx.command.params)
    is_extra = is_model_option and "unexpected extra argument" in error.message
    named = "A model is named with --model MODEL. " if is_extra else ""
    return f"{named}Try '{error.ctx.command_path} --help' for its options and an example."
