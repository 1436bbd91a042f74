"""The commands and options that messages, help and documents name, found in their texts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from swinir_deploy.cli.main import COMMANDS, program

PACKAGE = Path(__file__).parents[2] / "swinir_deploy"
HOLE = "\N{WHITE SQUARE}"
"""What stands for a value that a message fills in."""

_PLAIN_POSITIONAL = re.compile(
    rf"[A-Z][A-Za-z0-9_.]*$|.*[./{HOLE}].*|tiny-.*|light-.*|medium-.*|[12]$"
)


@dataclass(frozen=True)
class Text:
    """A text for users, with the place where it stands."""

    place: str
    text: str


def texts_of_package() -> Iterator[Text]:
    """Yield all strings of the package except docstrings, with holes for what is filled in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        # The docstring of a command is its help.
        is_cli = path.parent.name == "cli"
        inside: set[int] = set()
        for node in ast.walk(tree):
            if id(node) in inside or (id(node) in docstrings and not is_cli):
                continue
            place = f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                inside |= {id(part) for part in ast.walk(node) if part is not node}
                yield Text(place, "".join(_piece(part) for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield Text(place, node.value)


def _piece(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else HOLE


def texts_of_documents() -> Iterator[Text]:
    """Yield the commands in code of the README and of docs/, continued lines joined."""
    root = PACKAGE.parent
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        content = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.finditer(r"^```.*?^```", content, re.MULTILINE | re.DOTALL):
            for command in re.finditer(r"^swinir-deploy .*$", block[0], re.MULTILINE):
                yield Text(path.name, command[0])
        for command in re.finditer(r"`(swinir-deploy [^`\n]*)`", content):
            yield Text(path.name, command[1])


@dataclass(frozen=True)
class Suggestion:
    """A command line that a text names: the words behind ``swinir-deploy``."""

    place: str
    words: tuple[str, ...]


def suggestions_in(text: Text) -> Iterator[Suggestion]:
    """Yield the command lines in a text, each up to its end or to the first word of prose."""
    for match in re.finditer(r"('?)swinir-deploy ([^\n]*)", text.text):
        rest = match[2]
        if match[1]:
            rest = re.split(r"'(?:[\s.,;:)]|$)", rest)[0]
        words = _command_words(re.split(r" #|  \[|; |\|", rest)[0].split())
        quoted = match[1] or text.text[: match.start()].strip(" `") == ""
        is_command = words and re.fullmatch("[a-z]+", words[0])
        if is_command and (quoted or words[0] in COMMANDS):  # else it is prose
            yield Suggestion(text.place, tuple(word for word in words if word != "--help"))


def _command_words(words: list[str]) -> list[str]:
    taken: list[str] = []
    command: click.Command | None = None
    wants_value = 0
    for number, word in enumerate(words):
        bare = word.strip("'\"").rstrip(".,;:)'`\"") if word not in (".", "..") else word
        ends = word != bare and word[-1:] in ".,;:)"
        if number == 0:
            taken.append(bare)
            name = bare if bare in COMMANDS else None
            command = program.get_command(click.Context(program), name) if name else None
        elif wants_value:
            taken.append(bare)
            wants_value -= 1
        elif bare.startswith("-") and bare != "-":
            taken.append(bare)
            option = option_of(command, bare.partition("=")[0])
            if option is not None and not option.is_flag and "=" not in bare:
                wants_value = option.nargs
        elif isinstance(command, click.Group) and bare in command.commands:
            taken.append(bare)
            command = command.commands[bare]
        elif _PLAIN_POSITIONAL.match(bare) and not word.startswith("("):
            taken.append(bare)
        elif re.fullmatch(r"[a-z0-9-]+/?", bare) and taken[0] in ("restore", "cache", "bundle"):
            if bare in ("and", "or", "names", "lists", "says", "made", "keeps", "on", "does"):
                break
            taken.append(bare)
        else:
            break
        if ends:
            break
    return taken


def option_of(command: click.Command | None, name: str) -> click.Option | None:
    """Return the option of a command that has this name, or None."""
    for param in command.params if command is not None else []:
        if isinstance(param, click.Option) and name in (*param.opts, *param.secondary_opts):
            return param
    return None


def leaf(words: tuple[str, ...]) -> tuple[click.Command, list[str]]:
    """Return the command that the words name, and the arguments behind it."""
    command = program.get_command(click.Context(program), words[0])
    assert command is not None, f"there is no command {words[0]}"
    rest = list(words[1:])
    while isinstance(command, click.Group) and rest:
        found = command.commands.get(rest[0])
        assert found is not None, f"{command.name} has no command {rest[0]}"
        command, rest = found, rest[1:]
    return command, rest


def filled(command: click.Command, words: list[str]) -> list[str]:
    """Return the arguments with values in the holes that the options take."""
    arguments: list[str] = []
    last: click.Option | None = None
    for word in words:
        if HOLE in word or word.isupper():
            arguments.append(_sample(last, word))
        else:
            arguments.append(word)
        own = option_of(command, word)
        last = own if own is not None and not own.is_flag else None
    return arguments


def _sample(option: click.Option | None, word: str) -> str:
    if option is None:
        return "x.onnx"
    choices = getattr(option.type, "choices", None)
    if choices:
        return str(next(iter(choices)))
    if isinstance(option.type, (click.types.IntRange, click.types.IntParamType)):
        return "2"
    if isinstance(option.type, (click.types.FloatRange, click.types.FloatParamType)):
        return "0.5"
    if option.type.name in ("HxW", "SIZE"):
        return {"HxW": "64x64", "SIZE": "2GB"}[option.type.name]
    if option.type.name == "KEY=VALUE":
        return "a=1"
    return word.replace(HOLE, "x") or "x"


def all_options() -> set[str]:
    """Return the names of all options of all commands."""
    names = {"--help", "--version"}
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        members = command.commands.values() if isinstance(command, click.Group) else [command]
        for member in members:
            for param in member.params:
                names |= {*param.opts, *param.secondary_opts}
    return names
