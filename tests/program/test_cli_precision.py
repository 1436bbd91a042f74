"""``--precision`` from the command line to what ``info`` and ``verify`` say of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Program
from PIL import Image


def test_a_half_precision_file(swinir: Program, checkpoint: Path) -> None:
    Path("own").mkdir()
    Image.effect_noise((30, 20), 60).save("own/noise.png")
    run = swinir(
        *("export", "--model", checkpoint, "-o", "half.onnx", "--precision", "fp16"),
        *("--calibrate", "own", "--json"),
    )
    metadata = run.document["metadata"]
    assert metadata["precision"] == "fp16"
    assert metadata["precision_report"]["pictures"] == "1 given, 5 hostile"
    assert all(check["psnr_db"] >= 55 for check in run.document["checks"])

    said = swinir("info", "half.onnx").stdout
    assert "fp16, proved on 6 pictures, at least " in said
    verified = swinir("verify", "half.onnx", "--model", checkpoint)
    assert "on ort cpu, fp16 against small" in verified.stdout
    assert "limit: PSNR >= 55 dB" in verified.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--precision", "fp8"), 2, "fp16"),
        (("--precision", "bf16", "--opset", "20"), 2, "Opset 20 has no BF16 convolutions"),
        (("--calibrate", "."), 2, "FP32 needs none"),
        (("--precision", "fp16", "--calibrate", "gone"), 4, "There is no folder gone"),
    ],
)
def test_what_is_refused(
    swinir: Program, checkpoint: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    run = swinir("export", "--model", checkpoint, "-o", "half.onnx", *arguments, code=code)
    assert message in run.stderr
    assert not Path("half.onnx").exists()
