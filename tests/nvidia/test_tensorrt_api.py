"""Every member of the library that the code touches exists in the bindings that it is touched on.

mypy lets the code touch what :mod:`swinir_deploy.nvidia.tensorrt_api` lists and nothing else.
Here that list is held to real bindings: those of TensorRT for RTX as installed, and those of
TensorRT 10.x and 11.x as tools/record_tensorrt_api.py read them from their wheels (their GPU
libraries are gigabytes, so CI does not install them).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swinir_deploy.nvidia import tensorrt_api
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, load_library

MODULE = "TensorRTModule"
RECORDS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "fakes/tensorrt_api.json").read_text()
)
BY_VERSION = {record["wheel"].split("-cp")[0]: record for record in RECORDS}


def used_names() -> dict[str, set[str]]:
    """Class of the bindings -> the members that our protocol of that name has."""
    used = {}
    for name, protocol in vars(tensorrt_api).items():
        if name.startswith("_"):  # second names of the same
            continue
        if (
            getattr(protocol, "_is_protocol", False)
            and protocol.__module__ == tensorrt_api.__name__
        ):
            members = set(protocol.__annotations__) | set(vars(protocol))
            used[name] = {m for m in members if not m.startswith("_") or m == "__version__"}
    return used


def missing_names(flavour: str, has: dict[str, set[str]]) -> list[str]:
    """What the code uses on ``flavour`` and its bindings lack."""
    missing = []
    for name, members in used_names().items():
        if flavour not in tensorrt_api.ONLY_IN.get(name, {flavour}):
            continue
        for member in members:
            full = member if name == MODULE else f"{name}.{member}"
            if full in tensorrt_api.NOT_IN_OLD_VERSIONS:
                continue
            if flavour in tensorrt_api.ONLY_IN.get(full, {flavour}) and member not in has.get(
                name, set()
            ):
                missing.append(full)
    return sorted(missing)


def test_the_protocols_are_found() -> None:
    used = used_names()
    assert {"Builder", "IBuilderConfig", "ICudaEngine", "OnnxParser", MODULE} <= set(used)
    assert "build_serialized_network" in used["Builder"]
    assert "num_compute_capabilities" in used["IBuilderConfig"]


@pytest.mark.parametrize("record", RECORDS, ids=BY_VERSION)
def test_tensorrt_has_what_is_used_on_it(record: dict[str, Any]) -> None:
    has = {name: set(text.split()) for name, text in record["classes"].items()}
    assert missing_names("tensorrt", has) == []


def test_the_records_reach_from_the_oldest_version_to_the_current_majors() -> None:
    versions = [tuple(map(int, record["version"].split(".")[:2])) for record in RECORDS]
    assert min(versions) == FLAVOURS["tensorrt"].oldest
    assert {version[0] for version in versions} == {10, 11}


def test_tensorrt_for_rtx_has_what_is_used_on_it() -> None:
    pytest.importorskip("tensorrt_rtx")
    api = load_library("rtx").api
    has = {name: set(dir(getattr(api, name, None))) for name in used_names() if name != MODULE}
    assert missing_names("rtx", {**has, MODULE: set(dir(api))}) == []


def test_what_rtx_alone_has_is_missing_elsewhere() -> None:
    """Else ONLY_IN would keep code from working on the others."""
    has = [set(r["classes"]["IBuilderConfig"].split()) for r in RECORDS]
    for full in tensorrt_api.ONLY_IN:
        name, _, member = full.partition(".")
        if name == "IBuilderConfig":
            assert not any(member in members for members in has)


@pytest.mark.parametrize("full", sorted(tensorrt_api.NOT_IN_OLD_VERSIONS))
def test_what_old_versions_lack_is_in_the_current_one(full: str) -> None:
    name, _, member = full.partition(".")
    newest = max(RECORDS, key=lambda r: tuple(map(int, r["version"].split("."))))
    oldest = min(RECORDS, key=lambda r: tuple(map(int, r["version"].split("."))))
    assert member in newest["classes"][name].split()
    assert member not in oldest["classes"][name].split()


def test_a_missing_member_is_seen() -> None:
    record = BY_VERSION["tensorrt_cu12_bindings-10.3.0"]
    has = {name: set(text.split()) for name, text in record["classes"].items()}
    has["Builder"] -= {"create_network"}
    del has["OnnxParser"]
    found = missing_names("tensorrt", has)
    assert "Builder.create_network" in found
    assert "OnnxParser.parse" in found
