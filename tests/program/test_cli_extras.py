"""On machines that have only some of the optional packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import run_process
from PIL import Image

from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.system import packages as extras
from swinir_deploy.system.packages import explain_import_error, require

EXPORTERS = ("torch", "onnx", "onnxscript", "onnxsim", "safetensors")


def without(*names: str) -> str:
    return f"for name in {names!r}: sys.modules[name] = None"


def test_an_onnx_file_needs_onnxruntime_only(
    onnx_file: Path, picture: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.png"
    run = run_process(["restore", picture, target, "-m", onnx_file], without(*EXPORTERS))
    assert run.code == 0, run.stderr
    assert Image.open(target).size == (28, 22)


def test_a_built_in_model_needs_onnxruntime_only(picture: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    named = ["restore", picture, target, "--task", "sr", "--scale", "4"]
    run = run_process(named, without(*EXPORTERS))
    assert run.code == 0, run.stderr
    assert Image.open(target).size == (56, 44)
    bench = ["bench", "-m", "tiny-sr-x4", "--backend", "ort", "--shape", "8x8", "--runs", "1"]
    assert run_process(bench, without(*EXPORTERS)).code == 0


def test_info_and_bench_of_an_onnx_file_without_onnx(onnx_file: Path) -> None:
    run = run_process(["info", onnx_file, "--json"], without(*EXPORTERS))
    assert run.code == 0, run.stderr
    assert run.document["nodes"] is None
    assert run.document["opset"] == 20
    assert run.document["inputs"] == [
        {"name": "input", "dtype": "float32", "shape": ["batch", 3, "height", "width"]}
    ]
    run = run_process(
        ["bench", "-m", onnx_file, "--shape", "8x8", "--runs", "1", "--json"], without(*EXPORTERS)
    )
    assert run.code == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["export", "--task", "sr", "--scale", "4"], EXPORTERS, "export"),
        (["export", "--task", "sr", "--scale", "4"], ("onnxsim",), "export"),
        (["demo", "-o", "{tmp}"], EXPORTERS, "export"),
        (["verify", "{onnx}", "-m", "tiny-sr-x4"], EXPORTERS, "export"),
        (["info", "{checkpoint}"], EXPORTERS, "export"),
        (["restore", "{picture}", "{tmp}/o.png", "-m", "{checkpoint}"], EXPORTERS, "export"),
        (["bench", "-m", "{checkpoint}", "--backend", "ort"], EXPORTERS, "export"),
        (["restore", "{picture}", "{tmp}/o.png", "-m", "{onnx}"], ("onnxruntime",), "ort"),
        (["info", "{onnx}"], ("onnx", "onnxruntime"), "ort"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(
    arguments: list[str],
    missing: tuple[str, ...],
    extra: str,
    onnx_file: Path,
    checkpoint: Path,
    picture: Path,
    tmp_path: Path,
) -> None:
    places = {"tmp": tmp_path / "new", "onnx": onnx_file, "checkpoint": checkpoint}
    (tmp_path / "new").mkdir()
    filled = [text.format(**places, picture=picture) for text in arguments]
    run = run_process([*filled, "--json"], without(*missing))
    assert run.code == 3, run.stderr
    assert f"pip install 'swinir-deploy[{extra}]'" in run.document["error"]["message"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_package_that_is_there_and_broken() -> None:
    error = explain_import_error(ImportError("libfoo.so: no such file", name="torch.lib"))
    assert error is not None
    assert "torch is installed and cannot be imported: libfoo.so" in str(error)


def test_other_import_errors_are_not_explained() -> None:
    assert explain_import_error(ImportError("no module", name="numpy.missing")) is None
    assert explain_import_error(ImportError("no name")) is None


def test_require(monkeypatch: pytest.MonkeyPatch) -> None:
    require("export", "This test")
    monkeypatch.setattr(extras, "is_importable", lambda name: name != "tensorrt_rtx")
    with pytest.raises(BackendUnavailableError, match=r"This test needs .*tensorrt_rtx"):
        require("rtx", "This test")
