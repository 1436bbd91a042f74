"""Run a foreign model to find out what it takes: layout, channels, scale, sizes and batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.adoption.clues import Clues
from swinir_deploy.adoption.convention import BYTES, UNIT, Convention, Layout
from swinir_deploy.adoption.foreign import ForeignModel, ForeignPort
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import CheckFailedError, InputError
from swinir_deploy.system.packages import naming_the_extra
from swinir_deploy.system.telemetry import without_telemetry

__all__ = ["Judge", "Probe", "Sizes", "find_sizes", "find_window", "judged_db", "open_probe"]

Judge = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""What a model should make of NCHW pictures in 0..1: the network that it came from."""

_MULTIPLES = (1, 2, 3, 4, 6, 7, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64)
"""Numbers of pixels that sides may have to be multiples of; windows are up to 64."""

_COMMON_SIDES = (64, 48, 128, 96, 72, 56, 112, 126, 144, 160, 168, 192, 224, 256, 264, 320, 512)
"""Sides that models are usually traced at, tried where no constant names one."""

_RIGHT_DB = 35.0
"""A model that is nearer than this to the network it came from is that network."""

_SAME_DB = 50.0
"""A picture of a batch differs from the same picture alone by no more than this, in dB."""

_FAR_SHARE = 0.004
"""Largest share that a change far away may have of the change beside the cut. In right networks
(three trained ones, light and medium with random weights) it was below what counts as a change;
with the mask of another size repeated, at least 0.010 in one direction and 0.055 in the other."""

_NO_CHANGE = {"fp32": 1e-5, "fp16": 2e-4, "bf16": 2e-3}
"""Mean differences of so much are rounding."""


@dataclass(frozen=True)
class Sizes:
    """The sizes that a model takes.

    Attributes:
        batch: the only batch size; None for any.
        height: the only height in pixels; None for any multiple of ``multiple``.
        width: the only width in pixels, likewise.
        multiple: a number of pixels that dynamic sides must be multiples of.
        reason: why a side that the file calls dynamic is fixed; empty if none is.
    """

    batch: int | None = None
    height: int | None = None
    width: int | None = None
    multiple: int = 1
    reason: str = ""

    @property
    def is_fixed(self) -> bool:
        """Return whether both sides are fixed."""
        return self.height is not None and self.width is not None

    def example(self, side: int = 64) -> tuple[int, int]:
        """Return a height and width that the model takes, near ``side`` where it is free."""
        free = max(1, side // self.multiple) * self.multiple
        return self.height or free, self.width or free


class Probe:
    """A foreign model that is open in ONNX Runtime on the CPU.

    Attributes:
        convention: how pictures go in and come out.
        last_error: why the last run failed; empty after one that succeeded.
    """

    def __init__(self, foreign: ForeignModel, convention: Convention, session: Any) -> None:
        self.foreign, self.convention, self._session = foreign, convention, session
        self.last_error = ""

    def with_convention(self, convention: Convention) -> Probe:
        """Return a probe of the same session with another convention."""
        return Probe(self.foreign, convention, self._session)

    def run(self, values: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the restored pictures; None if the model fails or gives no picture.

        Args:
            values: [batch, channels, height, width] in 0..1, RGB.

        Returns:
            [batch, channels, height * scale, width * scale] around 0..1.
        """
        own = self.convention
        self.last_error = ""
        try:
            (output,) = self._session.run([own.output_name], {own.input_name: own.feed(values)})
        except Exception as error:  # onnxruntime's exceptions have no public base class
            self.last_error = " ".join(str(error).split())[:200]
            return None
        restored = own.picture(np.asarray(output))
        if restored is None:
            self.last_error = f"it gives {list(np.asarray(output).shape)}"
        return restored

    def scale(self, values: NDArray[np.float32]) -> int | None:
        """Return the scale at which the model restores this batch; None if it cannot."""
        restored = self.run(values)
        if restored is None:
            return None
        batch, _, height, width = (int(side) for side in values.shape)
        found = tuple(int(side) for side in restored.shape)
        if found[0] == batch and found[2] % height == 0 and found[2] // height * width == found[3]:
            return found[2] // height
        self.last_error = f"it gives {found[3]}x{found[2]} pixels for {width}x{height}"
        return None

    def picture(self, height: int, width: int, batch: int = 1) -> NDArray[np.float32]:
        """Return a synthetic picture that the model may take."""
        return sample_picture(batch, self.convention.channels, height, width)


def open_probe(
    foreign: ForeignModel, clues: Clues, fixed: Sizes | None = None
) -> tuple[Probe, int, tuple[int, int]]:
    """Open a model with the layout, channels and output under which it restores a picture.

    Args:
        foreign: the model.
        clues: what its constants say.
        fixed: a size that the user gave; None tries several.

    Returns:
        The probe, the scale, and a height and width that the model takes.

    Raises:
        InputError: there is no such layout: it does not restore pictures.
        BackendUnavailableError: onnxruntime is not installed.
    """
    session = _session(foreign)
    failures: list[str] = []
    for convention in _conventions(foreign):
        probe = Probe(foreign, convention, session)
        for height, width in _first_sizes(convention, foreign.input, clues, fixed):
            batch = foreign.input.dims[0] or 1
            values = probe.picture(height, width, batch)
            scale = probe.scale(values)
            if scale is not None:
                return probe, scale, (height, width)
            failures.append(f"at {width}x{height}: {probe.last_error}")
    reason = failures[0] if failures else "no layout fits"
    raise InputError(
        f"{foreign.path} takes {foreign.input} and gives "
        f"{', '.join(map(str, foreign.outputs))}; in no layout does it give a picture whose sides "
        f"are a whole multiple of the input's ({reason}). It does not restore pictures, or takes "
        "only one size: give that with --shape HxW."
    )


def _session(foreign: ForeignModel) -> Any:
    with naming_the_extra(), without_telemetry():
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            foreign.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise InputError(
            f"{foreign.path}: ONNX Runtime {onnxruntime.__version__} cannot load it "
            f"({' '.join(str(error).split())[:200].rstrip('.')}). Export it again, with operators "
            "of ONNX alone."
        ) from error


def _conventions(foreign: ForeignModel) -> list[Convention]:
    """Return all readings of the ports that their declared shapes allow, likely ones first."""
    port = foreign.input
    layouts = _LAYOUTS
    if port.dtype == "uint8":
        layouts = ("nhwc", "nchw")
    axis = _channel_axis(port)
    if axis is not None:
        layouts = ("nchw",) if axis == 1 else ("nhwc",)
    inputs: list[tuple[int, Layout]] = []
    for layout in layouts:
        declared = port.dims[1 if layout == "nchw" else 3]
        inputs += [(channels, layout) for channels in (3, 1) if declared in (None, channels)]
    # A declared number of channels says more than a dynamic one.
    inputs.sort(key=lambda own: port.dims[1 if own[1] == "nchw" else 3] is None)
    if not inputs:
        raise InputError(
            f"{foreign.path} takes {port}: neither one nor three channels. Only gray and RGB "
            "models can be adopted."
        )
    found = []
    for channels, layout in inputs:
        for output in foreign.outputs:
            for output_layout in sorted(_LAYOUTS, key=lambda other: other != layout):
                declared = output.dims[1 if output_layout == "nchw" else 3]
                if declared in (None, channels):
                    found.append(
                        Convention(
                            channels=channels,
                            input_name=port.name,
                            input_dtype=port.dtype,
                            input_layout=layout,
                            input_range=BYTES if port.dtype == "uint8" else UNIT,
                            output_name=output.name,
                            output_dtype=output.dtype,
                            output_layout=output_layout,
                            output_range=BYTES if output.dtype == "uint8" else UNIT,
                        )
                    )
    return found


def _channel_axis(port: ForeignPort) -> int | None:
    """Return the axis of the channels if it is the only fixed one of a dynamic picture."""
    fixed = [axis for axis in (1, 2, 3) if port.dims[axis] is not None]
    return fixed[0] if fixed in ([1], [3]) else None


_LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc")


def sides_of(port: ForeignPort, layout: Layout) -> tuple[int | None, int | None]:
    """Return the declared height and width of a port."""
    dims = port.dims
    return (dims[2], dims[3]) if layout == "nchw" else (dims[1], dims[2])


def _first_sizes(
    convention: Convention, port: ForeignPort, clues: Clues, fixed: Sizes | None
) -> list[tuple[int, int]]:
    """Return the sizes at which a model is run first."""
    height, width = sides_of(port, convention.input_layout)
    if fixed is not None:
        return [fixed.example()]
    if height is not None and width is not None:
        return [(height, width)]
    named = [clues.frozen] if clues.frozen is not None else []
    sizes = [*named, (64, 64), *clues.sizes, *((side, side) for side in _COMMON_SIDES)]
    return list(dict.fromkeys((height or h, width or w) for h, w in sizes))


# ------------------------------------------------------------------------------------------- sizes


def find_sizes(
    probe: Probe,
    scale: int,
    clues: Clues,
    fixed: Sizes | None = None,
    judge: Judge | None = None,
) -> Sizes:
    """Find which sizes a model takes, by running it.

    Args:
        probe: the open model, with the right range of values.
        scale: its scale.
        clues: what its constants say.
        fixed: a size that the user gave, which is not questioned; None finds them.
        judge: the network that it came from, if that is known.

    Raises:
        InputError: the model runs at many sizes, and is right at one that nothing names.
        CheckFailedError: the model differs from ``judge`` at every size.
    """
    port = probe.foreign.input
    declared = Sizes(port.dims[0], *sides_of(port, probe.convention.input_layout))
    if fixed is not None:
        sizes = fixed
    elif declared.is_fixed:
        sizes = declared
    elif clues.frozen is not None:
        reason = "its shift masks are constants for this size"
        sizes = _frozen(declared, clues.frozen, reason)
    else:
        sizes = _free_sizes(probe, scale, declared, clues, judge)
    return replace(sizes, batch=port.dims[0] or _only_batch(probe, sizes))


def _free_sizes(
    probe: Probe, scale: int, declared: Sizes, clues: Clues, judge: Judge | None
) -> Sizes:
    """Find the multiple that dynamic sides must have, or the only size that is right."""
    batch = declared.batch or 1

    def works(height: int, width: int) -> bool:
        return probe.scale(probe.picture(height, width, batch)) == scale

    reason = "it fails at other sizes"
    for multiple in _MULTIPLES:
        tried = [
            (declared.height or height, declared.width or width)
            for height, width in _sizes_of(multiple)
        ]
        if not all(works(*size) for size in tried):
            continue
        free = replace(declared, multiple=multiple)
        if judge is not None:
            if all(judged_db(probe, judge, size) >= _RIGHT_DB for size in tried):
                return free
            reason = "it differs from the checkpoint at other sizes"
        elif _follows_size(probe, free, scale):
            return free
        else:
            reason = "what it makes of pixels at other sizes depends on the size of the picture"
        break
    named = [*clues.sizes, *((side, side) for side in _COMMON_SIDES)]
    for height, width in dict.fromkeys(named):
        size = (declared.height or height, declared.width or width)
        # Where several sizes run, only the network or a constant can tell which is right.
        is_known = judge is not None or reason.startswith("it fails") or size in clues.sizes
        if not is_known or not works(*size):
            continue
        if judge is None or judged_db(probe, judge, size) >= _RIGHT_DB:
            return _frozen(declared, size, reason)
    if judge is not None:
        raise CheckFailedError(
            f"{probe.foreign.path} differs from the checkpoint at every size that was tried. Give "
            "the checkpoint that it was exported from."
        )
    raise InputError(
        f"{probe.foreign.path} calls its sides dynamic, but {reason}: it was traced at one size "
        "and gives wrong pixels at others. Give that size with --shape HxW, or the checkpoint "
        "with --model."
    )


def judged_db(probe: Probe, judge: Judge, size: tuple[int, int]) -> float:
    """Return the PSNR in dB of the model against the network at a height and width."""
    values = probe.picture(*size, probe.foreign.input.dims[0] or 1)
    restored = probe.run(values)
    expected = judge(values)
    if restored is None or restored.shape != expected.shape:
        return -np.inf
    return compare(restored, expected).psnr_db


def _frozen(declared: Sizes, size: tuple[int, int], reason: str) -> Sizes:
    height, width = size
    return replace(
        declared,
        height=declared.height or height,
        width=declared.width or width,
        reason=reason,
    )


def _sizes_of(multiple: int) -> list[tuple[int, int]]:
    """Return sizes that have no larger common multiple of :data:`_MULTIPLES`.

    Their numbers of windows of 7 and of 8 differ, and many of them are odd: a file that repeats
    the mask of one size runs only where that size's windows divide these numbers.
    """
    snapped = [
        (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        for height, width in ((24, 33), (41, 57), (72, 24), (33, 72))
    ]
    return list(dict.fromkeys(snapped))


def _only_batch(probe: Probe, sizes: Sizes) -> int | None:
    """Return 1 if a batch of two fails or mixes its pictures, else None."""
    height, width = sizes.example()
    pair = probe.picture(height, width, 2)
    together = probe.run(pair)
    if together is None or len(together) != 2:
        return 1
    for index in range(2):
        alone = probe.run(pair[index : index + 1])
        if alone is None or not compare(together[index : index + 1], alone).psnr_db >= _SAME_DB:
            return 1
    return None


def _follows_size(probe: Probe, sizes: Sizes, scale: int) -> bool:
    """Return whether pixels far from a cut are the same with and without what was cut off.

    A shift mask of one size that is repeated at another masks windows in the middle of a picture,
    so that a change of the width is felt everywhere. In a right network, it fades with the
    distance from the cut.
    """
    for turned in (False, True):
        for steps in (13, 11):  # not congruent to the cut's 8 by any number of windows alike
            share = far_share(probe, sizes, scale, steps, turned)
            if share is None or share > _FAR_SHARE:
                return False
    return True


def far_share(probe: Probe, sizes: Sizes, scale: int, steps: int, turned: bool) -> float | None:
    """Return the change far from a cut as a share of the change beside it.

    Args:
        probe: the model.
        sizes: the sizes that it takes.
        scale: its scale.
        steps: width of the whole picture; the cut is at 8. A step is the multiple that sides must
            have, at least 8 pixels.
        turned: cut off rows instead of columns.

    Returns:
        The share; 0 where this side is fixed or nothing changes; None if the model fails.
    """
    if (sizes.height if turned else sizes.width) is not None:
        return 0.0
    step = -(-8 // sizes.multiple) * sizes.multiple
    whole_side, side = steps * step, 8 * step
    across = (sizes.width if turned else sizes.height) or 3 * step
    batch = probe.foreign.input.dims[0] or 1
    whole = probe.picture(*((whole_side, across) if turned else (across, whole_side)), batch)
    part = np.ascontiguousarray(whole[:, :, :side] if turned else whole[..., :side])
    restored, alone = probe.run(whole), probe.run(part)
    if restored is None or alone is None:
        return None
    if not (np.isfinite(restored).all() and np.isfinite(alone).all()):
        return 0.0  # the proof of the copy says so
    cut = restored[:, :, : side * scale] if turned else restored[..., : side * scale]
    change = np.abs(cut - alone).mean(axis=(0, 1, 3 if turned else 2))
    near = float(change[-step * scale :].mean())
    far = float(change[: 3 * step * scale].mean())
    return far / near if far > _NO_CHANGE[probe.foreign.precision] else 0.0


def find_window(probe: Probe, sizes: Sizes) -> int | None:
    """Return the side of the attention windows in pixels, by what softmax runs over.

    Returns:
        The smallest such side; None if there is no attention in square windows.
    """
    import onnx

    with without_telemetry():
        import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(probe.foreign.model)
    nodes = [node for node in model.graph.node if node.op_type == "Softmax"][:8]
    names = [node.output[0] for node in nodes]
    if not names:
        return None
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    values = probe.picture(*sizes.example(), probe.foreign.input.dims[0] or 1)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(names, {probe.convention.input_name: probe.convention.feed(values)})
    except Exception:  # a clue that cannot be had
        return None
    windows = set()
    for result in results:
        shape = np.asarray(result).shape
        root = round(shape[-1] ** 0.5) if len(shape) > 2 and shape[-1] == shape[-2] else 0
        if root > 1 and root * root == shape[-1]:
            windows.add(root)
    return min(windows) if windows else None
