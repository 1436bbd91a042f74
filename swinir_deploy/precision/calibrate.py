"""Measure the largest numbers inside a network and plan its FP16 precision from them.

The largest FP16 number is 65504. The deep-feature stream is multiplied by 2**-k, so that its
largest value on the calibration pictures is :data:`MARGIN` times smaller than that. Other modules
with larger values stay in FP32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.errors import CheckFailedError
from swinir_deploy.network.swinir import RSTB, SwinIR, SwinTransformerBlock
from swinir_deploy.precision.plan import PrecisionPlan, typed_modules
from swinir_deploy.precision.samples import NamedPicture

__all__ = ["FP16_MAX", "MARGIN", "Calibration", "calibrate", "plan_precision"]

FP16_MAX = 65504.0

MARGIN = 8.0
"""Largest FP16 number divided by the largest value allowed on the calibration pictures.

Other pictures can have larger values; docs/precision.md states how much larger. A factor of 8
costs no accuracy: multiplying by a power of two loses no bit of a value as long as it stays above
6e-5, the smallest normal FP16 number.
"""

_LARGEST_ALLOWED = FP16_MAX / MARGIN

_STREAM = "stream"
_LAST_OF_THE_BODY = "conv_after_body"


@dataclass(frozen=True)
class Calibration:
    """Largest absolute values over all pictures, in the FP32 network without rescaling.

    Attributes:
        pictures: names of the measured pictures.
        stream_max: largest value of the deep-feature stream and of everything added to it.
        module_max: path from :func:`typed_modules` -> largest value of its weights, inputs,
            outputs and intermediate results, without those that are rescaled with the stream.
        stream_max_by_picture: name of a picture -> ``stream_max`` of this picture alone.
        stream_max_by_stage: ``stream_max`` of each RSTB alone, the first one first.
    """

    pictures: tuple[str, ...]
    stream_max: float
    module_max: dict[str, float]
    stream_max_by_picture: dict[str, float]
    stream_max_by_stage: tuple[float, ...] = ()

    @property
    def residual_scale_log2(self) -> int:
        """Smallest k >= 0 with ``stream_max * 2**-k <= FP16_MAX / MARGIN``."""
        excess = self.stream_max / _LARGEST_ALLOWED
        return max(0, math.ceil(math.log2(excess))) if excess > 0 else 0


def calibrate(
    network: SwinIR,
    pictures: Sequence[NamedPicture],
    step: Callable[[], None] = lambda: None,
) -> Calibration:
    """Run the FP32 network on every picture and record the largest absolute values.

    Args:
        network: the network in FP32.
        pictures: pictures of sizes that it takes.
        step: called after each picture.

    Raises:
        CheckFailedError: the FP32 network returns NaN or Inf.
    """
    by_picture: dict[str, float] = {}
    overall = _largest_weights(network)
    stages = [_stage(number) for number, _ in enumerate(_rstbs(network))]
    for picture in pictures:
        with _watched(network) as maxima, torch.no_grad():
            network(torch.from_numpy(picture.values))
        if not all(math.isfinite(value) for value in maxima.values()):
            raise CheckFailedError(
                f"The network itself gives NaN or Inf on the picture {picture.name!r}: its "
                "weights are damaged. Nothing was written. Use another checkpoint."
            )
        by_picture[picture.name] = max(maxima[stage] for stage in stages)
        for name, value in maxima.items():
            overall[name] = max(value, overall.get(name, 0.0))
        step()
    by_stage = tuple(overall.pop(stage) for stage in stages)
    return Calibration(
        pictures=tuple(by_picture),
        stream_max=max(by_stage),
        module_max=overall,
        stream_max_by_picture=by_picture,
        stream_max_by_stage=by_stage,
    )


def plan_precision(precision: Precision, calibration: Calibration | None) -> PrecisionPlan:
    """Plan what to rescale and what to keep in FP32. Only FP16 needs either."""
    if precision != "fp16" or calibration is None:
        return PrecisionPlan(precision)
    keep = (name for name, value in calibration.module_max.items() if value > _LARGEST_ALLOWED)
    return PrecisionPlan(precision, calibration.residual_scale_log2, tuple(keep))


def _largest_weights(network: SwinIR) -> dict[str, float]:
    """Return path -> largest weight of every typed module, without the rescaled layers."""
    rescaled = (".proj.", ".fc2.")
    return {
        path: max(
            float(weight.abs().max())
            for name, weight in module.named_parameters(prefix=path)
            if not any(part in name for part in rescaled)
        )
        for path, module in typed_modules(network).items()
    }


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the maximum of every operation's result for the innermost watched module."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.maxima: dict[str, float] = {}
        self.places: list[str] = []

    def record(self, place: str, tensor: Tensor) -> None:
        if tensor.is_floating_point() and tensor.numel():
            largest = float(tensor.abs().max())
            known = self.maxima.get(place, 0.0)
            # A comparison with NaN is false; NaN must win.
            self.maxima[place] = known if known >= largest or math.isnan(known) else largest

    def forget_innermost(self) -> None:
        self.places.pop()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.places and isinstance(result, Tensor) and not func.is_view:
            self.record(self.places[-1], result)
        return result


def _rstbs(network: SwinIR) -> Iterator[RSTB]:
    return (module for module in network.modules() if isinstance(module, RSTB))


def _stage(number: int) -> str:
    """Return the place of the stream in the RSTB with this number, which starts from 0."""
    return f"{_STREAM} {number}"


@contextmanager
def _watched(network: SwinIR) -> Iterator[dict[str, float]]:
    """Yield a dictionary that is filled with maxima while the network runs."""
    recorder = _Recorder()
    handles = []

    def reads(module: nn.Module, place: str) -> None:
        """Record the input of ``module``."""
        handles.append(
            module.register_forward_pre_hook(lambda _, inputs: recorder.record(place, inputs[0]))
        )

    def computes(module: nn.Module, place: str) -> None:
        """Record every result inside ``module``."""
        handles.append(module.register_forward_pre_hook(lambda *_: recorder.places.append(place)))
        handles.append(module.register_forward_hook(lambda *_: recorder.forget_innermost()))

    rstbs = list(_rstbs(network))
    into_stream = {id(rstb.conv): _stage(number) for number, rstb in enumerate(rstbs)}
    for path, module in typed_modules(network).items():
        place = into_stream.get(id(module), path)
        reads(module, place)
        computes(module, place)
    for number, rstb in enumerate(rstbs):
        for module in rstb.modules():
            if isinstance(module, SwinTransformerBlock):
                computes(module.attn.proj, _stage(number))
                computes(module.mlp.fc2, _stage(number))
                reads(module.norm1, _stage(number))
                reads(module.norm2, _stage(number))
    reads(network.norm, _stage(len(rstbs) - 1))
    # The sum with the shallow features is no module; its value is the input of the next module.
    paths = list(typed_modules(network))
    reads(network.get_submodule(paths[paths.index(_LAST_OF_THE_BODY) + 1]), _LAST_OF_THE_BODY)
    try:
        with recorder:
            yield recorder.maxima
    finally:
        for handle in handles:
            handle.remove()
