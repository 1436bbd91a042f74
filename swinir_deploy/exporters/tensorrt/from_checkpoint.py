"""Make the ONNX file that an engine is built from, where the user has a checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.metadata import ArtifactMetadata, IoLayout, Precision
from swinir_deploy.exporters.onnx.recipes import check_request
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest, shape_profiles
from swinir_deploy.models.find import FoundModel
from swinir_deploy.system.packages import require
from swinir_deploy.system.stages import Stages

__all__ = ["exported_for_tensorrt", "name_of"]


@contextmanager
def exported_for_tensorrt(
    model: FoundModel,
    *,
    precision: Precision = "fp16",
    io: IoLayout = "tensor",
    calibrate: str | None = None,
    shapes: ShapeRequest | None = None,
    load_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
    bar: bool | None = False,
) -> Iterator[Path]:
    """Export a checkpoint, or a model of the catalogue, for TensorRT; yield the temporary file.

    Args:
        model: the model, which is no exported file.
        precision: as in :func:`swinir_deploy.export_onnx`. TensorRT computes in it, and fuses the
            attention in half precision only.
        io: as in :func:`swinir_deploy.export_onnx`.
        calibrate: as in :func:`swinir_deploy.export_onnx`.
        shapes: the shapes of the engine, which are checked before the export.
        load_options: further arguments of :func:`swinir_deploy.load_model`.
        progress: True shows a progress bar of a download.
        offline: True never downloads.
        say: called with a line of text for each stage.
        bar: whether to show a progress bar of a stage; None shows it if stderr is a terminal.

    Raises:
        UsageError: an argument is unknown, or arguments exclude each other.
        BackendUnavailableError: a package of the extra ``export`` is not installed.
        InputError: the checkpoint is damaged or no SwinIR.
        CheckFailedError: the export differs from the network.
        DownloadError: the checkpoint cannot be downloaded.
    """
    check_request(target="tensorrt", precision=precision, io=io, calibrate=calibrate)
    require("export", f"Building an engine from {model.name}, which is exported first,")
    from swinir_deploy.exporters.onnx.export import export_onnx, stages_of_export
    from swinir_deploy.models.load import load_model

    loaded = load_model(model.name, progress=progress, offline=offline, **(load_options or {}))
    config = loaded.config
    # A position embedding for one size of pictures fixes the sides.
    side = str(config.img_size) if config.ape else None
    shape = f"Nx{config.in_chans}x{side}x{side}" if side else f"Nx{config.in_chans}xHxW"
    planned = ArtifactMetadata(
        io=io,
        scale=config.upscale,
        in_chans=config.in_chans,
        window_size=config.window_size,
        shape=shape,
    )
    shape_profiles(shapes or ShapeRequest(), planned)
    with (
        tempfile.TemporaryDirectory(prefix="swinir-deploy-") as folder,
        Stages(say, total=stages_of_export(precision), bar=bar) as stages,
    ):
        if say is not None:
            say(f"Exporting {loaded.model_id} for TensorRT in {precision} first.")
        path = Path(folder) / f"{name_of(model)}.onnx"
        export_onnx(
            loaded,
            path,
            target="tensorrt",
            precision=precision,
            io=io,
            shape=shape,
            calibrate=calibrate,
            stages=stages,
        )
        stages.close()
        yield path


def name_of(model: FoundModel) -> str:
    """Return the name for files that are made from a model: its id, or its file's stem."""
    return model.card.id if model.card is not None else Path(model.name).stem
