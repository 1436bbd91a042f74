"""The official SwinIR network as an independent oracle.

The network comes from the ``network_swinir.py`` that the PyPI distribution ``vsswinir`` ships
(Apache-2.0, JingyunLiang/SwinIR). It is loaded by path: importing the package itself would need
VapourSynth. The three names that the file takes from timm are stubbed for the time of the import.

That copy leaves ``img_range``, the mean of gray pictures and the padding to its caller, where the
official ``models/network_swinir.py`` does them inside ``forward``. :class:`OfficialSwinIR` puts
them back.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swinir_deploy.network.config import RGB_MEAN, SwinIRConfig

__all__ = ["OfficialSwinIR", "official_network", "official_state_dict"]

OFFICIAL_NUM_FEAT = 64
"""Fixed in the official code, where our config leaves it open."""


class OfficialSwinIR(nn.Module):
    """The official network with the official forward's range, mean, padding and crop.

    Attributes:
        network: the bare official module; its ``state_dict`` has the official names and buffers.
        config: what it was built from.
    """

    def __init__(self, config: SwinIRConfig) -> None:
        super().__init__()
        if config.num_feat != OFFICIAL_NUM_FEAT:
            raise ValueError(f"The official network has num_feat 64, not {config.num_feat}.")
        self.config = config
        self.network = _official_module().SwinIR(
            img_size=_training_side(config),
            in_chans=config.in_chans,
            embed_dim=config.embed_dim,
            depths=list(config.depths),
            num_heads=list(config.num_heads),
            window_size=config.window_size,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=config.qkv_bias,
            ape=config.ape,
            patch_norm=config.patch_norm,
            upscale=config.upscale,
            img_range=config.img_range,
            upsampler=config.upsampler,
            resi_connection=config.resi_connection,
        )
        mean = RGB_MEAN if config.in_chans == 3 else (0.0,)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        # Range and mean are applied here, so the inner network must not subtract it again.
        self.network.mean.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Restore [batch, channels, height, width] float32 pictures in 0..1, of any size."""
        height, width = x.shape[2:]
        window, scale = self.config.window_size, self.config.upscale
        x = F.pad(x, (0, -width % window, 0, -height % window), "reflect")
        x = (x - self.mean) * self.config.img_range
        x = self.network(x) / self.config.img_range + self.mean
        return x[:, :, : height * scale, : width * scale]


def official_network(config: SwinIRConfig, seed: int = 0) -> OfficialSwinIR:
    """The official network in eval mode with random weights that make every path matter.

    Every bias, LayerNorm parameter and bias table is far from its initial 0 or 1; the output and
    the activations are of order 1 (of order ``img_range`` before the last division).

    Args:
        config: ``num_feat`` must be the official 64.
        seed: of the weights; the same seed gives the same weights for the same config.
    """
    network = OfficialSwinIR(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size, std: float) -> Tensor:
        return torch.randn(shape, generator=generator) * std

    for name, parameter in network.network.named_parameters():
        owner = name.split(".")[-2] if "." in name else ""
        if name.endswith(("relative_position_bias_table", "absolute_pos_embed")):
            values = normal(parameter.shape, 0.5)
        elif "norm" in owner:
            values = normal(parameter.shape, 0.2) + (1.0 if name.endswith("weight") else 0.0)
        elif parameter.ndim == 1:
            values = normal(parameter.shape, 0.2)
        else:
            # What is added to the residual stream stays smaller than the stream.
            into_stream = owner in ("proj", "fc2", "conv")
            gives_picture = name.startswith("conv_last") or (
                name.startswith("upsample.") and config.upsampler == "pixelshuffledirect"
            )
            after_relu = owner in ("conv_up1", "conv_up2", "conv_hr")
            gain = 0.5 if into_stream or gives_picture else 1.4 if after_relu else 1.0
            values = normal(parameter.shape, gain * parameter[0].numel() ** -0.5)
        # Only conv_first and the picture see img_range; without this the body would not show.
        if name.startswith("conv_after_body") or name == "conv_first.bias":
            last = name.startswith(("conv_after_body.weight", "conv_after_body.4."))
            if last or name.endswith("bias"):
                values = values * config.img_range
        parameter.copy_(values)
    return network


def official_state_dict(config: SwinIRConfig, seed: int = 0) -> dict[str, Tensor]:
    """Official names, the buffers ``attn_mask`` and ``relative_position_index`` included."""
    return official_network(config, seed).network.state_dict()


def _training_side(config: SwinIRConfig) -> int:
    """``img_size``, made fit for the official constructor where it does not shape a parameter.

    The official code builds a mask of that side, which must be a multiple of the window, and
    silently changes window and shift where the side is no larger than one window.
    """
    if config.ape:
        return config.img_size
    window = config.window_size
    return max(2, -(-config.img_size // window)) * window


@functools.cache
def _official_module() -> ModuleType:
    package = importlib.util.find_spec("vsswinir")
    if package is None or not package.submodule_search_locations:
        pytest.skip("vsswinir, the official network, is not installed (make test installs it)")
    path = Path(package.submodule_search_locations[0]) / "network_swinir.py"
    spec = importlib.util.spec_from_file_location("official_network_swinir", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    stubs = {name: _timm_stub(name) for name in ("timm", "timm.layers", "timm.models")}
    stubs["timm.models.layers"] = _timm_stub("timm.models.layers")
    before = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, found in before.items():
            if found is None:
                del sys.modules[name]
            else:
                sys.modules[name] = found
    sys.modules[module.__name__] = module  # torch.compile looks its code's module up
    return module


def _timm_stub(name: str) -> ModuleType:
    """The three names that the official file takes from timm; drop path is off in eval mode."""
    stub: Any = ModuleType(name)
    stub.__path__ = []
    stub.DropPath = lambda _probability=0.0: nn.Identity()
    stub.to_2tuple = lambda value: value if isinstance(value, tuple) else (value, value)
    stub.trunc_normal_ = lambda tensor, **_: tensor
    return stub
