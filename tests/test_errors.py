"""The tree of errors; scripts rely on the exit codes, programs on what is a kind of what."""

from __future__ import annotations

import re

import pytest

from swinir_deploy import errors

TREE = {
    "ArtifactError": ("InputError", 4),
    "BackendUnavailableError": ("SwinIRDeployError", 3),
    "CatalogError": ("UsageError", 2),
    "CheckFailedError": ("SwinIRDeployError", 1),
    "CheckpointError": ("InputError", 4),
    "DeviceMemoryError": ("InferenceError", 1),
    "DownloadError": ("SwinIRDeployError", 5),
    "InferenceError": ("SwinIRDeployError", 1),
    "InputError": ("SwinIRDeployError", 4),
    "PictureError": ("InputError", 4),
    "RuntimeClosedError": ("UsageError", 2),
    "SwinIRDeployError": ("Exception", 1),
    "UsageError": ("SwinIRDeployError", 2),
    "VideoError": ("InputError", 4),
}


@pytest.mark.parametrize("name", TREE)
def test_an_error_keeps_its_parent_and_its_exit_code(name: str) -> None:
    error = getattr(errors, name)
    assert (error.__base__.__name__, error.exit_code) == TREE[name]


def test_every_error_is_listed_here() -> None:
    assert {*TREE, "SwinIRDeployWarning"} == set(errors.__all__)


def test_the_docstring_draws_this_tree() -> None:
    parents: list[str] = []
    drawn = {}
    for indent, name, code in re.findall(
        r"^    ([│├└─ ]*)(\w+) +(\d)  ", errors.__doc__ or "", re.M
    ):
        del parents[len(indent) // 4 :]
        drawn[name] = (parents[-1] if parents else "Exception", int(code))
        parents.append(name)
    assert drawn == TREE
