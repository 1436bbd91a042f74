"""Checkpoints whose deep-feature stream grows past what FP16 holds, as the official ones do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from oracle import OfficialSwinIR, official_network
from torch import Tensor

from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

__all__ = ["GROWN_CONFIGS", "PEAK", "grown_model", "grown_network", "largest_stream", "small"]

PEAK = 1e6
"""The stream of every grown network passes it; FP16 ends at 65504."""


def small(model_id: str, **changes: object) -> SwinIRConfig:
    """A catalogue model's architecture with two RSTBs of two blocks."""
    config = load_catalog().get(model_id).config
    return replace(config, depths=(2, 2), num_heads=config.num_heads[:2], **changes)  # type: ignore[arg-type]


GROWN_CONFIGS = {
    "tiny": load_catalog().get("tiny-sr-x4").config,
    "light": small("light-sr-x2"),
    "medium-sr": small("medium-sr-x4"),
    "medium-sr-x3": small("medium-sr-x3", embed_dim=60),
    "medium-real": small("medium-real-sr-x4-gan", embed_dim=60),
    "medium-real-x2": small("medium-real-sr-x2-gan", embed_dim=60),
    "large-real": small("large-real-sr-x4-gan"),
    "denoise": small("medium-denoise-color-25"),
    "denoise-gray": small("medium-denoise-gray-50", embed_dim=60),
    "jpeg": small("medium-jpeg-color-10"),
    "jpeg-gray-3conv": small("medium-jpeg-gray-10", embed_dim=60, resi_connection="3conv"),
    "light-3conv": small("light-sr-x4", resi_connection="3conv"),
    "no-patch-norm": small("light-sr-x3", patch_norm=False),
    "positions": small("light-sr-x2", ape=True, img_size=24),
}
"""Every size and task, both closing convolutions, all four upsamplers, window 7 and 8."""


def grown_network(config: SwinIRConfig, seed: int = 0) -> OfficialSwinIR:
    """The official network with random weights, each block writing more than the one before."""
    oracle = official_network(config, seed)
    blocks = sum(config.depths)
    number = 0
    for layer in oracle.network.layers:
        for block in layer.residual_group.blocks:
            number += 1
            factor = 2 * PEAK ** (number / blocks)
            for writer in (block.attn.proj, block.mlp.fc2):
                writer.weight.mul_(factor)
                writer.bias.mul_(factor)
    return oracle


def grown_model(oracle: OfficialSwinIR, task: str = "sr") -> LoadedModel:
    """Our network with a grown one's weights (copies), as the loader would give it."""
    weights = {n: t.clone() for n, t in oracle.network.state_dict().items() if not is_buffer(n)}
    network = SwinIR.from_state_dict(oracle.config, weights).eval().requires_grad_(False)
    return LoadedModel(network, oracle.config, None, "grown", task, Path("grown"), "ab" * 32)


def largest_stream(oracle: OfficialSwinIR, picture: Tensor) -> float:
    """Largest absolute value of what the official network's blocks give."""
    largest = 0.0

    def look(_module: object, _inputs: object, output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(output.abs().max()))

    handles = [
        block.register_forward_hook(look)
        for layer in oracle.network.layers
        for block in layer.residual_group.blocks
    ]
    with torch.inference_mode():
        oracle(picture)
    for handle in handles:
        handle.remove()
    return largest
