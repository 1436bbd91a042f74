"""Taking SwinIR from a checkpoint to production.

    from swinir_deploy import export_onnx, open_runtime, restore

    export_onnx("tiny-sr-x4", "tiny-sr-x4.onnx")
    restore("photo.png", "photo-x4.png", model="tiny-sr-x4.onnx")

Names are imported when they are first used, so that ``import swinir_deploy`` costs nothing and a
machine that only runs exported models needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from swinir_deploy._version import __version__

if TYPE_CHECKING:
    from swinir_deploy.benchmarking.benchmark import Contender, benchmark
    from swinir_deploy.benchmarking.reports import BenchmarkReport
    from swinir_deploy.errors import SwinIRDeployError
    from swinir_deploy.evaluation.evaluate import evaluate
    from swinir_deploy.evaluation.reports import EvaluationReport, PictureScore, StatedFigure
    from swinir_deploy.exporters.onnx.export import ExportReport, export_onnx
    from swinir_deploy.models.catalog import ModelCard, load_catalog
    from swinir_deploy.models.load import LoadedModel, load_model
    from swinir_deploy.network.config import SwinIRConfig
    from swinir_deploy.network.swinir import SwinIR
    from swinir_deploy.restoration.reports import FolderReport, RestoredFile
    from swinir_deploy.restoration.restorer import Restorer, restore
    from swinir_deploy.runtimes import Runtime, RuntimeSpec, RuntimeStats, open_runtime
    from swinir_deploy.verification.parity import Limit, ParityReport, verify

_HOMES = {
    "BenchmarkReport": "swinir_deploy.benchmarking.reports",
    "Contender": "swinir_deploy.benchmarking.benchmark",
    "EvaluationReport": "swinir_deploy.evaluation.reports",
    "ExportReport": "swinir_deploy.exporters.onnx.export",
    "FolderReport": "swinir_deploy.restoration.reports",
    "Limit": "swinir_deploy.verification.parity",
    "LoadedModel": "swinir_deploy.models.load",
    "ModelCard": "swinir_deploy.models.catalog",
    "ParityReport": "swinir_deploy.verification.parity",
    "PictureScore": "swinir_deploy.evaluation.reports",
    "RestoredFile": "swinir_deploy.restoration.reports",
    "Restorer": "swinir_deploy.restoration.restorer",
    "Runtime": "swinir_deploy.runtimes",
    "RuntimeSpec": "swinir_deploy.runtimes",
    "RuntimeStats": "swinir_deploy.runtimes",
    "StatedFigure": "swinir_deploy.evaluation.reports",
    "SwinIR": "swinir_deploy.network.swinir",
    "SwinIRConfig": "swinir_deploy.network.config",
    "SwinIRDeployError": "swinir_deploy.errors",
    "benchmark": "swinir_deploy.benchmarking.benchmark",
    "evaluate": "swinir_deploy.evaluation.evaluate",
    "export_onnx": "swinir_deploy.exporters.onnx.export",
    "load_catalog": "swinir_deploy.models.catalog",
    "load_model": "swinir_deploy.models.load",
    "open_runtime": "swinir_deploy.runtimes",
    "restore": "swinir_deploy.restoration.restorer",
    "verify": "swinir_deploy.verification.parity",
}

__all__ = [
    "BenchmarkReport",
    "Contender",
    "EvaluationReport",
    "ExportReport",
    "FolderReport",
    "Limit",
    "LoadedModel",
    "ModelCard",
    "ParityReport",
    "PictureScore",
    "RestoredFile",
    "Restorer",
    "Runtime",
    "RuntimeSpec",
    "RuntimeStats",
    "StatedFigure",
    "SwinIR",
    "SwinIRConfig",
    "SwinIRDeployError",
    "__version__",
    "benchmark",
    "evaluate",
    "export_onnx",
    "load_catalog",
    "load_model",
    "open_runtime",
    "restore",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
