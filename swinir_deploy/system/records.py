"""JSON documents that a command was given: read, or refused in words that help."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from swinir_deploy.errors import InputError

__all__ = ["read_object"]


def read_object(
    path: str | os.PathLike[str], what: str, advice: str, error: type[InputError] = InputError
) -> dict[str, Any]:
    """The object that a file holds.

    Args:
        path: of the file.
        what: it should be, such as ``a report of 'swinir-deploy bench'``.
        advice: the next step, a sentence.
        error: what is raised.

    Raises:
        InputError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    name = os.fspath(path)
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as cause:
        raise error(f"Cannot read {name}: {cause.strerror or cause}. {advice}") from cause
    except (ValueError, RecursionError) as cause:  # also: other bytes than UTF-8, nested too deep
        raise error(f"{name} is not {what}: it is not JSON. {advice}") from cause
    if not isinstance(values, dict):
        kinds = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
        kind = kinds.get(type(values), "a number")
        raise error(f"{name} is not {what}: it holds {kind}. {advice}")
    return values
