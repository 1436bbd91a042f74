"""Models that run one after another on the same batch, as one model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import IoLayout, Precision
from swinir_deploy.errors import UsageError
from swinir_deploy.pictures.values import nchw_values, nhwc_levels
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec

__all__ = ["ChainedRuntime", "chained"]

_COARSEST: tuple[Precision, ...] = ("bf16", "fp16", "fp32")


def chained(runtimes: Sequence[Runtime]) -> Runtime:
    """Return one runtime for several that are open; of a single one, that itself.

    Raises:
        UsageError: the models do not fit together.
    """
    return runtimes[0] if len(runtimes) == 1 else ChainedRuntime(runtimes)


class ChainedRuntime(Runtime):
    """Runs open models one after another. Closing it does not close them.

    Between two models, values are clamped to 0..1, as they would be in a picture, and not rounded
    where both take floats.

    Args:
        runtimes: the open models in the order in which they run; at least one.

    Raises:
        UsageError: the models have different channels, or one takes only certain sizes.
    """

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        self._parts = tuple(runtimes)
        super().__init__()

    def _load(self) -> RuntimeSpec:
        specs = [part.spec for part in self._parts]
        channels = {spec.in_chans for spec in specs}
        if len(channels) > 1:
            raise UsageError(
                f"{_names(specs)} take {' and '.join(map(str, sorted(channels)))} channels and "
                "cannot run one after another. Add --color, or --gray, to choose all alike."
            )
        for spec in specs:
            free = ((1, None), *((spec.min_side_px, None),) * 2)
            if spec.ranges != free or spec.other_ranges:
                raise UsageError(
                    f"{spec.model_id or 'A model'} takes only certain sizes "
                    f"({spec.describe_input()}); models that run one after another must take all. "
                    "Export it without --shape."
                )
        smallest, scale = 1, 1
        for spec in specs:
            smallest = max(smallest, math.ceil(spec.min_side_px / scale))
            scale *= spec.scale
        precisions = {spec.precision for spec in specs}
        return RuntimeSpec(
            backend="+".join(dict.fromkeys(spec.backend for spec in specs)),
            device=specs[0].device,
            io=specs[0].io,
            scale=scale,
            in_chans=specs[0].in_chans,
            window_size=math.lcm(*(spec.window_size for spec in specs)),
            precision=next(name for name in _COARSEST if name in precisions),
            min_side_px=smallest,
            task=",".join(spec.task for spec in specs),
            model_id=_names(specs),
            provider="+".join(dict.fromkeys(spec.provider for spec in specs)),
        )

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        io, values = self._spec.io, batch
        for part in self._parts:
            values = part.run(_converted(values, io, part.spec.io))
            io = part.spec.io
            if io == "tensor" and part is not self._parts[-1]:
                values = np.clip(values, 0.0, 1.0)
        return _converted(values, io, self._spec.io)

    def _unload(self) -> None:
        self._parts = ()


def _converted(batch: NDArray[Any], before: IoLayout, after: IoLayout) -> NDArray[Any]:
    """Return a batch in another layout: ``tensor`` is NCHW float32, ``image`` NHWC uint8."""
    if before == after:
        return batch
    return nhwc_levels(batch) if after == "image" else nchw_values(batch)


def _names(specs: Sequence[RuntimeSpec]) -> str:
    return "+".join(spec.model_id or "unknown" for spec in specs)
