"""Messages for unknown names, with the known name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "near_match", "unknown_choice"]


def unknown_choice(kind: str, value: object, choices: Iterable[str]) -> str:
    """Return the message for a value that is none of the choices.

    Args:
        kind: what the value is, such as ``precision``.
        value: the value that was given.
        choices: the values that exist, in the order in which to list them.

    Returns:
        Such as ``Unknown precision 'fp61'. Choose fp32, fp16 or bf16. Did you mean 'fp16'?``
    """
    names = list(choices)
    listed = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"Unknown {kind} {value!r}. Choose {listed}.{did_you_mean(str(value), names)}"


def did_you_mean(value: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `` Did you mean 'fp16'?`` with a leading space, or '' if no choice is similar."""
    near = near_match(value, choices, cutoff)
    return f" Did you mean {near!r}?" if near else ""


def near_match(value: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the choice that is most similar to a value, or None if none is similar enough.

    Upper and lower case count as equal.

    Args:
        value: the value that was given.
        choices: the values that exist.
        cutoff: the required similarity, from 0 to 1.
    """
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(value.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None
