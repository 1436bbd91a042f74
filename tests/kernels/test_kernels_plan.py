"""What is launched and where in memory everything lies, by the plan alone: no GPU, no Triton."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swinir_deploy.artifacts.launch_program import Buffer, Launch, Plan
from swinir_deploy.kernels.packing import pack
from swinir_deploy.kernels.plan import make_plan, usual_numbers
from swinir_deploy.kernels.roofline import roofline, traffic_bytes
from swinir_deploy.kernels.settings import ARCHITECTURES, settings_for
from swinir_deploy.kernels.widths import stored_channels
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

MODELS = [
    "tiny-sr-x4",
    "light-sr-x4",
    "medium-sr-x2",
    "medium-sr-x3",
    "medium-sr-x4",
    "medium-sr-x8",
    "large-real-sr-x4-gan",
    "medium-real-sr-x2-gan",
    "medium-denoise-color-25",
    "medium-jpeg-gray-10",
]


def config_of(model: str) -> SwinIRConfig:
    return load_catalog().get(model).config


def plan_of(model: str, batch: int, height: int, width: int, architecture: int = 90) -> Plan:
    config = config_of(model)
    settings = settings_for(architecture)
    return make_plan(
        config, usual_numbers(config), settings, batch=batch, height=height, width=width
    )


def test_medium_x4_fits_into_500_mb() -> None:
    """Activations by the plan, weights as packed, the picture in and out in FP32."""
    config = config_of("medium-sr-x4")
    plan = plan_of("medium-sr-x4", 1, 480, 640)
    shallow = replace(config, depths=(2,), num_heads=config.num_heads[:1])
    one = pack(SwinIR(shallow).eval(), __import__("torch").float16).weights
    packed = {name: weight.numel() * weight.element_size() for name, weight in one.items()}
    pair = sum(size for name, size in packed.items() if ".blocks." in name)
    weights = sum(packed.values()) + pair * (config.num_blocks // 2 - 1)
    weights += packed["layers.0.conv.weight"] * (len(config.depths) - 1)
    picture = 480 * 640 * 3 * 4
    total = plan.arena_elements * 2 + weights + picture * (1 + config.upscale**2)
    assert plan.arena_elements * 2 < 360e6
    assert total < 500e6


@pytest.mark.parametrize(
    ("model", "kernels"),
    [("tiny-sr-x4", 1), ("light-sr-x4", 1), ("medium-sr-x4", 2), ("large-real-sr-x4-gan", 2)],
)
def test_kernels_of_a_block(model: str, kernels: int) -> None:
    plan = plan_of(model, 1, 64, 64)
    inside = [launch for launch in plan.launches if launch.part in ("block", "attention", "mlp")]
    assert len(inside) == kernels * config_of(model).num_blocks


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_written_outside_or_over_what_is_still_read(
    model: str, architecture: int
) -> None:
    """Replay the plan on a memory that knows which rows of which tensor it holds."""
    for batch, height, width in ((1, 480, 640), (2, 9, 70), (1, 8, 8), (1, 1000, 333)):
        plan = plan_of(model, batch, height, width, architecture)
        for launch in plan.launches:
            for name in ("result", "source", "features", "residual"):
                place = launch.arguments.get(name)
                if isinstance(place, Buffer) and place.name == "arena":
                    assert 0 <= place.offset < plan.arena_elements
                    assert place.offset % 8 == 0  # 16 bytes
                    assert place.offset + _elements(launch, name) <= plan.arena_elements
            if launch.kernel == "convolution" and launch.constants["TAPS"] == 9:
                source, result = (_interval(launch, key) for key in ("source", "result"))
                assert source is not None
                if result is not None:
                    # Neighbours are still to be read: never in place, nor partly over it.
                    assert result[1] <= source[0] or source[1] <= result[0]


def _elements(launch: Launch, name: str) -> int:
    constants: Any = launch.constants
    arguments: Any = launch.arguments
    if launch.kernel == "convolution":
        if name == "source":
            width = arguments["width"] // (2 if constants["ENLARGE"] else 1)
            return int(arguments["batch"] * arguments["source_rows"] * width * constants["IN"])
        factor = constants["FACTOR"]
        width, features = arguments["width"] * factor, constants["OUT"] // factor**2
        return int(arguments["batch"] * arguments["result_rows"] * width * features)
    if launch.kernel == "first_convolution":
        return int(arguments["batch"] * arguments["height"] * arguments["width"] * constants["OUT"])
    if launch.kernel == "layer_norm":
        return int(arguments["tokens"] * constants["STORED"])
    stored = constants.get("FIRST", 64) + constants.get("SECOND", 0)
    if launch.kernel == "mlp_half":
        return int(arguments["tokens"] * stored)
    windows = arguments.get("windows", launch.grid[0])
    return int(windows * constants["SIDE"] ** 2 * stored)


def _interval(launch: Launch, name: str) -> tuple[int, int] | None:
    place = launch.arguments[name]
    if not isinstance(place, Buffer) or place.name != "arena":
        return None
    return place.offset, place.offset + _elements(launch, name)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [(480, 640), (9, 70), (1000, 333)])
def test_every_row_of_the_picture_is_written_once(model: str, size: tuple[int, int]) -> None:
    plan = plan_of(model, 1, *size)
    rows: list[int] = []
    for launch in plan.launches:
        if launch.arguments["result"] == Buffer("output"):
            first, count = launch.arguments["first_row"], launch.arguments["rows"]
            assert isinstance(first, int)
            assert isinstance(count, int)
            rows += range(first, first + count)
    assert rows == list(range(len(rows)))
    config = config_of(model)
    per_row = config.upscale if config.upsampler in ("", "pixelshuffledirect") else 1
    assert len(rows) * per_row >= size[0] * config.upscale


@pytest.mark.parametrize("model", MODELS)
def test_a_band_reads_rows_that_were_written_for_it(model: str) -> None:
    plan = plan_of(model, 1, 1000, 333)
    held: dict[int, tuple[int, int]] = {}
    for launch in plan.launches:
        if launch.kernel != "convolution":
            continue
        arguments: Any = launch.arguments
        first, count = arguments["first_row"], arguments["rows"]
        halo = 1 if launch.constants["TAPS"] == 9 else 0
        low, high = max(first - halo, 0), min(first + count + halo, arguments["height"])
        if launch.constants["ENLARGE"]:
            low, high = low // 2, (high - 1) // 2 + 1
        begin = arguments["source_first_row"]
        assert begin <= low
        assert high <= begin + arguments["source_rows"]
        source = arguments["source"].offset
        if launch.part == "head" and source in held:
            assert held[source] == (begin, begin + arguments["source_rows"])
        if isinstance(arguments["result"], Buffer) and arguments["result"].name == "arena":
            rows = arguments["result_first_row"], arguments["result_rows"]
            held[arguments["result"].offset] = rows[0], rows[0] + rows[1]


def test_the_roofline_by_hand() -> None:
    """Light x4 at 64x64: the block's traffic is two streams of 64 channels in two bytes."""
    plan = plan_of("light-sr-x4", 1, 64, 64)
    block = next(launch for launch in plan.launches if launch.part == "block")
    assert traffic_bytes(block) == 2 * 64 * 64 * 64 * 2
    config = config_of("light-sr-x4")
    bound = roofline(config, plan, batch=1, height=64, width=64, tera_flops=1000.0, tera_bytes=2.0)
    assert bound.bytes_ms == pytest.approx(sum(map(traffic_bytes, plan.launches)) / 2e9)
    assert bound.bound_ms == max(bound.bytes_ms, bound.flops_ms)
    assert bound.share(2 * bound.bound_ms) == pytest.approx(0.5)


@pytest.mark.parametrize("channels", [1, 60, 64, 65, 180, 192, 240])
def test_stored_channels_are_whole_lines(channels: int) -> None:
    assert stored_channels(channels) % 64 == 0
    assert 0 <= stored_channels(channels) - channels < 64
