"""SwinIR by one or two kernels a block, as a module of PyTorch."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from swinir_deploy.errors import InputError
from swinir_deploy.kernels.packing import pack, stored_channels
from swinir_deploy.kernels.plan import Io, Plan, make_plan
from swinir_deploy.kernels.settings import Settings, settings_for
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

__all__ = ["FusedSwinIR"]


class FusedSwinIR(nn.Module):
    """The network on a GPU by the kernels of :mod:`swinir_deploy.kernels.device`.

    Args:
        network: in FP32, as it was trained, on any device.
        dtype: ``torch.float16`` or ``torch.bfloat16``: of weights, stream and products.
        residual_scale_log2: k of the stream's scale 2**-k, which calibration finds.
        device: a CUDA device; on ``cpu`` Triton must interpret (TRITON_INTERPRET=1).
        io: ``tensor``: [B, C, H, W] float32 in 0..1, in and out; ``image``: [B, H, W, C] uint8.
        settings: None takes those of the device's architecture.
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
        if settings is None:
            where = torch.device(device)
            settings = settings_for(_architecture(where) if where.type == "cuda" else 90)
        self.settings = settings
        self._plans: dict[tuple[int, int, int], Plan] = {}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The packed weights by name."""
        return {
            name: cast(Tensor, getattr(self, f"weight_{index}"))
            for index, name in enumerate(self._names)
        }

    def plan(self, batch: int, height: int, width: int) -> Plan:
        """Return what is launched for pictures of a size; made once, kept for 64 sizes."""
        key = (batch, height, width)
        if key not in self._plans:
            if len(self._plans) >= 64:
                self._plans.pop(next(iter(self._plans)))
            self._plans[key] = make_plan(
                self.config,
                self.numbers,
                self.settings,
                batch=batch,
                height=height,
                width=width,
                io=self.io,
            )
        return self._plans[key]

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
        batch, height, width = self._checked(picture)
        from swinir_deploy.kernels.launch import run_plan

        plan = self.plan(batch, height, width)
        arena = torch.empty(plan.arena_elements, dtype=self.dtype, device=picture.device)
        output = torch.empty(plan.output_shape, dtype=picture.dtype, device=picture.device)
        stored = stored_channels(self.config.embed_dim)
        run_plan(plan, self.settings, stored, self.weights, picture, arena, output)
        return output

    def _checked(self, picture: Tensor) -> tuple[int, int, int]:
        """Return batch, height and width of an input that the kernels can read."""
        expected = torch.float32 if self.io == "tensor" else torch.uint8
        channels = self.config.in_chans
        layout = f"[batch, {channels}, height, width]"
        axes = (1, 2, 3)
        if self.io == "image":
            layout, axes = f"[batch, height, width, {channels}]", (3, 1, 2)
        if picture.ndim != 4 or picture.shape[axes[0]] != channels:
            raise InputError(
                f"The input has shape {list(picture.shape)}; this network takes {layout}."
            )
        if picture.dtype != expected:
            raise InputError(
                f"The input is {picture.dtype}; the kernels take {expected}. Convert it first."
            )
        home = self.weight_0.device
        if picture.device != home:
            raise InputError(f"The input is on {picture.device}, the weights on {home}.")
        if not picture.is_contiguous():
            raise InputError("The input is not contiguous. Call contiguous() on it first.")
        batch, height, width = picture.shape[0], picture.shape[axes[1]], picture.shape[axes[2]]
        if min(height, width) < self.config.min_side:
            raise InputError(
                f"The picture has {width}x{height} pixels; the network pads by reflection and "
                f"needs sides of at least {self.config.min_side}. Pad it first, or use Restorer."
            )
        return batch, height, width


def _architecture(device: torch.device) -> int:
    major, minor = torch.cuda.get_device_capability(device)
    return major * 10 + minor
