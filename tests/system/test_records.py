"""Documents that a command was given: read, or refused without a system's own words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.system.records import read_object, record_of

WHAT, ADVICE = "a report", "Write one."


def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, "\u00e4"]}', encoding="utf-8")
    assert read_object(path, WHAT, ADVICE) == {"a": [1, "\u00e4"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe{}", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[1]", "it holds a list"),
        (b'"a"', "it holds a text"),
        (b"null", "it holds null"),
        (b"3.5", "it holds a number"),
        (b"true", "it holds a truth value"),
    ],
)
def test_everything_else_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_object(path, WHAT, ADVICE)
    assert str(error.value) == f"{path} is not a report: {reason}. Write one."
    assert error.value.exit_code == 4


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as error:
        read_object(tmp_path / "none.json", WHAT, ADVICE, ArtifactError)
    named = f"Cannot read {tmp_path / 'none.json'}: No such file or directory. Write one."
    assert str(error.value) == named
    with pytest.raises(InputError, match=r"Cannot read .*: Is a directory\. Write one\."):
        read_object(tmp_path, WHAT, ADVICE)


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, int]

    def __post_init__(self) -> None:
        if self.sizes[0] > self.sizes[1]:
            raise ValueError("sizes must grow")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: tuple[Inner, ...]
    speed: float | None = None


def outer(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "inner": [{"sizes": [1, 2]}], **changes}


def test_a_record_is_what_was_written() -> None:
    expected = Outer("a", (Inner((1, 2)),))
    assert record_of(outer(unknown=1), Outer, "f: ", "Write it again.") == expected
    assert record_of(outer(speed=2), Outer, "f: ", "Write it again.").speed == 2.0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (outer(name=5), "name is 5; it must be a text"),
        (outer(speed="x"), "speed is 'x'; it must be a number or null"),
        (outer(speed=True), "speed is True; it must be a number or null"),
        (outer(inner={}), "inner is {}; it must be a list"),
        (outer(inner=[{"sizes": [1]}]), "inner[0].sizes is [1]; it must be a list of length 2"),
        (outer(inner=[{"sizes": [1, "2"]}]), "inner[0].sizes[1] is '2'; it must be a whole number"),
        (outer(inner=[{}]), "inner[0] has no 'sizes'"),
        (outer(inner=[{"sizes": [2, 1]}]), "inner[0]: sizes must grow"),
        ({}, "it has no 'name'"),
    ],
)
def test_the_value_that_does_not_fit_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        record_of(values, Outer, "f.json: ", "Write it again.", ArtifactError)
    assert str(caught.value) == f"f.json: {said}. Write it again."


@dataclass(frozen=True)
class Named:
    entries: dict[str, tuple[int, ...]]


def test_a_value_under_a_key_of_its_own() -> None:
    """The library that checks does not tell the key, so the value cannot be shown."""
    with pytest.raises(ArtifactError) as caught:
        record_of({"entries": {"x": [1, "a"]}}, Named, "f.json: ", "Write it.", ArtifactError)
    assert str(caught.value) == "f.json: entries[...][1]: Expected `int`, got `str`. Write it."
