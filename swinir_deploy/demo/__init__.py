"""Export, restore, compare and time the built-in model on a picture in the package, offline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.benchmarking.benchmark import Contender, benchmark
from swinir_deploy.errors import CheckFailedError, InputError
from swinir_deploy.evaluation.degradations import bicubic_resize
from swinir_deploy.evaluation.metrics import psnr
from swinir_deploy.exporters.onnx.export import ExportReport, export_onnx
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes import open_runtime

__all__ = ["DemoReport", "demo_files", "run_demo"]

_DEMO_MODEL = "tiny-sr-x4"
_SCALE = 4
_SHEET_CROP = (slice(48, 240), slice(96, 336))
"""Rows and columns of the original that the comparison sheet shows."""


@dataclass(frozen=True)
class DemoReport:
    """The files and measurements of the demo.

    Attributes:
        export: report of the export: path, time and checks of the ONNX file.
        low_resolution: path of the reduced picture.
        restored: path of the picture that ONNX Runtime restored.
        sheet: path of a picture with bicubic, restored and original side by side.
        parity_levels: largest difference between the pictures of ONNX Runtime and PyTorch, 0 to
            255.
        bicubic_psnr_y_db: PSNR in dB of the bicubic enlargement against the original, Y channel.
        restored_psnr_y_db: PSNR in dB of the restored picture against the original, Y channel.
        ort_ms: median time of ONNX Runtime for the picture.
        torch_ms: median time of PyTorch for the picture.
    """

    export: ExportReport
    low_resolution: Path
    restored: Path
    sheet: Path
    parity_levels: int
    bicubic_psnr_y_db: float
    restored_psnr_y_db: float
    ort_ms: float
    torch_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        figures = {key: value for key, value in vars(self).items() if key != "export"}
        return {
            "model": os.fspath(self.export.path),
            "export_seconds": self.export.seconds,
            "export_max_abs": self.export.worst.comparison.max_abs,
            **{k: os.fspath(v) if isinstance(v, Path) else v for k, v in figures.items()},
        }


def demo_files(output_dir: str | os.PathLike[str]) -> tuple[Path, Path, Path, Path]:
    """Return the paths of what the demo writes: model, input, restored picture, comparison."""
    names = (f"{_DEMO_MODEL}.onnx", "chelsea-lr.png", "chelsea-x4.png", "chelsea-comparison.png")
    model, reduced, restored, sheet = (Path(output_dir) / name for name in names)
    return model, reduced, restored, sheet


def run_demo(output_dir: str | os.PathLike[str], log: Callable[[str], None] = print) -> DemoReport:
    """Export the built-in x4 model, restore a picture with it, and check both.

    Args:
        output_dir: folder for the files; it is created if it does not exist.
        log: called with each line of the demo's text.

    Returns:
        The paths of the files, and the measurements.

    Raises:
        CheckFailedError: the export's check fails, the back ends differ by more than one level, or
            the restored picture is not better than bicubic.
        BackendUnavailableError: the extra ``[cpu]`` is not installed.
        InputError: the folder cannot be created or written.
    """
    folder = Path(output_dir)
    model_path, reduced_path, restored_path, sheet_path = demo_files(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder {folder}: {error.strerror}. Give another with -o."
        ) from error
    log(f"1. Export {_DEMO_MODEL}, the built-in x4 model, to ONNX")
    exported = export_onnx(_DEMO_MODEL, model_path)
    log(
        f"   {exported.nodes} nodes, {exported.size_bytes / 1e6:.2f} MB, opset "
        f"{exported.metadata.opset}, any batch, height and width, in {exported.seconds:.1f} s"
    )
    log("   checked: onnx.checker, and ONNX Runtime against the network in PyTorch at")
    for check in exported.checks:
        size = shape_text(check.shape)
        log(f"     {size:>12}  largest difference {check.comparison.max_abs:.1e}")

    log("2. Restore a picture: Chelsea the cat, reduced to a quarter by bicubic interpolation")
    original = _original()
    reduced = bicubic_resize(original.pixels, 1 / _SCALE)
    _write(reduced_path, reduced)
    started = time.perf_counter()
    with open_runtime(exported.path, "ort") as runtime:
        restored = Restorer(runtime, progress=False).restore_array(reduced)
    elapsed = time.perf_counter() - started
    _write(restored_path, restored)
    log(
        f"   {reduced.shape[1]}x{reduced.shape[0]} -> {restored.shape[1]}x{restored.shape[0]} "
        f"by ONNX Runtime in {elapsed:.2f} s, the model's loading included"
    )

    log("3. Compare it")
    with open_runtime(_DEMO_MODEL, "torch") as runtime:
        reference = Restorer(runtime, progress=False).restore_array(reduced)
    levels = int(np.abs(restored.astype(np.int16) - reference.astype(np.int16)).max())
    if levels > 1:
        raise CheckFailedError(
            f"ONNX Runtime's picture differs from PyTorch's by {levels} levels of 255; it must be "
            f"at most 1. Find the difference: swinir-deploy verify {exported.path} --layers"
        )
    log(f"   with PyTorch: largest difference {levels} of 255 levels")
    enlarged = bicubic_resize(reduced, _SCALE)
    bicubic_db = psnr(enlarged, original.pixels, border_px=_SCALE, on_y=True)
    restored_db = psnr(restored, original.pixels, border_px=_SCALE, on_y=True)
    log(
        f"   with the original (PSNR, Y): bicubic {bicubic_db:.2f} dB, restored "
        f"{restored_db:.2f} dB ({restored_db - bicubic_db:+.2f})"
    )
    if restored_db <= bicubic_db:
        raise CheckFailedError(
            f"The restored picture ({restored_db:.2f} dB) is not better than bicubic interpolation "
            f"({bicubic_db:.2f} dB). Install the package again; its model may be damaged."
        )
    _write(
        sheet_path,
        np.concatenate([p[_SHEET_CROP] for p in (enlarged, restored, original.pixels)], axis=1),
    )

    log("4. Time it, the back ends taking turns")
    report = benchmark(
        [Contender(os.fspath(exported.path), "ort"), Contender(_DEMO_MODEL, "torch")],
        shapes=[(reduced.shape[0], reduced.shape[1])],
    )
    ort, torch = report.rows
    for row in report.rows:
        log(
            f"   {row.label:>6}: median {row.p50_ms:.0f} ms, {row.mpix_per_s:.2f} megapixels "
            f"of output a second ({row.runs} runs)"
        )
    log("Files")
    log(f"   model       {exported.path}")
    log(f"   input       {reduced_path}")
    log(f"   restored    {restored_path}")
    log(f"   comparison  {sheet_path}  (bicubic, restored, original)")
    log(f"{_DEMO_MODEL} is a tiny built-in model; 'swinir-deploy models' lists the official ones.")
    return DemoReport(
        export=exported,
        low_resolution=reduced_path,
        restored=restored_path,
        sheet=sheet_path,
        parity_levels=levels,
        bicubic_psnr_y_db=bicubic_db,
        restored_psnr_y_db=restored_db,
        ort_ms=ort.p50_ms,
        torch_ms=torch.p50_ms,
    )


def _original() -> Picture:
    with as_file(files("swinir_deploy") / "demo" / "chelsea.png") as path:
        return read_picture(path)


def _write(path: Path, pixels: NDArray[Any]) -> None:
    write_picture(path, Picture(np.ascontiguousarray(pixels)))
