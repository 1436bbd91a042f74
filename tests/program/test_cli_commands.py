"""Every command does its job, and says so in one line or in one JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cli_runs import SMALL, Exported, Program, run_process
from PIL import Image

from swinir_deploy.artifacts.info import read_onnx
from swinir_deploy.comparison import Comparison
from swinir_deploy.exporters.onnx.check import ShapeCheck
from swinir_deploy.exporters.onnx.export import ExportReport
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.restoration.restorer import restore
from swinir_deploy.system.files import sha256_of

# ------------------------------------------------------------------------------------ models, info


def test_models_lists_the_whole_catalogue(swinir: Program) -> None:
    run = swinir("models")
    for card in load_catalog().all():
        assert f"{card.id} " in run.stdout
    # Four groups, each with two lines that say what for, the titles, and a line between.
    assert len(run.stdout.splitlines()) == 4 * 3 + 3 + len(load_catalog().all())
    document = swinir("models", "--json").document
    assert [entry["id"] for entry in document["models"]] == [c.id for c in load_catalog().all()]
    assert document["models"][0]["config"]["window_size"] == 8


def test_models_can_be_filtered(swinir: Program) -> None:
    found = swinir("models", "--task", "denoise", "--gray", "--json").document["models"]
    assert [(entry["size"], entry["noise"], entry["state"]) for entry in found] == [
        ("tiny", 25, "built in"),
        *(("medium", noise, "remote") for noise in (15, 25, 50)),
    ]
    assert all(entry["gray"] for entry in found)


def test_models_knows_what_is_here(swinir: Program, tmp_path: Path) -> None:
    card = load_catalog().get("light-sr-x2")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / card.file).touch()
    found = swinir("models", "--local", "--json").document["models"]
    states = {entry["id"]: entry["state"] for entry in found}
    built_in = {card.id for card in load_catalog().all() if card.builtin}
    assert len(built_in) == 8
    assert states == {**dict.fromkeys(built_in, "built in"), "light-sr-x2": "downloaded"}


def test_models_can_write_its_document(swinir: Program) -> None:
    run = swinir("models", "--json", "-q", "-o", "models.json")
    assert json.loads(Path("models.json").read_text()) == run.document


def test_info_of_a_name(swinir: Program) -> None:
    card = load_catalog().get("medium-sr-x4")
    run = swinir("info", "medium-sr-x4")
    assert card.url is not None
    assert card.url in run.stdout
    assert "Set5 32.92" in run.stdout
    document = swinir("info", card.file, "--json").document
    assert (document["kind"], document["id"]) == ("card", "medium-sr-x4")
    assert document["published"][0]["dataset"] == "Set5"


def test_info_of_a_checkpoint(swinir: Program, checkpoint: Path) -> None:
    document = swinir("info", checkpoint, "--json").document
    assert document["kind"] == "checkpoint"
    assert document["config"] == SMALL.to_dict()
    assert document["sha256"] == sha256_of(checkpoint)
    assert document["img_range_source"] == "file"
    assert document["key"] is None
    assert f"{document['parameters']:,}" in swinir("info", checkpoint).stdout


def test_info_of_an_onnx_file(swinir: Program, onnx_file: Path, checkpoint: Path) -> None:
    model = onnx.load(onnx_file)
    document = swinir("info", onnx_file, "--json").document
    assert (document["kind"], document["opset"]) == ("onnx", 20)
    assert document["nodes"] == len(model.graph.node)
    assert document["inputs"] == [
        {"name": "input", "dtype": "float32", "shape": ["batch", 3, "height", "width"]}
    ]
    assert document["metadata"]["source_sha256"] == sha256_of(checkpoint)
    assert "small" in swinir("info", onnx_file).stdout


def test_info_of_a_foreign_onnx_file(swinir: Program, foreign_onnx: Path) -> None:
    run = swinir("info", foreign_onnx)
    assert "not by swinir-deploy" in run.stdout
    assert swinir("info", foreign_onnx, "--json").document["metadata"] is None


# ------------------------------------------------------------------------------------------ export


def test_export(exported: Exported) -> None:
    document = exported.run.document
    assert document["path"] == str(exported.path)
    assert document["size_bytes"] == exported.path.stat().st_size
    assert document["nodes"] == len(onnx.load(exported.path).graph.node)
    assert len(document["checks"]) >= 6
    assert document["worst_max_abs"] <= 1e-4
    assert document["metadata"]["model_id"] == "small"
    onnx.checker.check_model(str(exported.path))


def test_export_passes_its_options_on(
    swinir: Program, checkpoint: Path, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names the file after the model. What the options do is tested with the exporter."""
    metadata = read_onnx(onnx_file).metadata
    assert metadata is not None
    asked: dict[str, Any] = {}

    def export_onnx(model: LoadedModel, path: Path, **options: Any) -> ExportReport:
        asked.update(options, img_range=model.config.img_range)
        shutil.copy(onnx_file, path)
        check = ShapeCheck((1, 3, 16, 24), Comparison(0.5, 0.1, 60.0, 255.0))
        used = replace(metadata, io="image", opset=18)
        return ExportReport(path, 812_345, 6.14, 349, used, (check,))

    monkeypatch.setattr("swinir_deploy.exporters.onnx.export.export_onnx", export_onnx)
    run = swinir(
        *("export", "--model", checkpoint, "--io", "image", "--for", "tensorrt"),
        *("--shape", "1x3x16x24", "--opset", "18", "--img-range", "255"),
    )
    assert run.stdout == (
        "Exported small -> small.onnx (0.8 MB, 349 nodes, opset 18, worst difference 5.0e-01 "
        "levels over 1 shape) in 6.1 s\n"
    )
    shape = {"shape": "1x3x16x24", "opset": 18, "img_range": 255.0}
    del asked["stages"]
    assert asked == {"io": "image", "target": "tensorrt", **shape}
    assert [path.name for path in Path().iterdir()] == ["small.onnx"]


# ----------------------------------------------------------------------------------------- restore


def test_restore_a_picture(swinir: Program, onnx_file: Path, picture: Path) -> None:
    run = swinir("restore", picture, "out.png", "--model", onnx_file)
    assert run.stdout.startswith(f"Restored {picture} -> out.png (14x11 -> 28x22, ")
    assert len(run.stdout.splitlines()) == 1
    restore(picture, "wanted.png", model=onnx_file)
    assert np.array_equal(read_picture("out.png").pixels, read_picture("wanted.png").pixels)


@pytest.mark.slow
def test_restore_by_a_checkpoint_gives_the_same(
    swinir: Program, onnx_file: Path, checkpoint: Path, picture: Path
) -> None:
    swinir("restore", picture, "ort.png", "--model", onnx_file, "--threads", "1")
    named = ("restore", picture, "-m", checkpoint, "--json")
    run = swinir(*named, "-o", "torch.png", "--backend", "torch")
    assert run.document["model"]["backend"] == "torch"
    assert run.document["restored"][0]["target_width"] == 28
    first = swinir(*named, "-o", "named.png")
    assert first.document["model"]["backend"] == "ort"
    assert "kept for the next time" in first.stderr
    assert swinir(*named, "-o", "again.png").stderr == ""
    names = ("ort.png", "torch.png", "named.png", "again.png")
    pixels = [read_picture(name).pixels.astype(int) for name in names]
    assert all(np.abs(pixels[0] - other).max() <= 1 for other in pixels[1:])
    (entry,) = swinir("cache", "ls", "--json").document["exports"]["entries"]
    assert entry["metadata"]["model_id"] == checkpoint.stem
    assert checkpoint.stem in swinir("cache", "ls").stdout
    run = swinir("cache", "rm", entry["key"][:8], "--json")
    assert [removed["key"] for removed in run.document["removed_exports"]] == [entry["key"]]
    assert swinir("cache", "ls", "--json").document["exports"]["entries"] == []


def test_restore_in_tiles(swinir: Program, onnx_file: Path, picture: Path) -> None:
    options = ["--tile", 8, "--overlap", 0, "--batch", 2, "--backend", "ort", "--device", "cpu"]
    swinir("restore", picture, "tiles.webp", "-m", onnx_file, *options, "--output-quality", 100)
    assert Image.open("tiles.webp").size == (28, 22)


def test_restore_into_a_folder(swinir: Program, onnx_file: Path, picture: Path) -> None:
    Path("results").mkdir()
    swinir("restore", picture, "results", "-m", onnx_file, "--format", "jpg")
    assert Image.open("results/picture.jpg").size == (28, 22)


def test_restore_a_folder(swinir: Program, onnx_file: Path, folder: Path) -> None:
    run = swinir("restore", folder, "out", "-m", onnx_file, "--json", "--format", "tif")
    targets = [entry["target"] for entry in run.document["restored"]]
    assert targets == [str(Path("out/a.tif")), str(Path("out/deeper/b.tif"))]
    assert run.document["ignored"] == 1
    assert run.document["failures"] == []
    assert all(Image.open(target).size == (28, 22) for target in targets)


def test_restore_goes_on_after_a_broken_picture(
    swinir: Program, onnx_file: Path, folder: Path
) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    run = swinir("restore", folder, "out", "-m", onnx_file, code=1)
    assert run.stdout.startswith(f"Restored 2 of 3 pictures in {folder} -> out (")
    assert run.stderr.splitlines()[-1].startswith(f"  {folder / 'broken.png'}: ")
    document = swinir("restore", folder, "out2", "-m", onnx_file, "--json", code=1).document
    assert [failure["source"] for failure in document["failures"]] == [str(folder / "broken.png")]
    assert len(document["restored"]) == 2
    assert not Path("out/broken.png").exists()


def test_results_are_replaced_only_on_request(
    swinir: Program, onnx_file: Path, picture: Path, folder: Path
) -> None:
    Path("out.png").write_text("mine")
    Path("out").mkdir()
    Path("out/a.png").write_text("mine")
    for source, target in ((picture, "out.png"), (folder, "out")):
        run = swinir("restore", source, target, "-m", onnx_file, code=2)
        assert "--overwrite" in run.stderr
    assert Path("out.png").read_text() == Path("out/a.png").read_text() == "mine"
    for source, target in ((picture, "out.png"), (folder, "out")):
        swinir("restore", source, target, "-m", onnx_file, "--overwrite")
    assert Image.open("out.png").size == Image.open("out/a.png").size == (28, 22)


# --------------------------------------------------------------------------- verify, bench and demo


def test_verify(swinir: Program, onnx_file: Path, checkpoint: Path) -> None:
    run = swinir("verify", onnx_file, "--model", checkpoint)
    assert run.stdout.startswith(f"Verified {onnx_file} on ort cpu, fp32 against small (worst ")
    assert len(run.stdout.splitlines()) == 1
    run = swinir(
        *("verify", onnx_file, "-m", checkpoint, "--shape", "9x13", "--shape", "24x8", "--json"),
        *("-o", "report.json", "--threads", "1"),
    )
    document = run.document
    assert document["passed"]
    assert [row["shape"] for row in document["rows"][:2]] == [[1, 3, 9, 13], [1, 3, 24, 8]]
    assert json.loads(Path("report.json").read_text()) == document


def test_verify_fails_beyond_the_limit(
    swinir: Program, onnx_file: Path, checkpoint: Path, picture: Path
) -> None:
    options = ["--limit", "1e-30", "--picture", picture, "--shape", "9x9"]
    run = swinir("verify", onnx_file, "-m", checkpoint, *options, code=1)
    assert "--limit" in run.stderr
    assert "FAILED" in run.stderr
    assert run.stdout.strip() == ""
    document = swinir("verify", onnx_file, "-m", checkpoint, *options, "--json", code=1).document
    assert not document["passed"]


def test_verify_asks_for_a_source_it_does_not_know(swinir: Program, onnx_file: Path) -> None:
    assert "--model FILE" in swinir("verify", onnx_file, code=2).stderr


def test_verify_refuses_another_source(swinir: Program, onnx_file: Path) -> None:
    run = swinir("verify", onnx_file, "--model", "tiny-sr-x4", code=None)
    assert run.code in (1, 2)
    assert "--model" in run.stderr


def test_verify_in_the_precision_that_openvino_is_asked_for(
    swinir: Program, onnx_file: Path, checkpoint: Path
) -> None:
    pytest.importorskip("openvino")
    options = ("-m", checkpoint, "--backend", "openvino", "--shape", "9x10", "--json")
    assert swinir("verify", onnx_file, *options).document["spec"]["precision"] == "fp32"
    asked = swinir("verify", onnx_file, *options, "--precision", "bf16").document
    wanted = {"fp32": "difference", "bf16": "PSNR"}[asked["spec"]["precision"]]
    kept = {"difference": "max_abs", "PSNR": "min_psnr_db"}[wanted]
    assert asked["limit"][kept] is not None
    run = swinir("verify", onnx_file, "-m", checkpoint, "--precision", "bf16", code=2)
    assert "'ort' has no option precision" in run.stderr


def test_bench(swinir: Program, onnx_file: Path, checkpoint: Path) -> None:
    options = ["--against", checkpoint, "--shape", "8x8", "--shape", "9x12", "--runs", 3]
    run = swinir("bench", "--model", onnx_file, *options, "-o", "bench.json", "--json")
    rows = run.document["rows"]
    assert [(row["backend"], row["height"], row["width"]) for row in rows] == [
        ("ort", 8, 8),
        ("torch", 8, 8),
        ("ort", 9, 12),
        ("torch", 9, 12),
    ]
    assert all(row["runs"] == 3 and (row["p90_ms"], row["p99_ms"]) == (None, None) for row in rows)
    assert json.loads(Path("bench.json").read_text()) == run.document


@pytest.mark.slow
def test_bench_with_a_process_for_each(swinir: Program, onnx_file: Path, checkpoint: Path) -> None:
    options = ["--against", checkpoint, "--shape", "8x8", "--runs", 3, "--isolate"]
    run = swinir("bench", "--model", onnx_file, *options, "--json")
    assert run.document["isolated"] is True
    assert run.document["peak_rss_mb"] is None
    ort, network = run.document["rows"]
    assert (ort["backend"], network["backend"]) == ("ort", "torch")
    # This process has torch; the first contender's has not, and knows nothing of the second one.
    assert ort["peak_rss_mb"] < 0.7 * network["peak_rss_mb"]
    run = swinir("bench", "--model", onnx_file, *options)
    assert "each contender in a process of its own" in run.stderr
    assert "all together" not in run.stderr
    missing = swinir("bench", "--model", onnx_file, "--shape", "2x2", "--isolate", code=4)
    assert "2x2 pixels" in missing.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_ctrl_c_ends_every_process_of_bench(onnx_file: Path) -> None:
    options = ["-m", onnx_file, "--against", onnx_file, "--shape", "64x64", "--duration", 100]
    command = [sys.executable, "-m", "swinir_deploy", "bench", *map(str, options), "--isolate"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("Timing")
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of them
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in rest
    with contextlib.suppress(ProcessLookupError):
        for _ in range(100):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        pytest.fail("a process is left")


@pytest.mark.slow
def test_a_file_made_for_another_target_is_noted(
    swinir: Program, checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "for-openvino.onnx"
    swinir("export", "--model", checkpoint, "--for", "openvino", "-o", path)
    words = "was exported for openvino and runs on ort cpu"
    shapes = ["--shape", "8x8", "--shape", "9x9"]
    run = swinir("bench", "--model", path, *shapes, "--runs", 3, "--json")
    assert run.stderr.count(words) == 1 and words in run.document["notes"][0]
    assert words in run.document["rows"][0]["note"]
    assert words in swinir("verify", path, "-m", checkpoint, "--shape", "9x13").stderr


def test_bench_exports_for_back_ends_that_need_it(
    swinir: Program, checkpoint: Path, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swinir_deploy.exporters.onnx import export as exporter

    exports: list[tuple[str, str]] = []

    def export_onnx(model: LoadedModel, path: Path, target: str, **_: object) -> None:
        exports.append((model.model_id, target))
        shutil.copy(onnx_file, path)

    monkeypatch.setattr(exporter, "export_onnx", export_onnx)
    run = swinir(
        *("bench", "--model", checkpoint, "--backend", "torch,ort", "--shape", "8x8"),
        *("--duration", "0.05", "--batch", "2", "--threads", "1"),
    )
    times, rates = run.stdout.partition("\n")[2].split("\n\n")
    head, *lines = times.splitlines()
    assert head.split()[:3] == ["CONTENDER", "PRECISION", "SHAPE"]
    assert "RATIO" in head
    assert "MPIX/s" in rates
    assert [line.split()[:3] for line in lines] == [
        ["torch", "fp32", "2x8x8"],
        ["ort", "fp32", "2x8x8"],
    ]
    assert exports == [("small", "ort")]
    assert list(Path().iterdir()) == []


@pytest.mark.slow
def test_bench_compares_with_an_older_report(
    swinir: Program, onnx_file: Path, tmp_path: Path
) -> None:
    options = ["bench", "--model", onnx_file, "--shape", "8x8", "--runs", 5]
    document = swinir(*options, "-o", "old.json", "--csv", "rows.csv", "--json").document
    head, row = Path("rows.csv").read_text().splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["label"] == "ort"
    for factor, code in ((100.0, 0), (0.01, 1)):
        document["rows"][0]["p50_ms"] *= factor
        Path("old.json").write_text(json.dumps(document))
        run = swinir(*options, "--compare", "old.json", code=code)
        assert ("SLOWER" in run.stdout) == (code == 1)
        document["rows"][0]["p50_ms"] /= factor
    assert "idle machine" in run.stderr
    document["rows"][0]["height"] = 99
    Path("old.json").write_text(json.dumps(document))
    assert "in common" in swinir(*options, "--compare", "old.json", code=2).stderr
    Path("old.json").write_text("{}")
    assert "it has no 'rows'" in swinir(*options, "--compare", "old.json", code=4).stderr
    Path("old.json").write_text("CONTENDER")
    assert "it is not JSON" in swinir(*options, "--compare", "old.json", code=4).stderr
    missing = swinir(*options, "--compare", "none.json", code=4).stderr
    assert "Cannot read none.json: No such file or directory." in missing


def test_bench_says_which_percentiles_it_cannot_tell(swinir: Program, onnx_file: Path) -> None:
    options = ("bench", "--model", onnx_file, "--shape", "8x8", "--runs")
    _, head, row, *_ = swinir(*options, 2).stdout.splitlines()
    cells = row.split()
    assert cells[3] == "2"
    assert cells[5:7] == ["-", "-"]
    assert head.index("P90") < row.index(" - ") < head.index("RATIO")
    cells = swinir(*options, 10).stdout.splitlines()[2].split()
    assert float(cells[4]) <= float(cells[5])
    assert cells[6] == "-"


def test_bench_refuses_bf16_on_onnx_runtime_before_it_exports(
    swinir: Program, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swinir_deploy.exporters.onnx import export as exporter

    monkeypatch.delattr(exporter, "export_onnx")
    options = ("bench", "--model", checkpoint, "--backend", "ort", "--precision", "bf16")
    assert "no BF16 kernels on a CPU" in swinir(*options, code=3).stderr


def test_an_opset_that_is_not_supported_is_refused_before_torch_is_loaded(
    checkpoint: Path, tmp_path: Path
) -> None:
    options = ["export", "--model", checkpoint, "-o", tmp_path / "x.onnx"]
    before = 'sys.modules["torch"] = None'
    run = run_process([*options, "--opset", "16"], before)
    assert (run.code, "Opset 16 is not supported" in run.stderr) == (2, True)
    run = run_process([*options, "--opset", "20", "--precision", "bf16"], before)
    assert (run.code, "Opset 20 has no BF16 convolutions" in run.stderr) == (2, True)
    run = run_process([*options, "--calibrate", tmp_path], before)
    assert (run.code, "FP32 needs none" in run.stderr) == (2, True)


@pytest.mark.slow
def test_bench_times_openvino_beside_the_compiled_network(
    swinir: Program, onnx_file: Path, checkpoint: Path
) -> None:
    options = ("--against", onnx_file, "--shape", "8x8", "--runs", 1, "--precision", "bf16")
    rows = swinir(
        *("bench", "--model", onnx_file, "--backend", "ort,openvino"), *options[2:], "--json"
    ).document["rows"]
    assert [row["backend"] for row in rows] == ["ort", "openvino"]
    assert rows[0]["precision"] == "fp32", "the file's own"
    rows = swinir(
        *("bench", "--model", checkpoint, "--backend", "torch,torch-compile"),
        *("--shape", "8x8", "--runs", 1, "--json"),
    ).document["rows"]
    assert [row["label"] for row in rows] == ["torch", "torch-compile"]


@dataclass(frozen=True)
class FakeDemo:
    """The figures of a demo that took no time."""

    parity_levels: int = 1
    bicubic_psnr_y_db: float = 30.0
    restored_psnr_y_db: float = 31.5

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def test_demo_passes_everything_on(swinir: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_demo(output_dir: str, log: Callable[[str], None]) -> FakeDemo:
        log(f"a step in {output_dir}")
        return FakeDemo()

    monkeypatch.setattr("swinir_deploy.demo.run_demo", run_demo)
    run = swinir("demo", "-o", "here")
    assert "a step in here" in run.stdout
    assert "+1.50 dB over bicubic" in run.stdout
    run = swinir("demo", "-o", "there", "--json")
    assert run.document["restored_psnr_y_db"] == 31.5
    assert "a step in there" in run.stderr


def test_quiet_says_nothing(swinir: Program, onnx_file: Path, picture: Path) -> None:
    run = swinir("restore", picture, "out.png", "--model", onnx_file, "--quiet")
    assert (run.stdout, run.stderr) == ("", "")
