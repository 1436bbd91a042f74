"""Files that are too new for a runtime are told as such; the words are the runtimes' own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.needed_versions import (
    OPENVINO_FOR_ATTENTION,
    OPENVINO_FOR_OPSET,
    ORT_FOR_OPSET,
    needed_version,
    openvino_gives_wrong_pixels,
    openvino_too_old,
    ort_too_old,
)

DOCUMENT = Path(__file__).parents[2] / "docs/runtimes.md"

IR = (
    "[ONNXRuntimeError] : 1 : FAIL : Load model from x.onnx failed:/onnxruntime_src/onnxruntime/"
    "core/graph/model.cc:179 Unsupported model IR version: 11, max supported IR version: 9"
)
OPSET = (
    "[ONNXRuntimeError] : 1 : FAIL : ONNX Runtime only *guarantees* support for models stamped "
    "with official released onnx opset versions. Opset 22 is under development and support for "
    "this is limited."
)
"""What ONNX Runtime 1.17.3 said of opset 23, and 1.20.1 of opset 22."""


@pytest.mark.parametrize(
    ("reason", "installed", "opset"), [(IR, "1.17.3", 23), (OPSET, "1.20.1", 22)]
)
def test_an_old_onnx_runtime(reason: str, installed: str, opset: int) -> None:
    message = ort_too_old(reason, installed, "x.onnx")
    assert message is not None
    assert message.startswith(
        f"x.onnx needs ONNX Runtime >= {needed_version(opset, ORT_FOR_OPSET)};"
    )
    assert "damaged" not in message


TRANSLATION = (
    "FrontEnd API failed with GeneralFailure: Errors during ONNX translation: While validating "
    "ONNX node '<Node(DepthToSpace): upsample.1/DepthToSpace>': Check 'shape.rank().is_static()'"
)
ATTENTION = "OpenVINO does not support the following ONNX operations: Attention"
"""What OpenVINO 2024.0 said of every export, and 2025.3 of one for ONNX Runtime."""


@pytest.mark.parametrize(
    ("reason", "installed", "needed"),
    [
        (TRANSLATION, "2024.0.0-14509-34caeefd078-releases/2024/0", "2024.2"),
        (ATTENTION, "2025.3.0-19807", "{}.{}".format(*OPENVINO_FOR_ATTENTION)),
    ],
)
def test_an_old_openvino(reason: str, installed: str, needed: str) -> None:
    message = openvino_too_old(reason, installed, "x.onnx")
    assert message is not None
    assert message.startswith(f"x.onnx needs OpenVINO >= {needed};")


@pytest.mark.parametrize("installed", ["2026.1.0-21000", "2026.2.1"])
def test_an_openvino_that_computes_attention_wrongly(installed: str) -> None:
    made = ArtifactMetadata("tensor", 4, 3, 8, target="ort", opset=23)
    assert "wrongly" in (openvino_gives_wrong_pixels(made, installed, "x.onnx") or "")
    assert openvino_gives_wrong_pixels(made, "2026.3.0", "x.onnx") is None
    for other in (replace(made, target="any"), replace(made, opset=20)):
        assert openvino_gives_wrong_pixels(other, installed, "x.onnx") is None


def test_what_has_other_reasons_is_no_matter_of_age() -> None:
    assert ort_too_old("INVALID_PROTOBUF : Protobuf parsing failed", "1.17.3", "x.onnx") is None
    assert ort_too_old(IR, "9.0.0", "x.onnx") is None
    assert openvino_too_old("Error parsing protobuf", "2024.0.0", "x.onnx") is None


def table(title: str) -> dict[tuple[int, ...], dict[str, str]]:
    """The rows of docs/runtimes.md: the first version of each -> column -> cell."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {title} | opset"))
    head = [cell.strip() for cell in lines[first].strip("|").split("|")]
    rows = {}
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        version = tuple(map(int, re.findall(r"\d+", cells[0])[:2]))
        rows[version] = dict(zip(head, cells, strict=True))
    return rows


@pytest.mark.parametrize(
    ("title", "known"), [("ONNX Runtime", ORT_FOR_OPSET), ("OpenVINO", OPENVINO_FOR_OPSET)]
)
def test_the_versions_are_those_that_were_tried(title: str, known: dict[int, object]) -> None:
    """The first row that says yes to an operator set is the version that messages name."""
    rows = table(title)
    for opset in range(17, 24):
        first = min(version for version, row in rows.items() if row[f"opset {opset}"] == "yes")
        assert ".".join(map(str, first)) == needed_version(opset, known), opset  # type: ignore[arg-type]


def test_the_operator_attention_is_in_the_table() -> None:
    rows = table("OpenVINO")
    first = min(version for version, row in rows.items() if row["ort"] == "yes")
    assert first == OPENVINO_FOR_ATTENTION
