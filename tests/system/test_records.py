"""Documents that a command was given: read, or refused without a system's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.system.records import read_object

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
