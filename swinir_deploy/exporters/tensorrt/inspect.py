"""Compile an engine without a GPU and describe its kernels, fusions and memory.

The engine itself is not kept. The description comes from the log of the compiler.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.shapes import ShapePattern, ShapeProfile
from swinir_deploy.errors import CheckFailedError, UsageError
from swinir_deploy.exporters.tensorrt.compile import Compilation, compile_model
from swinir_deploy.exporters.tensorrt.kernel_log import (
    Kernel,
    activation_bytes,
    block_of_each,
    parse_kernels,
    weight_bytes,
)
from swinir_deploy.exporters.tensorrt.onnx_input import SourceModel, read_source
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest, shape_profiles
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.nvidia.tensorrt_library import Library, load_library
from swinir_deploy.system.records import read_object, record_of

__all__ = ["Activation", "EngineInspection", "check_inspection", "inspect_model", "read_inspection"]

_LARGEST = 10
_REPORT = "a report of 'swinir-deploy inspect --json'"
_ADVICE = "Give a report of 'swinir-deploy inspect --json', or an ONNX file."


@dataclass(frozen=True)
class Activation:
    """A tensor that kernels write. Tensors of the same shape and type are listed once.

    Attributes:
        kernel: name of the first kernel that writes such a tensor.
        shape: shape at the largest input.
        dtype: TensorRT's name of the type, such as ``Half``.
        size_bytes: size of one such tensor in bytes.
        count: number of such tensors.
    """

    kernel: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    count: int


@dataclass(frozen=True)
class EngineInspection:
    """The kernels and the memory of an engine.

    Attributes:
        model: path of the ONNX file.
        target: target of the engine, such as ``rtx:sm89``.
        library: name and version of the library.
        precision: precision of the model.
        profiles: input shapes of the engine.
        seconds: time of the compilation in seconds.
        plan_bytes: size of the engine in bytes.
        activation_bytes: bytes of device memory for the activations of one execution context.
        weight_bytes: bytes of device memory for the weights.
        blocks: number of Swin Transformer blocks in the model.
        kernels: number of kernels in the engine, without those that only compute shapes.
        kinds: kind -> number of kernels.
        fused_attentions: number of kernels that compute a whole attention.
        casts: number of kernels that only convert types.
        kernels_per_block: block -> names of its kernels, in the order in which they run.
        largest: the ten largest activations at the largest shape, the largest first.
        kinds_per_block: block -> kinds of its kernels, in the same order; empty in older reports.
    """

    model: str
    target: str
    library: str
    precision: str
    profiles: tuple[ShapeProfile, ...]
    seconds: float
    plan_bytes: int
    activation_bytes: int
    weight_bytes: int
    blocks: int
    kernels: int
    kinds: dict[str, int]
    fused_attentions: int
    casts: int
    kernels_per_block: dict[str, list[str]]
    largest: tuple[Activation, ...]
    kinds_per_block: dict[str, list[str]] = field(default_factory=dict)

    @property
    def most_kernels_in_a_block(self) -> int:
        """Largest number of kernels in one block; 0 without blocks."""
        return max((len(names) for names in self.kernels_per_block.values()), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the derived ones."""
        return {**asdict(self), "most_kernels_in_a_block": self.most_kernels_in_a_block}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> EngineInspection:
        """Read what :meth:`to_dict` returned.

        Args:
            values: the plain values.
            source: name of the file, for messages.

        Raises:
            InputError: the values are not those of a report.
        """
        return record_of(values, cls, f"{source} is not {_REPORT}: ", _ADVICE)


def inspect_model(
    model: str | os.PathLike[str],
    target: str,
    *,
    shapes: ShapeRequest | None = None,
    options: BuildOptions | None = None,
    progress: bool | None = None,
    named: str = "",
) -> EngineInspection:
    """Compile a model for a GPU that need not be in this machine, and describe the engine.

    Args:
        model: an ONNX file of this package, exported for any target.
        target: one GPU, such as ``rtx:sm89``.
        shapes: input shapes of the engine; None takes one tile.
        options: options of the builder; None takes the defaults.
        progress: show a progress bar; None shows one if stderr is a terminal.
        named: what the report names as the model, where ``model`` is a temporary file.

    Returns:
        The kernels, fusions and memory of the engine, which itself is not kept.

    Raises:
        UsageError: the target names no GPU or several, or shapes or options are impossible.
        InputError: the model cannot be read.
        BackendUnavailableError: TensorRT for RTX is not installed.
        CheckFailedError: the library cannot build the engine, or its log lists no kernels.

    Example:
        The example needs TensorRT for RTX, but no GPU.

        >>> from swinir_deploy import export_onnx, inspect_model
        >>> exported = export_onnx(
        ...     "tiny-sr-x4", "x4.onnx", target="tensorrt", precision="fp16"
        ... )  # doctest: +SKIP
        >>> inspection = inspect_model(exported.path, "rtx:sm89")  # doctest: +SKIP
        >>> inspection.fused_attentions == inspection.blocks  # doctest: +SKIP
        True
    """
    selected, checked, library = check_inspection(target, options)
    source = read_source(model)
    request = shapes or ShapeRequest()
    if (
        not request.max_shapes
        and request.batch is None
        and ShapePattern.of_artifact(source.metadata.shape).batch is None
    ):
        request = ShapeRequest(tile_px=request.tile_px, batch=(1, 1, 1))
    profiles = shape_profiles(request, source.metadata)

    def compile_for(requested: Sequence[ShapeProfile]) -> Compilation:
        return compile_model(
            source, selected, library, requested, checked, progress=progress, down_to="verbose"
        )

    compilation = compile_for(profiles)
    kernels = parse_kernels(compilation.messages)
    if not kernels:
        raise CheckFailedError(
            f"{library} compiled {source.path}, but its log has no list of kernels that this "
            "version of swinir-deploy can read. Update swinir-deploy, or use an older version of "
            "the library."
        )
    largest = _largest(kernels)
    if largest is None:  # Sizes are dynamic, so compile again for the largest shape alone.
        biggest = max(profiles, key=lambda profile: _volume(profile.max)).max
        alone = compile_for([ShapeProfile(biggest, biggest, biggest)])
        largest = _largest(parse_kernels(alone.messages)) or ()
    described = _describe(source, selected, library, profiles, compilation, kernels, largest)
    return replace(described, model=named) if named else described


def check_inspection(
    target: str, options: BuildOptions | None = None
) -> tuple[Target, BuildOptions, Library]:
    """Check what can be checked without the model, before a checkpoint is exported.

    Arguments and errors are as in :func:`inspect_model`.
    """
    selected = Target.parse(target)
    if len(selected.architectures) != 1:
        raise UsageError(
            f"The target {target!r} names {len(selected.architectures) or 'no'} GPUs; inspect "
            "compiles for exactly one. Give a target such as --target rtx:sm89."
        )
    checked = (options or BuildOptions()).checked_for(selected)
    return selected, checked, load_library(selected.flavour.name)


def read_inspection(
    path: str | os.PathLike[str],
    target: str,
    *,
    shapes: ShapeRequest | None = None,
    options: BuildOptions | None = None,
    progress: bool | None = None,
) -> EngineInspection:
    """Read the saved report ``path``, or compile the ONNX file ``path`` and describe it.

    The other arguments and the errors are as in :func:`inspect_model`.
    """
    file = Path(path)
    if file.suffix.lower() != ".json":
        return inspect_model(file, target, shapes=shapes, options=options, progress=progress)
    return EngineInspection.from_dict(read_object(file, _REPORT, _ADVICE), str(file))


def _describe(
    source: SourceModel,
    target: Target,
    library: Library,
    profiles: tuple[ShapeProfile, ...],
    compilation: Compilation,
    kernels: list[Kernel],
    largest: tuple[Activation, ...],
) -> EngineInspection:
    computing = [kernel for kernel in kernels if kernel.kind != "shape"]
    kinds = Counter(kernel.kind for kernel in computing)
    per_block: dict[str, list[str]] = {}
    kinds_per_block: dict[str, list[str]] = {}
    for kernel, block in zip(kernels, block_of_each(kernels), strict=True):
        if block is not None and kernel.kind != "shape":
            per_block.setdefault(block, []).append(kernel.name)
            kinds_per_block.setdefault(block, []).append(kernel.kind)
    return EngineInspection(
        model=str(source.path),
        target=str(target),
        library=str(library),
        precision=source.metadata.precision,
        profiles=profiles,
        seconds=compilation.seconds,
        plan_bytes=compilation.plan.nbytes,
        activation_bytes=activation_bytes(compilation.messages),
        weight_bytes=weight_bytes(compilation.messages),
        blocks=source.blocks,
        kernels=len(computing),
        kinds=dict(kinds.most_common()),
        fused_attentions=kinds["attention"],
        casts=kinds["cast"],
        kernels_per_block=per_block,
        largest=largest,
        kinds_per_block=kinds_per_block,
    )


def _largest(kernels: Sequence[Kernel]) -> tuple[Activation, ...] | None:
    """Return the largest activations; None if the size of a kernel's output is not known."""
    activations: dict[tuple[tuple[int, ...], str], Activation] = {}
    for kernel in kernels:
        for tensor in kernel.outputs if kernel.kind != "shape" else ():
            size, same = tensor.size_bytes, (tensor.shape, tensor.dtype)
            if size is None:
                return None
            first = activations.setdefault(same, Activation(kernel.name, *same, size, 0))
            activations[same] = replace(first, count=first.count + 1)
    largest = sorted(activations.values(), key=lambda activation: -activation.size_bytes)
    return tuple(largest[:_LARGEST])


def _volume(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
