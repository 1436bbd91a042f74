"""Building with the real TensorRT for RTX, which needs no GPU for it."""

from __future__ import annotations

import _thread
import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from engine_models import SMALL, write_model

from swinir_deploy.artifacts.engine import read_engine_metadata, sidecar_path
from swinir_deploy.artifacts.engine_cache import EngineCache
from swinir_deploy.errors import (
    ArtifactError,
    BackendUnavailableError,
    InputError,
    UsageError,
)
from swinir_deploy.exporters.tensorrt import build as build_module
from swinir_deploy.exporters.tensorrt.build import build_engine, log_path
from swinir_deploy.exporters.tensorrt.onnx_input import read_source
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.progress import BuildProgress, interruptible
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest

pytest.importorskip("tensorrt_rtx")

TILE = ShapeRequest(tile_px=16, batch=(1, 2, 2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("engines") / "small.onnx")


def changed(model: Path, path: Path, **changes: Any) -> Path:
    """A copy of ``model`` with other metadata."""
    copy = onnx.load(model)
    metadata = replace(read_source(model).metadata, **changes)
    onnx.helper.set_model_props(copy, metadata.to_props())
    onnx.save(copy, path)
    return path


@pytest.mark.slow
def test_an_engine_and_its_sidecar(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.engine"
    report = build_engine(model, "rtx:sm89,sm86", output, shapes=TILE, progress=False)
    metadata = read_engine_metadata(output, check_hash=True)
    assert metadata == report.metadata
    assert output.read_bytes()[1:4] == b"trt", "a bare plan begins with the library's own mark"
    assert metadata.architectures == ("sm86", "sm89")
    assert metadata.onnx_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert metadata.model == read_source(model).metadata
    assert metadata.profiles[0].max == (2, 3, 16, 16)
    assert metadata.activation_bytes > 0
    assert metadata.gpu_name == ""
    assert len(metadata.library_version.split(".")) == 4
    assert not report.from_cache
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {log_path(output).name} == {"x.engine", "x.engine.json"}


def test_two_tile_profiles_in_one_engine(model: Path, tmp_path: Path) -> None:
    shapes = ShapeRequest(tile_px=(16, 32), batch=(1, 2, 2))
    report = build_engine(model, "rtx:sm89", tmp_path / "a.engine", shapes=shapes, progress=False)
    sides = [(profile.min[2:], profile.max[2:]) for profile in report.metadata.profiles]
    assert sides == [((16, 16), (16, 16)), ((32, 32), (32, 32))]
    one = build_engine(
        *(model, "rtx:sm89", tmp_path / "b.engine"),
        shapes=ShapeRequest(tile_px=16, batch=(1, 2, 2)),
        progress=False,
    )
    assert report.key != one.key


def test_the_second_build_comes_from_the_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EngineCache(tmp_path / "cache")
    first = build_engine(
        model, "rtx:sm89", tmp_path / "a.engine", shapes=TILE, cache=cache, progress=False
    )
    monkeypatch.setattr(build_module, "compile_model", None)  # would fail when called
    copy = tmp_path / "renamed.onnx"
    copy.write_bytes(model.read_bytes())
    log_path(tmp_path / "b.engine").write_text("of an engine that lay there before")
    again = build_engine(
        copy, "rtx:sm89", tmp_path / "b.engine", shapes=TILE, cache=cache, progress=False
    )
    assert again.from_cache
    assert not log_path(tmp_path / "b.engine").exists()
    assert again.metadata.onnx_name == "renamed.onnx"
    assert (tmp_path / "b.engine").read_bytes() == (tmp_path / "a.engine").read_bytes()
    assert read_engine_metadata(tmp_path / "b.engine") == again.metadata
    with pytest.raises(TypeError):  # another option is another engine
        build_engine(
            model,
            "rtx:sm89",
            tmp_path / "c.engine",
            shapes=TILE,
            options=BuildOptions(opt_level=1),
            cache=cache,
            progress=False,
        )
    assert first.key == again.key
    assert not (tmp_path / "c.engine").exists()


def test_a_graph_for_something_else_is_refused_with_the_export(model: Path, tmp_path: Path) -> None:
    other = changed(model, tmp_path / "other.onnx", target="ort", model_id="light-sr-x2")
    with pytest.raises(ArtifactError, match=r"export light-sr-x2 --for tensorrt"):
        build_engine(other, "rtx:sm89", tmp_path / "x.engine", shapes=TILE)
    assert not (tmp_path / "x.engine").exists()
    build_engine(
        other, "rtx:sm89", tmp_path / "x.engine", shapes=TILE, any_graph=True, progress=False
    )
    assert read_engine_metadata(tmp_path / "x.engine").model.target == "ort"


def test_fp32_is_said_to_be_slow(model: Path, tmp_path: Path) -> None:
    fp32 = changed(model, tmp_path / "m.onnx", precision="fp32")
    note = read_source(fp32).precision_note()
    assert note is not None
    assert "--precision fp16" in note
    assert read_source(model).precision_note() is None


def test_the_node_that_the_parser_rejects_is_named(model: Path, tmp_path: Path) -> None:
    broken = onnx.load(model)
    gelu = next(node for node in broken.graph.node if "mlp" in node.name)
    gelu.op_type, gelu.domain = "Unheard", "some.where"
    broken.opset_import.append(onnx.helper.make_opsetid("some.where", 1))
    onnx.save(broken, tmp_path / "broken.onnx")
    with pytest.raises(ArtifactError) as caught:
        build_engine(tmp_path / "broken.onnx", "rtx:sm89", tmp_path / "x.engine", progress=False)
    assert gelu.name in str(caught.value)
    assert "Unheard" in str(caught.value)
    assert not (tmp_path / "x.engine").exists()
    assert not sidecar_path(tmp_path / "x.engine").exists()
    assert "Unheard" in log_path(tmp_path / "x.engine").read_text()


def test_files_that_are_no_models(model: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"\x00\x01junk")
    for name in ("junk.onnx", "missing.onnx", "weights.pth"):
        with pytest.raises(InputError):
            build_engine(tmp_path / name, "rtx:sm89", tmp_path / "x.engine")
    with pytest.raises(UsageError, match="replace"):
        build_engine(model, "rtx:sm89", model)
    with pytest.raises(InputError, match="no folder"):
        build_engine(model, "rtx:sm89", tmp_path / "no" / "x.engine")


def test_external_weights_are_part_of_the_hash(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "external.onnx"
    onnx.save(
        onnx.load(model),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    before = read_source(path).sha256
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert read_source(path).sha256 != before
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights\.bin"):
        read_source(path)


@pytest.mark.parametrize("target", ["rtx", "tensorrt"])
def test_what_this_machine_lacks_is_named(model: Path, tmp_path: Path, target: str) -> None:
    try:
        build_engine(model, target, tmp_path / "x.engine", shapes=TILE, progress=False)
    except BackendUnavailableError as error:
        assert any(word in str(error) for word in ("driver", "GPU", "installed"))
        assert not list(tmp_path.iterdir())
    else:
        assert read_engine_metadata(tmp_path / "x.engine").gpu_name


def test_progress_counts_every_step_once() -> None:
    progress = BuildProgress(show=False)
    progress.phase_start("Building", None, 3)
    assert progress.step_complete("Building", 0)
    progress.phase_start("Tactics", "Building", 4)
    assert progress.step_complete("Tactics", 2)  # steps 0 and 1 were not told
    progress.phase_finish("Tactics")
    assert progress.steps_done == 1 + 4
    progress.phase_finish("Building")
    assert progress.steps_done == 3 + 4
    progress.stop()
    assert not progress.step_complete("Building", 1)
    progress.close()


def test_errors_of_the_build_thread_come_back() -> None:
    def fail() -> None:
        raise ArtifactError("inside")

    with pytest.raises(ArtifactError, match="inside"):
        interruptible(fail, lambda: None)
    assert interruptible(lambda: 7, lambda: None) == 7


def test_a_build_is_waited_for_however_often_ctrl_c_is_pressed() -> None:
    """An impatient user must not release what the build still works on."""
    stopped, ended = threading.Event(), []

    def work() -> None:
        time.sleep(0.3)  # until the main thread waits
        _thread.interrupt_main()
        assert stopped.wait(20)
        for _ in range(2):
            time.sleep(0.3)
            _thread.interrupt_main()
        time.sleep(0.3)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        interruptible(work, stopped.set)
    assert ended


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX")
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    deep = write_model(tmp_path / "deep.onnx", replace(SMALL, depths=(6,) * 4, num_heads=(2,) * 4))
    work = tmp_path / "work"
    work.mkdir()
    code = (
        "import sys\n"
        "from swinir_deploy.exporters.tensorrt.progress import BuildProgress\n"
        "start = BuildProgress.phase_start\n"
        "def told(*a):\n    print('begun', flush=True)\n    return start(*a)\n"
        "BuildProgress.phase_start = told\n"
        "from swinir_deploy.cli.main import main\n"
        "sys.argv[0] = 'swinir-deploy'\n"
        "main()\n"
    )
    targets = "rtx:sm75,sm80,sm86,sm89,sm120"
    command = [sys.executable, "-c", code, "build", str(deep), "--target", targets, "--no-cache"]
    process = subprocess.Popen(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Interrupted" in errors
    assert time.monotonic() - started < 30
    assert list(work.iterdir()) == []


def test_the_sidecar_is_plain_json(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.engine"
    build_engine(model, "rtx:sm120", output, shapes=TILE, progress=False)
    values = json.loads(sidecar_path(output).read_text())
    assert values["architectures"] == ["sm120"]
    assert values["options"] == {
        "compat": "none",
        "opt_level": None,
        "workspace_bytes": 0,
        "strip_weights": False,
    }
