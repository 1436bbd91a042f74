"""Read records of this package from JSON files, and check them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from swinir_deploy.errors import InputError

__all__ = ["read_object", "record_of"]

RecordT = TypeVar("RecordT")

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
"""The names of JSON types in msgspec's messages, and in the messages of this package."""


def read_object(
    path: str | os.PathLike[str], what: str, advice: str, error: type[InputError] = InputError
) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Args:
        path: the JSON file.
        what: what the file should be, such as ``a report of 'swinir-deploy bench'``.
        advice: the next step, as a sentence.
        error: the class of the error to raise.

    Raises:
        InputError: the file cannot be read, is not JSON, or does not hold an object.
    """
    name = os.fspath(path)
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as cause:
        raise error(f"Cannot read {name}: {cause.strerror or cause}. {advice}") from cause
    except (ValueError, RecursionError) as cause:  # also: not UTF-8, or nested too deeply
        raise error(f"{name} is not {what}: it is not JSON. {advice}") from cause
    if not isinstance(values, dict):
        kinds = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
        kind = kinds.get(type(values), "a number")
        raise error(f"{name} is not {what}: it holds {kind}. {advice}")
    return values


def record_of(
    values: Mapping[str, Any],
    kind: type[RecordT],
    prefix: str,
    advice: str,
    error: type[InputError] = InputError,
) -> RecordT:
    """Return a dataclass from the values of a JSON object.

    The types of the values are checked, also in nested records. Unknown keys are ignored.

    Args:
        values: the object, as ``json.loads`` returns it.
        kind: the dataclass.
        prefix: the beginning of the message, such as ``x4.engine.json: ``.
        advice: the next step, as a sentence.
        error: the class of the error to raise.

    Raises:
        InputError: a field is missing or has the wrong type. The message names the first one.
    """
    import msgspec  # takes 12 ms to import, and only readers of records need it

    try:
        return msgspec.convert(values, kind)
    except (msgspec.ValidationError, RecursionError) as cause:
        raise error(f"{prefix}{_reason(str(cause), values)}. {advice}") from cause


def _reason(message: str, values: Any) -> str:
    """Return msgspec's message with the actual value: ``rows[0].batch is 'x'; it must be ...``."""
    reason, _, place = message.rstrip("`").partition(" - at `$")
    missing = re.fullmatch("Object missing required field `(.*)`?", reason.rstrip("`"))
    where = place.lstrip(".")
    if missing:
        return f"{where or 'it'} has no '{missing[1]}'"
    expected = re.fullmatch("Expected (.*?)(?:, got .*)?", reason)
    if expected is None or not where or "[...]" in where:  # a key that msgspec does not name
        return f"{where}: {reason}" if where else reason
    words = re.sub(r"`([^`]*)`", _in_words, expected[1])
    return f"{where} is {_at(values, where)!r:.60}; it must be {words}"


def _in_words(kinds: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds[1].split(" | "))


def _at(values: Any, where: str) -> Any:
    """Return the value at a path such as ``rows[0].batch``."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", where):
        values = values[int(index) if index else name]
    return values
