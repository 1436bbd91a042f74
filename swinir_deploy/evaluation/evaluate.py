"""Measure a model on any back end, so that the results compare with the paper's figures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from swinir_deploy.errors import (
    BackendUnavailableError,
    CatalogError,
    DownloadError,
    InputError,
    PictureError,
    RuntimeClosedError,
    SwinIRDeployError,
    UsageError,
)
from swinir_deploy.evaluation.metrics import MIN_SIDE_PX
from swinir_deploy.evaluation.protocol import Bytes, Candidate, Protocol, Sample
from swinir_deploy.evaluation.reports import (
    EvaluationReport,
    PictureScore,
    StatedFigure,
    UnmeasuredPicture,
    mean_scores,
)
from swinir_deploy.evaluation.testsets import dataset_name, find_reduced, list_pictures
from swinir_deploy.exports.open import open_model
from swinir_deploy.models.catalog import ModelCard, Task, load_catalog
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.restoration.folder_contents import unusable
from swinir_deploy.runtimes import RuntimeSpec
from swinir_deploy.runtimes.spec import require_pictures
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.packages import require
from swinir_deploy.verification.reference import (
    RecordedWeights,
    catalogue_id,
    load_reference,
    open_reference,
    require_same_kind,
    require_same_source,
)

if TYPE_CHECKING:
    from swinir_deploy.models.load import LoadedModel

__all__ = ["evaluate"]


Show = Callable[[str, Sample, Bytes, float], None]
"""Gets the name of a picture, the original and degraded one, the result and its score."""

_LOADING = ("key", "prefix", "img_range", "mean")
"""Options that say how a checkpoint is loaded, not how it is run."""


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    lr: str | os.PathLike[str] | None = None,
    task: str | None = None,
    noise: float | None = None,
    quality: int | None = None,
    backend: str | None = None,
    device: str | None = None,
    tile: int | None = None,
    self_ensemble: bool = False,
    reference: bool | str | os.PathLike[str] | LoadedModel = True,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Show | None = None,
    **options: Any,
) -> EvaluationReport:
    """Measure a model on a folder of pictures by the paper's protocol (docs/evaluation.md).

    Each picture is degraded as main_test_swinir.py does it, padded by its mirror image to the next
    multiple of the window, restored whole, cropped, rounded and compared. The degraded picture is
    measured too, and, for other back ends, the network in PyTorch and FP32.

    Args:
        model: an exported file, a checkpoint or a catalogue id. For ``ort`` and ``openvino``, a
            checkpoint or id is exported once and kept in the cache.
        data: folder of the original pictures; its subfolders are not searched.
        lr: folder of the reduced pictures, ``NAMExSCALE``; None makes them as MATLAB's bicubic
            ``imresize`` does, or with the degradations of real-world super-resolution for a model
            that is for them. Only for super-resolution.
        task: ``sr``, ``denoise`` or ``jpeg``; None takes the task of the model.
        noise: standard deviation of the noise on 0..255; None takes that of the model's card.
        quality: JPEG quality, 1 to 100; None takes that of the model's card.
        backend: as in :func:`swinir_deploy.open_runtime`.
        device: as in :func:`swinir_deploy.open_runtime`.
        **options: as in :func:`swinir_deploy.open_runtime`, and ``precision``: with ``ort``, that
            of the export of a checkpoint or id.
        tile: side of tiles in input pixels, blended as :class:`~swinir_deploy.Restorer` does it;
            None restores whole pictures, as in the paper.
        self_ensemble: True takes the mean over the eight flips and rotations before rounding, as
            the paper's "+" does.
        reference: the model to compare with: a checkpoint, id or loaded model. True finds it in
            the catalogue by the model's id; if that fails, a note in the report says so. False
            compares with nothing. It runs on the CPU, with the same tiles and self-ensemble.
        offline: True never downloads a checkpoint.
        progress: called with a line of text before each picture.
        say: called with a line of text before an export.
        show: called with the name of each picture, the original and degraded one, the model's
            result ([height, width, 1 or 3] uint8) and its score by the first metric.

    Returns:
        A report with the scores of each picture and their means. A picture that cannot be measured
        is listed in ``failures``, and the others are measured.

    Raises:
        UsageError: the task, noise or quality is unknown, or does not fit the model.
        PictureError: there are no pictures, or none can be read or has a reduced one in ``lr``.
        InputError: all pictures are too small, or all reduced ones have the wrong size.
        BackendUnavailableError: the back end, or OpenCV for JPEG, is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from swinir_deploy import evaluate
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pixels = np.full((64, 64, 3), 128, np.uint8)
        ...     Image.fromarray(pixels).save(Path(folder) / "gray.png")
        ...     report = evaluate("tiny-sr-x4", folder, backend="torch")
        >>> report.metrics
        ('psnr_y', 'ssim_y')
    """
    started = time.perf_counter()
    name = os.fspath(model)
    pictures, ignored = list_pictures(data)
    loading = {key: options.pop(key) for key in _LOADING if key in options}
    with ExitStack() as stack:
        runtime = stack.enter_context(
            open_model(
                model,
                backend,
                device,
                prefers="torch",
                load_options=loading,
                offline=offline,
                say=say,
                **options,
            )
        )
        spec = runtime.spec
        require_pictures(spec)
        card = _card_of(spec)
        protocol = _protocol(spec, card, name, task, noise, quality)
        if lr is not None and protocol.task != "sr":
            raise UsageError(
                f"lr cannot be used with a {protocol.task} model, whose input is made from the "
                "original pictures. Leave it out."
            )
        loaded, notes = _reference(spec, name, reference, offline)
        notes += _notes(protocol, card, spec, tile, self_ensemble, ignored, lr)
        candidates = [Candidate(runtime, tile, self_ensemble)]
        if loaded is not None:
            network = stack.enter_context(open_reference(loaded))
            require_same_kind(name, spec, network.spec)
            candidates.append(Candidate(network, tile, self_ensemble))
        scores, failures = _measure(protocol, candidates, pictures, lr, progress, show)
    notes += _left_out(protocol, scores)
    dataset = dataset_name(data)
    return EvaluationReport(
        model=name,
        spec=spec,
        protocol=protocol,
        data=os.fspath(data),
        dataset=dataset,
        tile=_tile_used(spec, tile),
        self_ensemble=self_ensemble,
        pictures=scores,
        reference=None if loaded is None else loaded.model_id,
        # A real-world model's figures are for the degradations that are made here.
        stated=() if protocol.real and lr else _stated(card, protocol, dataset, scores),
        notes=tuple(notes),
        seconds=time.perf_counter() - started,
        failures=failures,
    )


def _measure(
    protocol: Protocol,
    candidates: list[Candidate],
    pictures: list[Path],
    lr: str | os.PathLike[str] | None,
    progress: Callable[[str], None] | None,
    show: Show | None,
) -> tuple[tuple[PictureScore, ...], tuple[UnmeasuredPicture, ...]]:
    """Return the scores of every picture, and why the others have none.

    Raises:
        SwinIRDeployError: no picture could be measured; it is the error of the first one.
    """
    scores, failures = [], []
    first: SwinIRDeployError | None = None
    for number, path in enumerate(pictures, 1):
        if progress is not None:
            progress(f"{path.name} ({number} of {len(pictures)})")
        try:
            scores.append(_score(protocol, candidates, path, lr, show))
        except (BackendUnavailableError, RuntimeClosedError):  # of no picture in particular
            raise
        except SwinIRDeployError as error:
            first = first or error
            failures.append(UnmeasuredPicture(path.name, str(error)))
    if first is not None and not scores:
        raise first
    return tuple(scores), tuple(failures)


def _score(
    protocol: Protocol,
    candidates: list[Candidate],
    path: Path,
    lr: str | os.PathLike[str] | None,
    show: Show | None,
) -> PictureScore:
    reduced = None if lr is None else find_reduced(lr, path, protocol.scale)
    for file in (path, reduced):
        reason = None if file is None else unusable(file)
        if reason is not None:
            raise PictureError(reason)
    try:
        sample = protocol.sample(
            read_picture(path).pixels,
            None if reduced is None else read_picture(reduced).pixels,
        )
        baseline = protocol.score(sample.baseline, sample.truth)
        results = [candidate.restore(sample.degraded) for candidate in candidates]
        scores = [protocol.score(result, sample.truth) for result in results]
    except (InputError, UsageError) as error:
        text = str(error)
        if isinstance(error, RuntimeClosedError) or str(path) in text:
            raise
        raise InputError(f"Cannot measure on {path}: {text}") from error
    if show is not None:
        show(path.name, sample, results[0], scores[0][protocol.metrics[0]])
    height, width = sample.truth.shape[:2]
    return PictureScore(path.name, height, width, scores[0], baseline, *scores[1:])


# ------------------------------------------------------------------------------------ the protocol


def _card_of(spec: RuntimeSpec) -> ModelCard | None:
    """Return the catalogue's card of a model, if it is there and of the same checkpoint."""
    try:
        card = load_catalog().get(spec.model_id)
    except CatalogError:
        return None
    is_same = not (card.sha256 and spec.source_sha256) or card.sha256 == spec.source_sha256
    return card if is_same else None


def _protocol(
    spec: RuntimeSpec,
    card: ModelCard | None,
    name: str,
    task: str | None,
    noise: float | None,
    quality: int | None,
) -> Protocol:
    if task is not None and task not in get_args(Task):
        raise UsageError(unknown_choice("task", task, get_args(Task)))
    selected = (
        task or (card.task if card else None) or spec.task or ("sr" if spec.scale > 1 else "")
    )
    if not selected:
        raise UsageError(
            f"The task of {name} is unknown. Give it: --task denoise --noise 25, or "
            "--task jpeg --quality 40."
        )
    if (selected == "sr") != (spec.scale > 1):
        raise UsageError(
            f"{name} has scale {spec.scale}; it cannot be measured as {selected!r}. Give its own "
            "task."
        )
    for option, value, owner in (("noise", noise, "denoise"), ("quality", quality, "jpeg")):
        if value is not None and selected != owner:
            raise UsageError(
                f"{option} is for a {owner} model; {name} is for {selected!r}. Leave it out."
            )
    if selected == "denoise" and noise is None:
        noise = card.noise if card else None
        if noise is None:
            raise UsageError(f"The noise level of {name} is unknown. Give it: --noise 25.")
    if selected == "jpeg" and quality is None:
        quality = card.quality if card else None
        if quality is None:
            raise UsageError(f"The JPEG quality of {name} is unknown. Give it: --quality 40.")
    return Protocol(
        task=cast("Task", selected),
        gray=spec.in_chans == 1,
        scale=spec.scale,
        noise=noise,
        quality=quality,
        real=card.real if card else False,
    )


def _tile_used(spec: RuntimeSpec, tile: int | None) -> int | None:
    if spec.height is not None or spec.width is not None:
        return spec.height or spec.width
    return max(1, tile // spec.window_size) * spec.window_size if tile else None


def _notes(
    protocol: Protocol,
    card: ModelCard | None,
    spec: RuntimeSpec,
    tile: int | None,
    self_ensemble: bool,
    ignored: int,
    lr: str | os.PathLike[str] | None,
) -> list[str]:
    notes = []
    used = _tile_used(spec, tile)
    if used is not None:
        notes.append(
            f"Measured in tiles of {used} pixels; the paper's figures are of whole pictures."
        )
    if self_ensemble:
        notes.append(
            "Measured with self-ensemble; stated figures are without it unless they say so."
        )
    if self_ensemble and (spec.io == "image" or used is not None):
        notes.append("The eight results were clamped one by one before they were averaged.")
    if spec.io == "image" and protocol.task == "denoise":
        notes.append("The model takes bytes: the noisy pictures were clamped and rounded.")
    if protocol.real:
        notes.append("A model for real-world pictures: the paper gives no figures, no border.")
        if lr is None:
            notes.append(
                "The reduced pictures were made by blur, reduction, noise and JPEG in random order "
                "(seeded); --lr takes others."
            )
    if card is not None and not _fits(card, protocol):
        notes.append(f"The model was made for another degradation ({card.purpose}).")
    if ignored:
        notes.append(f"{ignored} files that are no pictures were left out.")
    return notes


def _left_out(protocol: Protocol, pictures: tuple[PictureScore, ...]) -> list[str]:
    """Return a note for each metric that some pictures are too small for."""
    notes = []
    for metric in protocol.metrics:
        small = [picture.name for picture in pictures if metric not in picture.scores]
        if small:
            name = metric.rpartition("_")[0]
            minimum = MIN_SIDE_PX[name]
            named = ", ".join(small[:3]) + (" and others" if len(small) > 3 else "")
            rest = "; the mean is that of the others" if len(small) < len(pictures) else ""
            notes.append(
                f"{name.upper().replace('_', '-')} takes {minimum}x{minimum} pixels inside the "
                f"border, and {len(small)} of {len(pictures)} pictures have fewer ({named}){rest}."
            )
    return notes


def _fits(card: ModelCard, protocol: Protocol) -> bool:
    requested = (protocol.task, protocol.noise, protocol.quality)
    return requested == (card.task, card.noise, card.quality)


def _stated(
    card: ModelCard | None,
    protocol: Protocol,
    dataset: str | None,
    pictures: tuple[PictureScore, ...],
) -> tuple[StatedFigure, ...]:
    """Return the card's figures for this data set, each with the measured mean."""
    if card is None or dataset is None or not _fits(card, protocol):
        return ()
    mean = mean_scores([picture.scores for picture in pictures])
    return tuple(
        StatedFigure(dataset, figure.metric, figure.value, mean[figure.metric], figure.source)
        for figure in (*card.published, *card.measured)
        if figure.dataset == dataset and figure.metric in mean
    )


# --------------------------------------------------------------------------------- the reference


def _reference(
    spec: RuntimeSpec,
    name: str,
    reference: bool | str | os.PathLike[str] | LoadedModel,
    offline: bool,
) -> tuple[LoadedModel | None, list[str]]:
    """Return the network to compare with, or None and a note with the reason."""
    if reference is False or (
        reference is True and (spec.backend, spec.precision) == ("torch", "fp32")
    ):
        return None, []
    try:
        require("export", "Comparing with PyTorch")
        source = (
            catalogue_id(spec.model_id, name, "--reference") if reference is True else reference
        )
        loaded = load_reference(source, recorded=RecordedWeights.of(spec), offline=offline)
        require_same_source(name, spec.source_sha256, loaded)
    except (BackendUnavailableError, DownloadError, UsageError) as error:
        if reference is not True:
            raise
        return None, [f"Not compared with PyTorch: {error}"]
    return loaded, []
