"""``eval``: the table, the document, the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import SMALL, Program, run_process
from PIL import Image
from skimage import data

from swinir_deploy import load_catalog
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network.swinir import SwinIR


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two small pictures in a folder that is not called like a data set."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(data.astronaut()[60:100, 200:244]).save(folder / "a.png")
    Image.fromarray(data.astronaut()[200:244, 100:140]).save(folder / "b.png")
    return folder


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = SMALL.to_dict() | {"upscale": 1, "in_chans": 1, "upsampler": ""}
    config = type(SMALL).from_dict(values)
    path = tmp_path_factory.mktemp("denoiser") / "mine.safetensors"
    return save_checkpoint(path, SwinIR(config).state_dict(), config, "mine")


def test_a_table_a_line_and_the_difference_to_pytorch(
    swinir: Program, onnx_file: Path, checkpoint: Path, photos: Path
) -> None:
    run = swinir("eval", "-m", onnx_file, "--data", photos, "--reference", checkpoint)
    lines = run.stdout.splitlines()
    head = "PICTURE SIZE PSNR Y SSIM Y bicubic PSNR Y bicubic SSIM Y TO FP32 dB"
    assert " ".join(lines[0].split()) == head
    assert [line.split()[0] for line in lines[1:4]] == ["a.png", "b.png", "mean"]
    assert lines[-1].startswith("Measured small on ort cpu with 2 pictures of ")
    assert "+0.0000 dB to PyTorch in FP32" in lines[-1]
    assert len(lines) == 5
    assert "Measuring a.png (1 of 2)" in run.stderr


def test_the_document(swinir: Program, checkpoint: Path, photos: Path) -> None:
    run = swinir("eval", "-m", checkpoint, "--data", photos, "--json", "-o", "report.json")
    document = run.document
    assert json.loads(Path("report.json").read_text()) == document
    assert document["metrics"] == ["psnr_y", "ssim_y"]
    assert [picture["name"] for picture in document["pictures"]] == ["a.png", "b.png"]
    assert document["pictures"][0]["width"] == 44
    mean = sum(picture["scores"]["psnr_y"] for picture in document["pictures"]) / 2
    assert document["mean"]["psnr_y"] == pytest.approx(mean)
    assert document["protocol"]["scale"] == document["border_px"] == 2
    assert document["spec"]["backend"] == "torch"
    assert document["reference"] is None


def test_a_bad_picture_is_no_end(swinir: Program, checkpoint: Path, photos: Path) -> None:
    good = swinir("eval", "-m", checkpoint, "--data", photos, "--json").document
    (photos / "aa.png").write_bytes((photos / "a.png").read_bytes()[:500])
    run = swinir("eval", "-m", checkpoint, "--data", photos, code=1)
    assert "with 2 of 3 pictures of" in run.stdout
    assert f"Error: 1 could not be measured:\n  {photos / 'aa.png'}: " in run.stderr
    document = swinir("eval", "-m", checkpoint, "--data", photos, "--json", code=1).document
    assert document["mean"] == good["mean"]
    assert [failure["name"] for failure in document["failures"]] == ["aa.png"]


def test_tiles_and_self_ensemble_are_said(swinir: Program, checkpoint: Path, photos: Path) -> None:
    options = ["--tile", 17, "--self-ensemble"]
    run = swinir("eval", "-m", checkpoint, "--data", photos, *options)
    assert "x2, tiles of 16, self-ensemble: PSNR Y" in run.stdout
    assert "paper's figures are of whole pictures" in run.stderr
    run = swinir("eval", "-m", checkpoint, "--data", photos, *options, "--json")
    assert (run.document["tile"], run.document["self_ensemble"]) == (16, True)
    assert len(run.document["notes"]) == 3


def test_stated_figures_are_shown(swinir: Program, photos: Path) -> None:
    stated = [f for f in load_catalog().get("tiny-sr-x4").measured if f.metric == "psnr_y"]
    if not stated:
        pytest.skip("models.yaml states no figure for tiny-sr-x4 yet")
    (photos / "b.png").unlink()
    folder = photos.rename(photos.with_name(stated[0].dataset))
    run = swinir("eval", "--task", "sr", "--scale", 4, "--data", folder)
    assert "FIGURE" in run.stdout
    assert f"{stated[0].value:.2f}" in run.stdout
    assert stated[0].source in " ".join(run.stdout.split()), "it may be wrapped"


def test_a_checkpoint_of_ones_own_is_told_its_task(
    swinir: Program, denoiser: Path, photos: Path
) -> None:
    run = swinir("eval", "-m", denoiser, "--data", photos, code=2)
    assert "--task denoise --noise 25" in run.stderr
    named = ["--task", "denoise", "--noise", 25]
    run = swinir("eval", "-m", denoiser, "--data", photos, *named, "--json")
    assert run.document["protocol"]["noise"] == 25
    assert run.document["metrics"] == ["psnr_gray"]
    swinir("eval", "-m", denoiser, "--data", photos, *named, "--gray", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--data"),
        (["--data", "{photos}"], 2, "Missing model"),
        (["--data", "none", "-m", "{model}"], 4, "missing"),
        (["--data", "{photos}", "-m", "tiny-sr-x5"], 2, "tiny-sr-x4"),
        (["--data", "{photos}", "-m", "{model}", "--lr", "{photos}"], 4, "ax2.png"),
        (["--data", "{photos}", "-m", "{model}", "--noise", "25"], 2, "noise is for"),
        (["--data", "{photos}", "-m", "{model}", "--tile", "0"], 2, "--tile"),
        (["--data", "{photos}", "-m", "{model}", "-o", "no/x.json"], 4, "no folder"),
        (
            ["--data", "{photos}", "-m", "{model}", "--reference", "tiny-sr-x4", "--no-reference"],
            2,
            "exclude",
        ),
        (["--data", "{photos}", "-m", "medium-sr-x4", "--offline"], 5, "offline"),
    ],
)
def test_exit_codes(
    swinir: Program,
    onnx_file: Path,
    photos: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    filled = [text.format(photos=photos, model=onnx_file) for text in arguments]
    assert words in swinir("eval", *filled, code=code).stderr


def test_offline_goes_on_without_a_reference(
    swinir: Program, onnx_file: Path, photos: Path
) -> None:
    run = swinir("eval", "-m", onnx_file, "--data", photos, "--offline", "--json")
    assert run.document["reference"] is None
    assert "Not compared with PyTorch" in run.document["notes"][0]


def test_an_exported_file_is_measured_without_torch(onnx_file: Path, photos: Path) -> None:
    without = "for name in ('torch', 'onnx', 'cv2', 'safetensors'): sys.modules[name] = None"
    run = run_process(["eval", "-m", onnx_file, "--data", photos, "--json"], without)
    assert run.code == 0, run.stderr
    assert "swinir-deploy[export]" in run.document["notes"][0]


def test_jpeg_without_opencv_is_exit_code_3(denoiser: Path, photos: Path) -> None:
    arguments = ["eval", "-m", denoiser, "--data", photos, "--task", "jpeg", "--quality", 40]
    run = run_process(arguments, "sys.modules['cv2'] = None")
    assert run.code == 3
    assert "pip install 'swinir-deploy[eval]'" in run.stderr


def test_what_a_picture_is_too_small_for_is_a_dash(
    swinir: Program, checkpoint: Path, photos: Path
) -> None:
    Image.fromarray(data.astronaut()[60:100, 200:214]).save(photos / "c.png")
    run = swinir("eval", "-m", checkpoint, "--data", photos, "--no-reference")
    cells = run.stdout.splitlines()[3].split()
    assert (cells[0], cells[3], cells[5]) == ("c.png", "-", "-")
    assert float(cells[2]) > 0
    assert "SSIM takes 11x11 pixels" in run.stderr
    for name in "ab":
        (photos / f"{name}.png").unlink()
    last = swinir("eval", "-m", checkpoint, "--data", photos, "--no-reference").stdout
    assert "SSIM" not in last.splitlines()[-1]
