"""A small network, exported once, and a way to call the program as a shell would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from cli_runs import SMALL, Exported, Program, Run
from click.testing import CliRunner
from PIL import Image

from swinir_deploy.cli.main import program
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.system.cache_folder import CACHE_VARIABLE


@pytest.fixture
def swinir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Calls the program in a new folder, with an empty cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def call(*arguments: object, code: int | None = 0) -> Run:
        result = CliRunner().invoke(program, list(map(str, arguments)))
        run = Run(result.exit_code, result.stdout, result.stderr)
        assert code is None or run.code == code, f"{run.stdout}\n{run.stderr}"
        assert "Traceback" not in run.stderr or "--debug" in arguments
        return run

    return call


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network = SwinIR(SMALL)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return save_checkpoint(path, network.state_dict(), SMALL, "small")


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    result = CliRunner().invoke(
        program, ["export", "--model", str(checkpoint), "-o", str(path), "--json"]
    )
    assert result.exit_code == 0, result.stderr
    return Exported(path, Run(result.exit_code, result.stdout, result.stderr))


@pytest.fixture(scope="session")
def onnx_file(exported: Exported) -> Path:
    return exported.path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 256, (11, 14, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, picture: Path) -> Path:
    """Two pictures, one of them deeper, and a file that is none."""
    root = tmp_path / "pictures"
    (root / "deeper").mkdir(parents=True)
    (root / "a.png").write_bytes(picture.read_bytes())
    (root / "deeper" / "b.png").write_bytes(picture.read_bytes())
    (root / "readme.txt").write_text("not a picture")
    return root


@pytest.fixture
def foreign_onnx(tmp_path: Path) -> Path:
    """A valid ONNX model that something else made."""
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"])
        for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:]
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    return path
