"""Read the name of a device: a kind such as ``cuda``, and a number if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from swinir_deploy.errors import UsageError

__all__ = ["Device", "parse_device", "split_device", "unknown_device"]


class Device(NamedTuple):
    """A device.

    Attributes:
        kind: such as ``cpu`` or ``cuda``.
        number: counted from 0; 0 if the name has no number.
    """

    kind: str
    number: int = 0


def parse_device(
    name: str, kinds: Sequence[str], examples: str, owner: str, separator: str = ":"
) -> Device:
    """Read a name such as ``cuda`` or ``cuda:1``.

    Args:
        name: the name that was given.
        kinds: the kinds that exist.
        examples: the names to show in the message, such as ``cpu, cuda or cuda:0``.
        owner: whose devices these are, for the message, such as ``ort`` or ``an engine``.
        separator: the sign before the number.

    Raises:
        UsageError: there is no such kind, or the text after the separator is not a number.
    """
    kind, _, number = name.partition(separator)
    if kind not in kinds or (number and not number.isdecimal()):
        raise UsageError(unknown_device(name, examples, owner))
    return split_device(name, separator)


def split_device(name: str, separator: str = ":") -> Device:
    """Split a device name that is known to be valid, such as that of an open model."""
    kind, _, number = name.partition(separator)
    return Device(kind, int(number) if number.isdecimal() else 0)


def unknown_device(name: str, examples: str, owner: str) -> str:
    """Return the message for a device name that a back end does not know."""
    return f"Unknown device {name!r} for {owner}. Give {examples}."
