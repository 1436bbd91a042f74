"""``bundle``: a folder that a C program can be built from, whole or not there."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest
from cli_runs import Program

from swinir_deploy.artifacts.engine import EngineMetadata, write_engine
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "x2.engine"
    shape = (1, 3, 64, 64)
    write_engine(
        path,
        b"a plan",
        EngineMetadata(
            ArtifactMetadata("tensor", 2, 3, 8, model_id="somebody's"),
            "small.onnx",
            "0" * 64,
            "rtx",
            "1.7.1.116",
            (ShapeProfile(shape, shape, shape),),
        ),
    )
    return path


def test_everything_is_there_and_the_checksums_are_right(swinir: Program, onnx_file: Path) -> None:
    document = swinir("bundle", onnx_file, "-o", "deep/shipped", "--json").document
    folder = Path("deep/shipped")
    listed = {}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        listed[name] = digest
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files - {"SHA256SUMS"} == set(document["files"])
    assert set(listed) == files - {"SHA256SUMS", "LICENSES/weights.txt"}  # that one is to be filled
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert (folder / onnx_file.name).read_bytes() == onnx_file.read_bytes()
    for header in ("swinir.h", "swinir.hpp"):
        original = REPOSITORY / "cpp/include" / header
        assert (folder / "include" / header).read_bytes() == original.read_bytes()
    assert "Apache License" in (folder / "LICENSES/libswinir.txt").read_text()
    assert document["target"] == "ort"
    assert not list(Path("deep").glob(".*")), "the temporary folder is gone"


def relabelled(source: Path, path: Path, **changes: str) -> Path:
    model = onnx.load(source)
    props = {prop.key: prop.value for prop in model.metadata_props}
    props |= {f"swinir_deploy.{name}": value for name, value in changes.items()}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, props)
    onnx.save(model, path)
    return path


def test_bf16_is_for_openvino(swinir: Program, onnx_file: Path, tmp_path: Path) -> None:
    path = relabelled(onnx_file, tmp_path / "bf16.onnx", precision="bf16")
    assert swinir("bundle", path, "-o", "a", "--json").document["target"] == "openvino"
    run = swinir("bundle", path, "-o", "b", "--target", "ort", code=2)
    assert "--target openvino" in run.stderr
    assert not Path("b").exists()


def test_a_graph_for_tensorrt_is_told_apart(
    swinir: Program, onnx_file: Path, tmp_path: Path
) -> None:
    path = relabelled(onnx_file, tmp_path / "trt.onnx", target="tensorrt")
    notes = swinir("bundle", path, "-o", "a", "--json").document["notes"]
    assert any("exported for TensorRT" in note for note in notes)
    path = relabelled(onnx_file, tmp_path / "ov.onnx", target="openvino")
    assert swinir("bundle", path, "-o", "b", "--json").document["target"] == "openvino"


@pytest.mark.parametrize("target", ["ort", "openvino"])
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_program_compiles(swinir: Program, onnx_file: Path, target: str) -> None:
    swinir("bundle", onnx_file, "--target", target, "-o", "shipped")
    source = Path("shipped/restore_ppm.c")
    assert f'options.backend = "{target}"' in source.read_text()
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-Ishipped/include"]
    subprocess.run(["cc", *flags, source], check=True)


def wrong_sums(folder: Path) -> list[str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    assert len(pairs) > 5
    return [
        name
        for digest, name in pairs
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest
    ]


def test_an_engine_goes_with_its_sidecar(swinir: Program, engine: Path) -> None:
    document = swinir("bundle", engine, "-o", "shipped", "--json").document
    assert document["target"] == "rtx"
    for name in ("x2.engine", "x2.engine.json"):
        assert (Path("shipped") / name).read_bytes() == engine.with_name(name).read_bytes()
    assert '"tensorrt_rtx"' in Path("shipped/restore_ppm.c").read_text()
    assert "libtensorrt_rtx" in Path("shipped/README.md").read_text()
    # Whose weights they are, and on what terms, only the user knows.
    assert "not know" in Path("shipped/LICENSES/weights.txt").read_text()
    assert "LICENSES/weights.txt" in document["notes"][0]
    # The checksums hold after that was done, and still say if anything else was changed.
    Path("shipped/LICENSES/weights.txt").write_text("CC0-1.0")
    assert set(wrong_sums(Path("shipped"))) == set()
    Path("shipped/README.md").write_text("another")
    assert set(wrong_sums(Path("shipped"))) == {"README.md"}


def test_built_in_weights_have_a_licence(swinir: Program) -> None:
    from swinir_deploy.bundling.bundle import _weights_licence
    from swinir_deploy.models.catalog import load_catalog

    card = load_catalog().get("tiny-sr-x2")
    metadata = ArtifactMetadata("tensor", 2, 3, 8, source_sha256=card.sha256 or "")
    text, notes = _weights_licence(metadata)
    assert "tiny-sr-x2" in text
    assert "Apache-2.0" in text
    assert notes == ()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["MODEL", "--target", "rtx"], 2, "is for ort, not for rtx"),
        (["MODEL", "--target", "otr"], 2, "ort"),
        (["ENGINE", "--target", "ort"], 2, "is for rtx, not for ort"),
        (["ENGINE", "--target", "tensorrt"], 2, "is for rtx, not for tensorrt"),
        (["none.onnx"], 4, "no such file"),
        (["none.pth"], 2, "Export the model first"),
        (["FOREIGN"], 4, "not made by swinir-deploy"),
    ],
)
def test_what_does_not_fit_is_refused(
    swinir: Program,
    onnx_file: Path,
    engine: Path,
    foreign_onnx: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    names = {"MODEL": onnx_file, "ENGINE": engine, "FOREIGN": foreign_onnx}
    run = swinir("bundle", *(names.get(a, a) for a in arguments), "-o", "shipped", code=code)
    assert words in run.stderr
    assert not Path("shipped").exists()


def test_nothing_is_overwritten(swinir: Program, onnx_file: Path) -> None:
    Path("empty").mkdir()
    swinir("bundle", onnx_file, "-o", "empty")
    before = sorted(Path("empty").iterdir())
    run = swinir("bundle", onnx_file, "-o", "empty", code=4)
    assert "not empty" in run.stderr
    Path("file").write_text("mine")
    swinir("bundle", onnx_file, "-o", "file", code=4)
    assert Path("file").read_text() == "mine"
    assert sorted(Path("empty").iterdir()) == before
