"""A report of every kind, made of the records that the commands write."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.benchmarking.reports import BenchmarkReport, BenchmarkRow, FailedContender
from swinir_deploy.cli.output import plain
from swinir_deploy.comparison import Comparison
from swinir_deploy.evaluation.protocol import Protocol, Sample
from swinir_deploy.evaluation.reports import EvaluationReport, PictureScore, StatedFigure
from swinir_deploy.exporters.tensorrt.inspect import Activation, EngineInspection
from swinir_deploy.reporting.gallery import Gallery
from swinir_deploy.reporting.identity import Identity, ModelIdentity
from swinir_deploy.runtimes import RuntimeSpec
from swinir_deploy.verification.layers.reports import LayerRow, LayersReport
from swinir_deploy.verification.parity import Limit, ParityReport, ParityRow

SOURCE = "a" * 64
"""SHA-256 of the checkpoint of all samples."""

SPEC = RuntimeSpec(
    "ort", "cpu", "tensor", 4, 3, 8, "fp16",
    model_id="my-model", source_sha256=SOURCE, task="sr", residual_scale_log2=7,
)  # fmt: skip

HALF = {
    "calibration": {
        "margin": 8.0,
        "stream_max": 812345.6,
        "stream_max_by_stage": [9.5, 120.2, 4500.0, 70000.0, 301000.0, 812300.0],
        "kept_fp32": {"conv_last": 9000.0},
    },
    "proof": {
        "pictures": 3,
        "limit_db": 55.0,
        "worst_torch_db": 61.2,
        "worst_onnxruntime_db": 60.9,
        "worst_picture": "noise",
        "by_picture": {"crop 1": [70.1, 70.3], "noise": [61.2, 60.9], "black": [200.0, 200.0]},
    },
}
"""What a half-precision file says of itself."""


def identity(report: str, **changes: Any) -> dict[str, Any]:
    model = ModelIdentity(
        "x4.onnx", "onnx", "b" * 64, 811634, SOURCE, "my-model", "sr", 4, "fp16", 7, "any",
        {"swinir-deploy": "0.1.0"}, HALF,
    )  # fmt: skip
    block = Identity(
        report,
        (replace(model, **changes),),
        {"swinir-deploy": "0.1.0", "onnxruntime": "1.30"},
        {"processor": "A processor", "usable_cpus": 2, "memory_gb": 25.3, "cpu_mhz": 2600.0},
        "2026-11-27T00:00:00+00:00",
        f"swinir-deploy {report} x4.onnx",
    )
    return block.to_dict()


def verify(psnr_db: float = 66.0, limit: float = 55.0) -> dict[str, Any]:
    names = ("synthetic", "synthetic", "photo.png")
    rows = [
        ParityRow(name, (1, 3, 9 + n, 15), Comparison(1e-3, 1e-4, psnr_db + n, 1.0), True)
        for n, name in enumerate(names)
    ]
    rows = [replace(row, passed=row.comparison.psnr_db >= limit) for row in rows]
    report = ParityReport("x4.onnx", "my-model", SPEC, Limit(min_psnr_db=limit), tuple(rows))
    return {**report.to_dict(), "seconds": 1.0}


def layers() -> dict[str, Any]:
    rows = [
        LayerRow(n, f"layers.{n}/MatMul", "MatMul", (1, 64, 8), 1e-6 * 1.1**n, 1.0, 0, 1e-4, n < 49)
        for n in range(50)
    ]
    report = LayersReport(
        "x4.onnx", "x4 in fp32", "ort cpu", "ort cpu", (1, 3, 9, 15), (*rows,), ()
    )
    return report.to_dict()


def export() -> dict[str, Any]:
    metadata = ArtifactMetadata(
        "tensor", 4, 3, 8, "fp16", "sr", "my-model", SOURCE,
        residual_scale_log2=7, precision_report=HALF,
    )  # fmt: skip
    return {
        "path": "x4.onnx",
        "size_bytes": 811634,
        "seconds": 9.0,
        "nodes": 369,
        "worst_max_abs": 1e-3,
        "metadata": metadata.to_dict(),
        "checks": [{"shape": [1, 3, 9, 15], **asdict(Comparison(1e-3, 1e-4, 66.0, 1.0))}],
    }


def evaluation() -> dict[str, Any]:
    scores = [
        PictureScore(
            f"{name}.png", 256, 256, {"psnr_y": db, "ssim_y": 0.9},
            {"psnr_y": db - 3, "ssim_y": 0.8}, {"psnr_y": db, "ssim_y": 0.9},
        )
        for name, db in (("baby", 33.5), ("bird", 34.6), ("flat", math.inf))
    ]  # fmt: skip
    protocol = Protocol("sr", False, 4)
    stated = (StatedFigure("Set5", "psnr_y", 31.3, 31.27, "the model's card"),)
    report = EvaluationReport(
        "x4.onnx", SPEC, protocol, "Set5", "Set5", None, False, tuple(scores), "my-model", stated,
        ("a remark",), 3.0,
    )  # fmt: skip
    return report.to_dict()


def bench() -> dict[str, Any]:
    row = BenchmarkRow(
        "ort", "ort", "cpu", "fp32", "my-model", "any", SOURCE, 64, 64, 1, 30, 20.0, 24.0, None,
        21.0, 3.2, 1.0, 1.0, 1.0, 55.0, 0.4, 300.0, 40.0, rss_growth_mb=80.0,
    )  # fmt: skip
    other = replace(row, label="openvino", backend="openvino", p50_ms=15.0, p90_ms=18.0, ratio=1.33)
    failed = FailedContender("rtx", "There is no GPU.")
    machine = {"processor": "A processor"}
    report = BenchmarkReport(
        (row, other), machine, {"numpy": "2"}, None, True, {"fp32": 140.0}, 300.0, False, (failed,)
    )
    changes = ({"row": asdict(row), "before_ms": 10.0, "slowdown": 2.0, "noise": 0.1},)
    return {**report.to_dict(), "changes": changes, "seconds": 4.0}


def inspection() -> dict[str, Any]:
    largest = (Activation("gemm_1", (1, 60, 256, 256), "Half", 7_864_320, 3),)
    blocks = {"layers.0.blocks.0": ["a", "b"], "layers.0.blocks.1": ["a", "b"]}
    kinds = {name: ["attention", "gemm"] for name in blocks}
    profile = ShapeProfile((1, 3, 256, 256), (1, 3, 256, 256), (1, 3, 256, 256))
    report = EngineInspection(
        "x4.onnx", "rtx:sm89", "TensorRT for RTX 1.7", "fp16", (profile,), 12.0, 2_000_000,
        64_000_000, 900_000, 2, 4, {"attention": 2, "gemm": 2}, 2, 0, blocks, largest, kinds,
    )  # fmt: skip
    return report.to_dict()


def kernels() -> dict[str, Any]:
    kernel = {
        "kernel": "block", "part": "attention", "launches": 12, "warps": 4, "registers": 168,
        "spill_bytes": 0, "shared_bytes": 49152,
    }  # fmt: skip
    return {
        "model": "my-model", "target": "cuda:sm90", "precision": "fp16", "triton": "3.6",
        "kernels_per_block": 2, "architectures": {"sm90": [kernel]}, "seconds": 5.0,
    }  # fmt: skip


ALL = {
    "verify": verify,
    "layers": layers,
    "export": export,
    "eval": evaluation,
    "bench": bench,
    "inspect": inspection,
    "kernels": kernels,
    "comparison": lambda: {"a": inspection(), "b": inspection()},
}
"""Kind -> what makes such a report, without its identity."""


def identified(kind: str, **changes: Any) -> dict[str, Any]:
    """A report as its JSON file holds it; ``changes`` are of the model's identity."""
    values = {**ALL[kind](), "identity": identity(kind, **changes)}
    read: dict[str, Any] = json.loads(json.dumps(plain(values)))
    return read


def saved(folder: Path, kind: str, values: dict[str, Any] | None = None) -> Path:
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(values or identified(kind)), encoding="utf-8")
    return path


def gallery(name: str = "photo.png", side: int = 96) -> Gallery:
    """Two pictures: one of an evaluation, one of a comparison."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((side, side))
    wave = 128 + 90 * np.sin(rows / 7) * np.cos(columns / 9)
    truth = np.stack([wave, wave[::-1], wave.T], axis=2).astype(np.uint8)
    degraded = (truth // 16) * 16
    restored = np.clip(truth + random.integers(-6, 7, truth.shape), 0, 255).astype(np.uint8)
    kept = Gallery()
    kept.add_measured(
        name, Sample(truth, degraded.astype(np.float32) / 255, degraded), restored, 30
    )
    values = (restored / 255).astype(np.float32).transpose(2, 0, 1)[None]
    kept.add_compared("other.png", values[:, :, ::4, ::4], values, values)
    return kept
