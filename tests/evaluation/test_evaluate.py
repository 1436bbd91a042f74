"""evaluate(): figures, references, stated figures, and what it refuses."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from oracle import official_network
from PIL import Image
from skimage import data, metrics
from testsets import testset

from swinir_deploy import evaluate, load_catalog, load_model
from swinir_deploy.errors import CheckFailedError, InputError, PictureError, UsageError
from swinir_deploy.evaluation.testsets import dataset_name, find_reduced, list_pictures
from swinir_deploy.exporters.onnx.export import export_onnx
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.system.files import sha256_of

SR = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)
GRAY = replace(SR, upscale=1, in_chans=1, upsampler="")
COLOUR_JPEG = replace(SR, upscale=1, window_size=7, img_range=255.0, upsampler="")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        name: save_checkpoint(
            folder / f"{name}.safetensors", _parameters(config), config, f"test-{name}"
        )
        for name, config in (("sr", SR), ("gray", GRAY), ("jpeg", COLOUR_JPEG))
    }


def _parameters(config: SwinIRConfig) -> dict[str, torch.Tensor]:
    return dict(official_network(config).network.named_parameters())


@pytest.fixture(scope="module")
def exported(checkpoints: dict[str, Path]) -> dict[str, Path]:
    return {
        io: export_onnx(checkpoints["sr"], checkpoints["sr"].with_suffix(f".{io}.onnx"), io=io).path
        for io in ("tensor", "image")
    }


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures, one with sides that 2 does not divide, and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(data.astronaut()[60:109, 200:265]).save(folder / "b.png")
    Image.fromarray(data.astronaut()[200:256, 100:148]).save(folder / "a.png")
    (folder / "readme.txt").write_text("no picture")
    return folder


def official_output(config: SwinIRConfig, bgr: np.ndarray) -> np.ndarray:
    """main_test_swinir.py's loop body: HWC-BGR (or gray) floats in, HWC-RGB levels out."""
    window, scale = config.window_size, config.upscale
    img = bgr if bgr.shape[2] == 1 else bgr[:, :, [2, 1, 0]]
    batch = torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1))).float()[None]
    h, w = batch.shape[2:]
    batch = torch.cat([batch, torch.flip(batch, [2])], 2)[:, :, : (h // window + 1) * window]
    batch = torch.cat([batch, torch.flip(batch, [3])], 3)[..., : (w // window + 1) * window]
    with torch.no_grad():
        output = official_network(config)(batch)[0, :, : h * scale, : w * scale]
    return (output.clamp(0, 1).numpy().transpose(1, 2, 0) * 255.0).round().astype(np.uint8)


def psnr_of(first: np.ndarray, second: np.ndarray) -> float:
    return float(metrics.peak_signal_noise_ratio(second, first, data_range=255))


def luma(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(float) @ [65.481 / 255, 128.553 / 255, 24.966 / 255] + 16


# -------------------------------------------------------------------------------- figures


def test_super_resolution_figures(checkpoints: dict[str, Path], pictures: Path) -> None:
    small = pictures.parent / "small"
    small.mkdir()
    expected = []
    for path in sorted(pictures.glob("*.png")):
        high = cv2.imread(str(path))
        # Not bicubic on purpose: what stands in the folder counts.
        low = cv2.resize(high, (high.shape[1] // 2, high.shape[0] // 2), interpolation=3)
        cv2.imwrite(str(small / f"{path.stem}x2.png"), low)
        found = official_output(SR, low.astype(np.float32) / 255.0)
        truth = high[: found.shape[0], : found.shape[1], ::-1]
        ours, theirs = (luma(picture[2:-2, 2:-2]) for picture in (found, truth))
        expected.append((psnr_of(ours, theirs), psnr_of(found[2:-2, 2:-2], truth[2:-2, 2:-2])))
    seen: list[str] = []
    report = evaluate(checkpoints["sr"], pictures, lr=small, progress=seen.append)
    assert [p.name for p in report.pictures] == ["a.png", "b.png"]
    assert [(p.width, p.height) for p in report.pictures] == [(48, 56), (64, 48)]
    for picture, (on_y, on_rgb) in zip(report.pictures, expected, strict=True):
        assert picture.scores["psnr_y"] == pytest.approx(on_y, abs=1e-3)
        assert picture.scores["psnr_rgb"] == pytest.approx(on_rgb, abs=1e-3)
    assert report.mean["psnr_y"] == pytest.approx(np.mean([y for y, _ in expected]), abs=1e-3)
    assert report.mean_baseline["psnr_y"] > report.mean["psnr_y"]  # the weights are random
    assert (report.reference, report.mean_reference) == (None, None)
    assert (report.protocol.border_px, report.tile, report.stated) == (2, None, ())
    assert seen == ["a.png (1 of 2)", "b.png (2 of 2)"]
    assert report.notes == ("1 files that are no pictures were left out.",)


def test_denoising_figures(checkpoints: dict[str, Path], pictures: Path) -> None:
    for path in pictures.glob("*.png"):
        Image.open(path).convert("L").save(path)
    report = evaluate(checkpoints["gray"], pictures, task="denoise", noise=25)
    for picture in report.pictures:
        truth = cv2.imread(str(pictures / picture.name), cv2.IMREAD_GRAYSCALE)
        before = np.random.get_state()
        np.random.seed(seed=0)
        noisy = truth.astype(np.float32) / 255.0
        noisy = noisy + np.random.normal(0, 25 / 255.0, truth.shape)
        np.random.set_state(before)
        found = official_output(GRAY, noisy[..., None])[..., 0]
        assert picture.scores["psnr_gray"] == pytest.approx(psnr_of(found, truth), abs=1e-3)
        clipped = (np.clip(noisy, 0, 1) * 255).round()
        assert picture.baseline["psnr_gray"] == pytest.approx(psnr_of(clipped, truth), abs=1e-3)
    assert report.metrics == ("psnr_gray",)


def test_jpeg_figures(checkpoints: dict[str, Path], pictures: Path) -> None:
    report = evaluate(checkpoints["jpeg"], pictures, task="jpeg", quality=10)
    for picture in report.pictures:
        truth = cv2.imread(str(pictures / picture.name))
        file = cv2.imencode(".jpg", truth, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
        low = cv2.imdecode(file, 1)
        found = official_output(COLOUR_JPEG, low.astype(np.float32) / 255.0)
        wanted = psnr_of(found, truth[:, :, ::-1])
        assert picture.scores["psnr_rgb"] == pytest.approx(wanted, abs=1e-3)
        assert picture.baseline["psnr_rgb"] == pytest.approx(psnr_of(low, truth), abs=1e-9)
        assert picture.baseline["psnr_b_rgb"] < picture.baseline["psnr_rgb"]
    assert report.metrics == ("psnr_rgb", "ssim_rgb", "psnr_b_rgb")
    assert {"psnr_y", "psnr_b_y", "ssim_y"} <= set(report.mean)


def test_a_perfect_result_is_infinite_and_still_json(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    # White stays white: reduced, enlarged by bicubic interpolation and compared.
    Image.new("RGB", (48, 48), "white").save(tmp_path / "white.png")
    report = evaluate(checkpoints["sr"], tmp_path)
    assert report.mean_baseline["psnr_y"] == math.inf
    assert report.to_dict()["mean_baseline"]["psnr_y"] == "inf"


# ------------------------------------------------------------------------------ back ends


@pytest.mark.parametrize(
    ("io", "tile", "self_ensemble"),
    [
        ("tensor", None, False),
        ("image", None, False),
        ("tensor", 16, False),
        ("image", None, True),
    ],
)
def test_other_back_ends_are_compared_with_pytorch(
    exported: dict[str, Path],
    checkpoints: dict[str, Path],
    pictures: Path,
    io: str,
    tile: int | None,
    self_ensemble: bool,
) -> None:
    (pictures / "b.png").unlink()
    ways: dict[str, Any] = {"tile": tile, "self_ensemble": self_ensemble, "threads": 1}
    report = evaluate(exported[io], pictures, reference=checkpoints["sr"], **ways)
    alone = evaluate(checkpoints["sr"], pictures, **ways)
    assert (report.spec.backend, report.spec.io, report.reference) == ("ort", io, "test-sr")
    # Which products are fastest depends on the CPU, and the reference always takes PyTorch's own.
    assert report.mean_reference == pytest.approx(alone.mean, abs=1e-4)
    assert report.reference_difference_db == pytest.approx(
        report.mean["psnr_y"] - alone.mean["psnr_y"], abs=1e-4
    )
    if self_ensemble:  # these random weights leave 0..1 by far, and bytes are clamped one by one
        assert any("one by one" in note for note in report.notes)
    else:
        assert report.reference_difference_db == pytest.approx(0, abs=2e-3)
    assert report.tile == tile
    assert len(report.notes) == 1 + (tile is not None) + 2 * self_ensemble


def test_a_reference_that_cannot_be_found_is_a_note(
    exported: dict[str, Path], pictures: Path
) -> None:
    report = evaluate(exported["tensor"], pictures)
    assert report.reference is None
    assert "Not compared with PyTorch" in report.notes[0]
    assert "test-sr" in report.notes[0]
    assert evaluate(exported["tensor"], pictures, reference=False).notes == report.notes[1:]


def test_a_wrong_reference_is_refused(
    exported: dict[str, Path], checkpoints: dict[str, Path], pictures: Path
) -> None:
    with pytest.raises(UsageError, match="SHA-256"):
        evaluate(exported["tensor"], pictures, reference="tiny-sr-x4")
    other = replace(load_model("tiny-sr-x4"), source_sha256=sha256_of(checkpoints["sr"]))
    with pytest.raises(CheckFailedError, match="not the same model"):
        evaluate(exported["tensor"], pictures, reference=other)


def test_needs_no_torch_to_be_imported() -> None:
    code = "import swinir_deploy.evaluation.evaluate, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --------------------------------------------------------------------------- stated figures


def test_figures_of_the_card_stand_beside_the_measured_ones(pictures: Path) -> None:
    card = load_catalog().get("tiny-sr-x4")
    folder = pictures.rename(pictures.with_name("set5"))
    (folder / "b.png").unlink()
    report = evaluate("tiny-sr-x4", folder)
    assert report.dataset == "Set5"
    wanted = [f for f in card.measured if f.dataset == "Set5" and f.metric == "psnr_y"]
    assert [s.stated for s in report.stated if s.metric == "psnr_y"] == [f.value for f in wanted]
    for stated in report.stated:
        assert stated.measured == report.mean[stated.metric]
        assert stated.difference == stated.measured - stated.stated


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("testsets/Set5/HR", "Set5"),
        ("a/classic5", "Classic5"),
        ("x/Set12", "Set12"),
        ("B100/HR", "BSD100"),
        ("DIV2K/DIV2K_valid_HR", "DIV2K validation"),
        ("Set5/one/two/three", None),
        ("holiday", None),
    ],
)
def test_data_sets_are_known_by_their_folders(
    tmp_path: Path, folder: str, name: str | None
) -> None:
    assert dataset_name(tmp_path / "a" / "b" / folder) == name


def test_the_built_in_model_reaches_what_its_card_states() -> None:
    stated = [
        figure.value
        for figure in load_catalog().get("tiny-sr-x4").measured
        if (figure.dataset, figure.metric) == ("Set5", "psnr_y")
    ]
    if not stated:
        pytest.skip("models.yaml states no figure for tiny-sr-x4 yet")
    report = evaluate("tiny-sr-x4", testset("Set5/HR"), lr=testset("Set5/LR_bicubic/X4"))
    assert report.mean["psnr_y"] == pytest.approx(stated[0], abs=0.0051)
    assert report.mean_baseline["psnr_y"] == pytest.approx(28.43, abs=0.01)


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gray", {}, "--task denoise --noise 25"),
        ("gray", {"task": "denoise"}, "--noise 25"),
        ("gray", {"task": "jpeg"}, "--quality 40"),
        ("gray", {"task": "blur"}, "sr, denoise or jpeg"),
        ("gray", {"task": "sr"}, "scale 1"),
        ("gray", {"task": "denoise", "noise": 25, "quality": 40}, "quality is for a jpeg model"),
        ("gray", {"task": "denoise", "noise": -1}, "positive"),
        ("gray", {"task": "denoise", "noise": 25, "lr": "."}, "Leave it out"),
        ("sr", {"task": "denoise", "noise": 25}, "scale 2"),
        ("sr", {"noise": 25}, "noise is for a denoise model"),
        ("sr", {"tile": -8}, "tile -8"),
        ("sr", {"backend": "orth"}, "Did you mean 'ort'"),
    ],
)
def test_requests_that_make_no_sense(
    checkpoints: dict[str, Path], pictures: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((UsageError, InputError), match=words):
        evaluate(checkpoints[name], pictures, **options)


def test_folders_that_hold_nothing_to_measure(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(PictureError, match="missing"):
        list_pictures(tmp_path / "none")
    with pytest.raises(PictureError, match="a file"):
        list_pictures(pictures / "a.png")
    with pytest.raises(PictureError, match=r"no picture.*pictures"):
        list_pictures(tmp_path)
    found, others = list_pictures(pictures)
    assert [path.name for path in found] == ["a.png", "b.png"]
    assert others == 1


def test_partners_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "ax2.bmp").touch()
    assert find_reduced(tmp_path, Path("hr/a.png"), 2).name == "ax2.bmp"
    (tmp_path / "ax2.png").touch()
    assert find_reduced(tmp_path, Path("hr/a.png"), 2).name == "ax2.png"
    with pytest.raises(PictureError, match=r"no ax3\.png.*reduced by 3"):
        find_reduced(tmp_path, Path("hr/a.png"), 3)


def test_a_picture_that_cannot_be_measured_is_named(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    Image.new("RGB", (4, 40)).save(tmp_path / "narrow.png")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tmp_path / "small.png", alone)
    wanted = evaluate(checkpoints["sr"], alone).mean
    (tmp_path / "text.png").write_bytes(b"hello")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    report = evaluate(checkpoints["sr"], tmp_path)
    assert [picture.name for picture in report.pictures] == ["small.png"]
    assert report.mean == wanted
    failed = {failure.name: failure.error for failure in report.failures}
    assert set(failed) - {"pipe.png"} == {"gone.png", "narrow.png", "text.png"}
    assert "4x40" in failed["narrow.png"] and "nowhere.png" in failed["gone.png"]
    assert report.to_dict()["failures"][0]["name"] == "gone.png"


def test_where_no_picture_can_be_measured_there_is_no_report(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (4, 40)).save(tmp_path / "narrow.png")
    with pytest.raises(InputError, match=r"narrow\.png"):
        evaluate(checkpoints["sr"], tmp_path)
    (tmp_path / "damaged.png").write_bytes(b"hello")
    with pytest.raises(PictureError, match=r"damaged\.png"):
        evaluate(checkpoints["sr"], tmp_path)


def test_a_picture_too_small_for_ssim_has_a_psnr_and_a_note(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """10 pixels inside a border of 2: SSIM's window has 11."""
    photo = Image.fromarray(data.astronaut())
    photo.crop((200, 60, 240, 100)).save(tmp_path / "large.png")
    report = evaluate(checkpoints["sr"], tmp_path, reference=False)
    large = report.mean
    photo.crop((200, 60, 214, 100)).save(tmp_path / "small.png")
    report = evaluate(checkpoints["sr"], tmp_path, reference=False)
    (first, second), mean = report.pictures, report.mean
    assert first.scores == large
    assert {*second.scores} == {*second.baseline} == {"psnr_y", "psnr_rgb"}
    assert math.isfinite(second.scores["psnr_y"])
    assert mean["ssim_y"] == large["ssim_y"]
    assert mean["psnr_y"] == pytest.approx((large["psnr_y"] + second.scores["psnr_y"]) / 2)
    (note,) = [note for note in report.notes if "SSIM" in note]
    assert note == (
        "SSIM takes 11x11 pixels inside the border, and 1 of 2 pictures have fewer (small.png); "
        "the mean is that of the others."
    )
    (tmp_path / "large.png").unlink()
    alone = evaluate(checkpoints["sr"], tmp_path, reference=False)
    assert alone.mean == second.scores
    assert "1 of 1 pictures have fewer (small.png)." in " ".join(alone.notes)
