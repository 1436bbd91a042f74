"""SwinIR by one or two kernels a block, as an operator and as a module of PyTorch.

The operator ``swinir_deploy::fused_swinir`` computes the whole network. Its arguments are the
picture, the packed weights and a text that says everything else, so that ``torch.compile`` and
``torch.export`` take it as one step whose output shape they know, and a program that was exported
runs wherever this module is imported.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn

from swinir_deploy.artifacts.launch_program import Plan
from swinir_deploy.errors import InputError
from swinir_deploy.kernels.packing import pack
from swinir_deploy.kernels.plan import Io, make_plan
from swinir_deploy.kernels.settings import Settings, settings_for
from swinir_deploy.kernels.widths import stored_channels
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

__all__ = ["FusedSwinIR", "fused_swinir"]

_INTERPRETED = 90
"""The architecture whose settings Triton's interpreter takes."""


class _Recipe:
    """Everything about a network but its tensors, and the plans that were made for it.

    Args:
        config: of the network.
        numbers: of :class:`.packing.PackedSwinIR`.
        names: of the weights, in the order in which the operator gets them.
        io: ``tensor`` or ``image``.
        settings: None takes those of the architecture that runs it.
    """

    def __init__(
        self,
        config: SwinIRConfig,
        numbers: dict[str, float],
        names: Sequence[str],
        io: Io,
        settings: Settings | None,
    ) -> None:
        self.config = config
        self.numbers = numbers
        self.names = tuple(names)
        self.io: Io = io
        self._settings = settings
        self.plan = functools.lru_cache(maxsize=64)(self._plan)

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(
            {
                "config": self.config.to_dict(),
                "numbers": self.numbers,
                "names": self.names,
                "io": self.io,
                "settings": None if self._settings is None else _plain(asdict(self._settings)),
            }
        )

    @classmethod
    def from_text(cls, text: str) -> _Recipe:
        """Return the inverse of :meth:`to_text`."""
        values = json.loads(text)
        settings = values["settings"]
        return cls(
            SwinIRConfig.from_dict(values["config"]),
            values["numbers"],
            values["names"],
            values["io"],
            None if settings is None else Settings(**settings),
        )

    def settings(self, device: torch.device) -> Settings:
        """Return the settings for a device."""
        if self._settings is not None:
            return self._settings
        return _settings_of_device(device)

    def _plan(self, device: torch.device, batch: int, height: int, width: int) -> Plan:
        return make_plan(
            self.config,
            self.numbers,
            self.settings(device),
            batch=batch,
            height=height,
            width=width,
            io=self.io,
        )

    def check_layout(self, picture: Tensor) -> None:
        """Raise InputError for a dtype or a layout that the kernels cannot read."""
        expected = torch.float32 if self.io == "tensor" else torch.uint8
        channels = self.config.in_chans
        layout, axis = f"[batch, {channels}, height, width]", 1
        if self.io == "image":
            layout, axis = f"[batch, height, width, {channels}]", 3
        if picture.ndim != 4 or picture.shape[axis] != channels:
            raise InputError(
                f"The input has shape {list(picture.shape)}; this network takes {layout}."
            )
        if picture.dtype != expected:
            raise InputError(
                f"The input is {picture.dtype}; the kernels take {expected}. Convert it first."
            )

    def check(self, picture: Tensor, home: torch.device) -> tuple[int, int, int]:
        """Return batch, height and width of an input that the kernels can read.

        Raises:
            InputError: they cannot read it.
        """
        self.check_layout(picture)
        if picture.device != home:
            raise InputError(f"The input is on {picture.device}, the weights on {home}.")
        if not picture.is_contiguous():
            raise InputError("The input is not contiguous. Call contiguous() on it first.")
        batch, height, width = self.sizes(picture.shape)
        if batch < 1:
            raise InputError("The input has no picture: its batch is 0. Give at least one.")
        if min(height, width) < self.config.min_side:
            raise InputError(
                f"The picture has {width}x{height} pixels; the network pads by reflection and "
                f"needs sides of at least {self.config.min_side}. Pad it first, or use Restorer."
            )
        return batch, height, width

    def sizes(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return batch, height and width of an input's shape."""
        if self.io == "tensor":
            return shape[0], shape[2], shape[3]
        return shape[0], shape[1], shape[2]

    def output_shape(self, shape: Sequence[int]) -> list[int]:
        """Return the shape of the result; sides may be symbols."""
        batch, height, width = self.sizes(shape)
        scale, channels = self.config.upscale, self.config.in_chans
        if self.io == "tensor":
            return [batch, channels, height * scale, width * scale]
        return [batch, height * scale, width * scale, channels]

    def launch(
        self, picture: Tensor, weights: Sequence[Tensor], arena: Tensor, output: Tensor
    ) -> None:
        """Launch all kernels in the current stream; see :func:`.launch.run_plan`."""
        from swinir_deploy.kernels.launch import run_plan

        device = picture.device
        plan = self.plan(device, *self.sizes(picture.shape))
        stored = stored_channels(self.config.embed_dim)
        named = dict(zip(self.names, weights, strict=True))
        # Triton launches on the current device, wherever the tensors are.
        on_device = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
        with on_device:
            run_plan(plan, self.settings(device), stored, named, picture, arena, output)


@functools.lru_cache(maxsize=64)
def _read(recipe: str) -> _Recipe:
    return _Recipe.from_text(recipe)


@torch.library.custom_op("swinir_deploy::fused_swinir", mutates_args=())
def fused_swinir(picture: Tensor, weights: Sequence[Tensor], recipe: str) -> Tensor:
    """Compute a network by the kernels; :class:`FusedSwinIR` knows the arguments.

    Args:
        picture: as :meth:`FusedSwinIR.forward` takes it.
        weights: packed, in the order that the recipe names.
        recipe: the network, in JSON.

    Returns:
        What :meth:`FusedSwinIR.forward` returns. No gradient flows through it.

    Raises:
        InputError: a picture that the kernels cannot read.
    """
    read = _read(recipe)
    home = weights[0].device
    plan = read.plan(home, *read.check(picture, home))
    arena = torch.empty(plan.arena_elements, dtype=_packed_dtype(weights), device=home)
    output = torch.empty(plan.output_shape, dtype=picture.dtype, device=home)
    read.launch(picture, weights, arena, output)
    return output


@fused_swinir.register_fake
def _(picture: Tensor, weights: Sequence[Tensor], recipe: str) -> Tensor:
    read = _read(recipe)
    read.check_layout(picture)
    return torch.empty(read.output_shape(picture.shape), dtype=picture.dtype, device=picture.device)


class FusedSwinIR(nn.Module):
    """The network on a GPU by the kernels of :mod:`swinir_deploy.kernels.device`.

    Args:
        network: in FP32, as it was trained, on any device.
        dtype: ``torch.float16`` or ``torch.bfloat16``: of weights, stream and products.
        residual_scale_log2: k of the stream's scale 2**-k, which calibration finds.
        device: a CUDA device; on ``cpu`` Triton must interpret (TRITON_INTERPRET=1).
        io: ``tensor``: [B, C, H, W] float32 in 0..1, in and out; ``image``: [B, H, W, C] uint8.
        settings: None takes those of the architecture that runs it.
    """

    def __init__(
        self,
        network: SwinIR,
        dtype: torch.dtype,
        residual_scale_log2: int = 0,
        *,
        device: torch.device | str = "cuda",
        io: Io = "tensor",
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        packed = pack(network, dtype, residual_scale_log2)
        self.config: SwinIRConfig = network.config
        self.dtype = dtype
        self.io: Io = io
        self.numbers = packed.numbers
        self._names = tuple(packed.weights)
        for index, name in enumerate(self._names):
            self.register_buffer(f"weight_{index}", packed.weights[name].to(device))
        self.settings = settings or _settings_of_device(torch.device(device))
        self._recipe = _Recipe(self.config, packed.numbers, self._names, io, settings).to_text()

    @property
    def weights(self) -> dict[str, Tensor]:
        """The packed weights by name."""
        return dict(zip(self._names, self._tensors(), strict=True))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._tensors()[0].device

    def plan(self, batch: int, height: int, width: int) -> Plan:
        """Return what is launched for pictures of a size; made once, kept for 64 sizes."""
        return _read(self._recipe).plan(self.device, batch, height, width)

    def forward(self, picture: Tensor) -> Tensor:
        """Restore pictures of any size from ``config.min_side`` up.

        Args:
            picture: [B, C, H, W] or [B, H, W, C] as ``io`` says, contiguous, on the device of the
                weights.

        Returns:
            The same layout with sides times ``config.upscale``. FP32 values are not clamped. A NaN
            in the input gives NaN wherever it reaches.

        Raises:
            InputError: another dtype, layout, device or number of channels, or sides too small.
        """
        return cast(Tensor, fused_swinir(picture, self._tensors(), self._recipe))

    def launch(self, picture: Tensor, arena: Tensor, output: Tensor) -> None:
        """Compute into memory of the caller's, so that a CUDA graph can be recorded from it.

        Args:
            picture: as :meth:`forward` takes it.
            arena: [n] of ``dtype``, n at least ``arena_elements`` of :meth:`plan`; its content
                means nothing, before and after.
            output: contiguous, of the result's shape and the picture's dtype; written completely.

        Raises:
            InputError: as :meth:`forward` does.
        """
        read, weights = _read(self._recipe), self._tensors()
        read.check(picture, weights[0].device)
        read.launch(picture, weights, arena, output)

    def _tensors(self) -> list[Tensor]:
        return [cast(Tensor, getattr(self, f"weight_{n}")) for n in range(len(self._names))]


def _settings_of_device(device: torch.device) -> Settings:
    if device.type != "cuda":
        return settings_for(_INTERPRETED)
    major, minor = torch.cuda.get_device_capability(device)
    return settings_for(major * 10 + minor)


def _packed_dtype(weights: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype of the products, which is that of every matrix."""
    return next(weight.dtype for weight in weights if weight.ndim == 2)


def _plain(value: Any) -> Any:
    """Return nested mappings as dictionaries."""
    return {k: _plain(v) for k, v in value.items()} if hasattr(value, "items") else value
