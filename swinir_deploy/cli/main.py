"""Entry point of ``swinir-deploy``: find a command by its name, run it, return the exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn, TextIO

import click

from swinir_deploy._version import __version__
from swinir_deploy.cli.output import Output
from swinir_deploy.cli.streams import (
    is_descriptor_1,
    prepare_streams,
    silence_stdout,
    take_stdout,
)
from swinir_deploy.errors import InputError
from swinir_deploy.system.choices import near_match
from swinir_deploy.system.termination import clean_up_when_terminated

__all__ = ["COMMANDS", "main", "program"]

NAME = "swinir-deploy"

COMMANDS = {
    "models": "List the models of the catalogue.",
    "info": "Describe a checkpoint, an exported file, an engine or a model.",
    "export": "Export a model to an ONNX file that has been checked.",
    "adopt": "Take an ONNX file that another program wrote.",
    "build": "Build a TensorRT engine from an exported model.",
    "bundle": "Write a folder to ship with a C or C++ program.",
    "inspect": "Compile a model without a GPU and describe the engine.",
    "restore": "Restore a picture, or a folder of pictures.",
    "verify": "Compare an exported model with the network it came from.",
    "eval": "Measure a model by the paper's protocol.",
    "bench": "Time models and back ends against each other.",
    "serve": "Restore pictures for others over HTTP.",
    "report": "Join saved reports into one HTML page to hand over.",
    "cache": "List or remove the engines and exports that are kept.",
    "demo": "Export, restore, compare and time a built-in model.",
}
"""Name of a command -> its summary, so that ``--help`` does not import the commands."""

_OTHER_NAMES = {
    "adopt": ("import", "take"),
    "bench": ("benchmark", "time", "perf"),
    "build": ("compile", "engine", "tensorrt", "trt", "trtexec"),
    "bundle": ("pack", "package", "ship", "embed"),
    "cache": ("engines",),
    "eval": ("evaluate", "measure", "psnr", "score"),
    "export": ("convert", "onnx"),
    "info": ("show", "describe"),
    "models": ("list", "ls", "catalog", "catalogue"),
    "serve": ("server", "http", "api", "service"),
    "report": ("html", "page", "join", "summary"),
    "restore": ("run", "upscale", "enhance", "infer", "predict", "denoise", "sr"),
    "verify": ("check", "test", "compare", "validate"),
}

EPILOG = """\b
Examples:
  swinir-deploy export --task sr --scale 4
  swinir-deploy restore photo.png photo-x4.png --model tiny-sr-x4.onnx
  swinir-deploy models --task denoise

\b
Exit codes:
  0  done
  1  a check failed, or a picture of a folder could not be restored
  2  wrong usage: an option, a name or a combination that does not exist
  3  a back end, a package or hardware is missing
  4  bad input: a file that is missing, broken or of the wrong kind
  5  network: a download failed, or is needed but --offline was given
  130  interrupted (Ctrl-C); 143 by SIGTERM, 129 by SIGHUP

'swinir-deploy COMMAND --help' describes a command. Every command takes --json (one JSON document
on stdout), --quiet, --offline and --debug.
"""


class Program(click.Group):
    """The group of all commands. A command is imported when it is first used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of a typical use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"swinir_deploy.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in ``--help`` from the summaries of this module."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Without any, print the help and raise a usage error.

        Raises:
            click.UsageError: there is no command, or an option before it is unknown.
        """
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            raise click.UsageError("Missing command.", ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            given = args[0].partition("=")[0]
            ctx.fail(
                f"No such option: {error.option_name}. Give options behind the command: "
                f"{NAME} COMMAND {given}"
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command as click does; the error for an unknown one names a near match."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = _near_command(name)
            hint = f" Did you mean '{near}'?" if near else ""
            *others, last = COMMANDS
            ctx.fail(f"Unknown command {name!r}.{hint} Choose {', '.join(others)} or {last}.")
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command, print its JSON document or the error, and exit with the exit code."""
        arguments = list(sys.argv[1:] if args is None else args)
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        out = Output("--json" in options and "--help" not in options, "--debug" in options)
        out.arguments = tuple(arguments)
        stdout = sys.stdout
        is_process = is_descriptor_1(stdout)
        if is_process and out.as_json:
            stdout = take_stdout()
        try:
            with out.surroundings():
                code = self._run(out, arguments, prog_name or NAME, **extra)
            try:
                out.flush(stdout)
            except InputError as error:
                code = out.explain(error)
        except BrokenPipeError:
            code = 1
        if is_process and code:
            _drop_unwritten(stdout)
        sys.exit(code)

    def _run(self, out: Output, arguments: list[str], prog_name: str, **extra: Any) -> int:
        extra.pop("standalone_mode", None)
        try:
            code = super().main(arguments, prog_name, standalone_mode=False, obj=out, **extra)
        except BrokenPipeError:
            raise
        except Exception as error:
            return out.explain(error)
        return code if isinstance(code, int) else 0


def _drop_unwritten(stdout: TextIO) -> None:
    """Close stdout, and forget what it does not take; Python would try again at the end."""
    try:
        stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            stdout.close()
        silence_stdout()


def _near_command(name: str) -> str | None:
    """Return the command that was probably meant, or None."""
    alias = (command for command, names in _OTHER_NAMES.items() if name in names)
    return near_match(name, COMMANDS, cutoff=0.55) or next(alias, None)


@click.command(
    NAME,
    cls=Program,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    __version__, "-V", "--version", prog_name=NAME, message="%(prog)s %(version)s"
)
def program() -> None:
    """SwinIR from a checkpoint to production: checked ONNX files and a fast runtime.

    Super-resolution, denoising and JPEG artefact removal. The built-in models work offline;
    official ones are downloaded when they are first used.
    """


def main() -> NoReturn:
    """Run the console script ``swinir-deploy``."""
    prepare_streams()
    clean_up_when_terminated()
    program.main()
