"""Adopt an ONNX file by another program: find out what it takes, wrap it, prove it, write it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import min_side_px, parse_sides
from swinir_deploy.errors import ArtifactError, InputError, UsageError
from swinir_deploy.system.files import atomic_output, check_output
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.adoption.convention import ValueRange
    from swinir_deploy.adoption.foreign import ForeignModel
    from swinir_deploy.adoption.probe import Judge, Probe, Sizes
    from swinir_deploy.adoption.prove import AdoptionProof
    from swinir_deploy.adoption.ranges import FoundRange
    from swinir_deploy.models.load import LoadedModel

__all__ = ["AdoptionReport", "adopt_onnx"]

_DEFAULT_WINDOW = 8
"""Tiles start at multiples of this where a model has no windows: it keeps sides even."""

_LARGEST_WINDOW = 64


@dataclass(frozen=True)
class AdoptionReport:
    """The copy that was written, what was found out, and what proves it.

    Attributes:
        path: path of the copy.
        size_bytes: size of the copy in bytes.
        seconds: time of the whole adoption in seconds.
        source: path of the file that was adopted.
        metadata: metadata stored in the copy. ``metadata.adopted`` says what was found, and how.
        proof: the comparisons that the copy passed.
        notes: sentences about what was assumed, or removed.
    """

    path: Path
    size_bytes: int
    seconds: float
    source: Path
    metadata: ArtifactMetadata
    proof: AdoptionProof
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "path": os.fspath(self.path),
            "source": os.fspath(self.source),
            "size_bytes": self.size_bytes,
            "seconds": self.seconds,
            "metadata": self.metadata.to_dict(),
            "proof": asdict(self.proof),
            "found": list(self.notes),
        }


def adopt_onnx(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    reference: LoadedModel | str | os.PathLike[str] | None = None,
    value_range: str | None = None,
    bgr: bool | None = None,
    shape: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> AdoptionReport:
    """Write a copy of another program's ONNX file that this package opens as its own.

    The model is looked at and run to find its layout, channels, scale, range of values, the sizes
    that it takes, and its precision. The copy takes NCHW float32 in 0..1 (``tensor``) or NHWC
    uint8 (``image``). It is compared with the original, in tiles with the whole picture, and with
    a checkpoint if one is given, before it gets its name.

    Args:
        source: the ONNX file.
        output: the file to write, ending in ``.onnx``.
        reference: the checkpoint, id or loaded model that the file was exported from. It tells
            what otherwise has to be assumed.
        value_range: the values of black and white, ``0..1``, ``0..255`` or ``-1..1``; None finds
            them.
        bgr: whether the first channel is blue; None takes RGB unless the graph says otherwise.
        shape: the only height and width in pixels at which the file is right, such as ``64x64``;
            None finds the sizes.
        say: called with a line of text about the progress.

    Raises:
        InputError: the file is damaged, or its model cannot be adopted; the message says why.
        UsageError: an argument is not understood, or this package wrote the file.
        CheckFailedError: the copy, or the model, failed a comparison; nothing is written.
        BackendUnavailableError: onnx or onnxruntime is not installed; or torch, with a reference.

    Example:
        >>> import onnx
        >>> from swinir_deploy import adopt_onnx, export_onnx, restore
        >>> exported = export_onnx("tiny-sr-x4", "ours.onnx")
        >>> foreign = onnx.load("ours.onnx")
        >>> del foreign.metadata_props[:]  # as another program would have written it
        >>> onnx.save(foreign, "theirs.onnx")
        >>> report = adopt_onnx("theirs.onnx", "adopted.onnx")
        >>> report.metadata.scale, report.metadata.window_size, report.metadata.shape
        (4, 8, 'Nx3xHxW')
    """
    started = time.perf_counter()
    path, target = Path(source), _checked_output(source, output)
    given_range = _parsed_range(value_range)
    require("adopt", "Adopting a model")
    from swinir_deploy.adoption.clues import find_clues
    from swinir_deploy.adoption.foreign import read_foreign
    from swinir_deploy.adoption.probe import Sizes, find_sizes, find_window, open_probe
    from swinir_deploy.adoption.prove import prove_copy
    from swinir_deploy.adoption.ranges import find_range
    from swinir_deploy.adoption.wrap import wrapped_model

    fixed = None if shape is None else Sizes(None, *parse_sides(shape))
    foreign = read_foreign(path)
    clues = find_clues(foreign.model, foreign.input.name)
    loaded, judge = _reference(reference)
    say(f"Running {path} to find out what it takes ...")
    probe, scale, size = open_probe(foreign, clues, fixed)
    if loaded is not None:
        _require_same_kind(foreign, loaded, scale, probe.convention.channels)
    found = find_range(probe, scale, size, clues, given=given_range, bgr=bgr, judge=judge)
    sizes = find_sizes(found.probe, scale, clues, fixed, judge)
    own_window = loaded.config.window_size if loaded is not None else find_window(probe, sizes)
    window = _for_smallest_side(found.probe, sizes, _tile_multiple(foreign, sizes, own_window))
    model = wrapped_model(foreign, found.probe.convention, sizes, scale)
    metadata = _metadata(foreign, found, sizes, scale, window, loaded)
    say("Comparing the copy with the original ...")
    with atomic_output(target) as temporary:
        _write(model, metadata, temporary)
        proof = prove_copy(temporary, found.probe, sizes, judge)
        metadata = _proved(metadata, proof)
        _write(model, metadata, temporary)
    return AdoptionReport(
        path=target,
        size_bytes=target.stat().st_size,
        seconds=time.perf_counter() - started,
        source=path,
        metadata=metadata,
        proof=proof,
        notes=(*foreign.notes, *_notes(foreign, found, sizes, own_window)),
    )


def _checked_output(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> Path:
    target = check_output(output)
    if target.suffix.lower() != ".onnx":
        raise UsageError(
            f"The output {os.fspath(output)!r} does not end in .onnx. Give a name such as "
            "adopted.onnx."
        )
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise UsageError(
            f"The output {target} is the file to adopt, which is never changed. Give another name "
            "with -o."
        )
    return target


def _parsed_range(text: str | None) -> ValueRange | None:
    if text is None:
        return None
    from swinir_deploy.adoption.convention import BYTES, SIGNED, UNIT

    known = {str(found): found for found in (UNIT, BYTES, SIGNED)}
    if text not in known:
        raise UsageError(
            f"The range {text!r} is not understood. Choose {', '.join(known)}: the values of black "
            "and white."
        )
    return known[text]


def _reference(
    reference: LoadedModel | str | os.PathLike[str] | None,
) -> tuple[LoadedModel | None, Judge | None]:
    """Return the loaded network, and a function that runs it on NCHW pictures in 0..1."""
    if reference is None:
        return None, None
    from swinir_deploy.verification.reference import load_reference, open_reference

    loaded = load_reference(reference)
    return loaded, open_reference(loaded).run


def _require_same_kind(
    foreign: ForeignModel, loaded: LoadedModel, scale: int, channels: int
) -> None:
    config = loaded.config
    if (scale, channels) != (config.upscale, config.in_chans):
        raise UsageError(
            f"{foreign.path} has scale {scale} and {channels} channels; {loaded.model_id} has "
            f"scale {config.upscale} and {config.in_chans}. Give the checkpoint that it was "
            "exported from."
        )


def _tile_multiple(foreign: ForeignModel, sizes: Sizes, window: int | None) -> int:
    """Return the multiple at which tiles start: whole windows that are also sizes it takes."""
    found = math.lcm(window or 1, sizes.multiple)
    if found > _LARGEST_WINDOW:
        found = sizes.multiple
    if found > _LARGEST_WINDOW:
        raise InputError(
            f"{foreign.path} takes only sides that are multiples of {found}; the largest that can "
            f"be used is {_LARGEST_WINDOW}. Export it for one size, and adopt that file."
        )
    if window is None:
        found = math.lcm(found, _DEFAULT_WINDOW)
        found = found if found <= _LARGEST_WINDOW else sizes.multiple
    smallest = min(side for side in (sizes.height, sizes.width, _LARGEST_WINDOW) if side)
    return max(2, min(found, smallest))


def _for_smallest_side(probe: Probe, sizes: Sizes, window: int) -> int:
    """Return a multiple of ``window`` whose smallest side the model takes.

    Pictures are padded to at least half a window. Convolutions that pad by reflection fail on
    very small ones.
    """
    found = window
    while found * 2 <= _LARGEST_WINDOW and not sizes.height and not sizes.width:
        side = -(-min_side_px(found) // sizes.multiple) * sizes.multiple
        if probe.run(probe.picture(side, side, sizes.batch or 1)) is not None:
            return found
        found *= 2
    return found


def _metadata(
    foreign: ForeignModel,
    found: FoundRange,
    sizes: Sizes,
    scale: int,
    window: int,
    loaded: LoadedModel | None,
) -> ArtifactMetadata:
    from swinir_deploy.adoption.wrap import io_of

    own = found.probe.convention
    producer = f"{foreign.model.producer_name} {foreign.model.producer_version}".strip()
    metadata = ArtifactMetadata(
        io=io_of(own),
        scale=scale,
        in_chans=own.channels,
        window_size=window,
        precision=foreign.precision,
        task=loaded.task if loaded is not None else "sr" if scale > 1 else "",
        model_id=loaded.model_id if loaded is not None else foreign.path.stem,
        source_sha256="" if loaded is None else loaded.source_sha256,
        shape=f"{sizes.batch or 'N'}x{own.channels}x{sizes.height or 'H'}x{sizes.width or 'W'}",
        opset=foreign.opset,
        config={} if loaded is None else loaded.config.to_dict(),
        tools={"swinir-deploy": __version__, "producer": producer},
        adopted={
            "file": foreign.path.name,
            "sha256": foreign.sha256,
            "input": str(foreign.input),
            "layout": own.input_layout,
            "range": str(own.input_range),
            "output_range": str(own.output_range),
            "range_source": found.range_source,
            "order": "bgr" if own.bgr else "rgb",
            "order_source": found.order_source if own.channels == 3 else "gray",
            "multiple": sizes.multiple,
            "fixed_because": sizes.reason,
        },
    )
    try:
        return ArtifactMetadata.from_props(metadata.to_props(), os.fspath(foreign.path))
    except ArtifactError as error:
        raise InputError(
            f"{foreign.path} restores {own.channels} channels at scale {scale}, with tiles of "
            f"{window} pixels, which this package does not run ({error})."
        ) from error


def _proved(metadata: ArtifactMetadata, proof: AdoptionProof) -> ArtifactMetadata:
    against = proof.network or proof.copy
    parity: dict[str, Any] = {
        "reference": "network in PyTorch, fp32" if proof.network else "the file that was adopted",
        "backend": "onnxruntime, cpu",
        "shapes": [list(shape) for shape in proof.shapes],
        "max_abs": against.max_abs,
        "unit": "level of 255" if metadata.io == "image" else "1.0 = white",
    }
    if proof.tiles_db is not None:
        parity["tiles_psnr_db"] = min(round(proof.tiles_db, 1), 200.0)
    return replace(metadata, parity=parity)


def _write(model: Any, metadata: ArtifactMetadata, path: Path) -> None:
    """Write the model with its own properties and the metadata, all weights inside."""
    import onnx

    own = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**own, **metadata.to_props()})
    try:
        path.write_bytes(model.SerializeToString())
    except ValueError as error:  # protobuf's limit of 2 GiB
        raise InputError(
            f"{metadata.model_id} is larger than 2 GiB with its weights, more than one ONNX file "
            "can hold. It cannot be adopted."
        ) from error


def _notes(foreign: ForeignModel, found: FoundRange, sizes: Sizes, window: int | None) -> list[str]:
    own, notes = found.probe.convention, []
    if len(foreign.model.graph.output) > 1:
        others = [v.name for v in foreign.model.graph.output if v.name != own.output_name]
        notes.append(f"Its output {own.output_name} is the picture; {', '.join(others)} are left.")
    if sizes.reason:
        notes.append(
            f"It takes {sizes.width}x{sizes.height} pixels alone, although it calls its sides "
            f"dynamic: {sizes.reason}. Larger and smaller pictures are restored in tiles of this "
            "size."
        )
    elif sizes.height or sizes.width:
        notes.append(
            f"It takes {sizes.width or 'any'}x{sizes.height or 'any'} pixels: pictures are "
            "restored in tiles of this size."
        )
    elif sizes.multiple > 1:
        notes.append(
            f"Its sides must be multiples of {sizes.multiple}: the copy pads pictures by "
            "reflection, and crops the result."
        )
    if found.range_source == "assumed":
        notes.append(
            f"Nothing shows whether its values are 0..1 or 0..255: {own.input_range} was assumed. "
            "Look at a result, or give --range."
        )
    if own.channels == 3 and found.order_source == "assumed":
        notes.append("The order of the channels cannot be seen: RGB was assumed. Else give --bgr.")
    if window is None:
        notes.append("It has no attention windows: tiles start at multiples of 8 pixels.")
    return notes
