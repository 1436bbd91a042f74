"""The least time that a forward pass can take on a device: by its arithmetic and by its traffic."""

from __future__ import annotations

from dataclasses import dataclass

from swinir_deploy.artifacts.launch_program import Launch, Plan
from swinir_deploy.kernels.plan import make_plan, usual_numbers
from swinir_deploy.kernels.settings import settings_for
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.flops import count_flops

__all__ = ["Roofline", "network_roofline", "roofline", "traffic_bytes"]

_HALF_BYTES = 2


@dataclass(frozen=True)
class Roofline:
    """Two bounds of one forward pass.

    Attributes:
        flops: floating-point operations of the network as it was trained, without padded channels.
        bytes: that the launches read and write at least: every activation once for each kernel.
        flops_ms: ``flops`` at the device's measured rate of matrix products.
        bytes_ms: ``bytes`` at the device's measured rate of copies.
    """

    flops: int
    bytes: int
    flops_ms: float
    bytes_ms: float

    @property
    def bound_ms(self) -> float:
        """The larger of the two bounds."""
        return max(self.flops_ms, self.bytes_ms)

    def share(self, measured_ms: float) -> float:
        """Return the share of the bound that a measured time reaches: 1.0 is the roof."""
        return self.bound_ms / measured_ms


def roofline(
    config: SwinIRConfig,
    plan: Plan,
    *,
    batch: int,
    height: int,
    width: int,
    tera_flops: float,
    tera_bytes: float,
) -> Roofline:
    """Compute both bounds for one shape.

    Args:
        config: of the network.
        plan: for this shape.
        batch: pictures.
        height: of the input in pixels.
        width: likewise.
        tera_flops: 10**12 operations a second that the device reaches in a large matrix product.
        tera_bytes: 10**12 bytes a second that it reaches in a large copy, read and written.
    """
    flops = count_flops(config, height, width, batch)
    moved = sum(traffic_bytes(launch) for launch in plan.launches)
    return Roofline(flops, moved, flops / tera_flops / 1e9, moved / tera_bytes / 1e9)


def network_roofline(
    config: SwinIRConfig,
    *,
    batch: int,
    height: int,
    width: int,
    tera_flops: float,
    tera_bytes: float,
) -> Roofline:
    """Compute both bounds of a network, whatever runs it: with the traffic of the fused kernels.

    Arguments as for :func:`roofline`. The traffic is that of the fewest kernels that are known, so
    that a back end with more of them shows what they cost.
    """
    numbers, settings = usual_numbers(config), settings_for(90)
    plan = make_plan(config, numbers, settings, batch=batch, height=height, width=width)
    return roofline(
        config,
        plan,
        batch=batch,
        height=height,
        width=width,
        tera_flops=tera_flops,
        tera_bytes=tera_bytes,
    )


def traffic_bytes(launch: Launch) -> int:
    """Return the bytes of activations that one launch reads and writes at least.

    Weights stay in the second-level cache and are not counted.
    """
    constants = launch.constants

    def number(name: str) -> int:
        value = launch.arguments[name]
        assert isinstance(value, int)
        return value

    if launch.kernel in ("swin_block", "attention_half"):
        stored = constants.get("FIRST", 64) + constants.get("SECOND", 0)
        windows = launch.grid[0] * constants.get("WINDOWS", 1)
        return 2 * windows * constants["SIDE"] ** 2 * stored * _HALF_BYTES
    if launch.kernel == "mlp_half":
        return 2 * number("tokens") * (constants["FIRST"] + constants["SECOND"]) * _HALF_BYTES
    if launch.kernel == "layer_norm":
        return 2 * number("tokens") * constants["STORED"] * _HALF_BYTES
    if launch.kernel == "first_convolution":
        picture = number("picture_height") * number("picture_width") * constants["COLORS"]
        size = 1 if constants["BYTES"] else 4
        pixels = number("height") * number("width")
        return number("batch") * (picture * size + pixels * constants["OUT"] * _HALF_BYTES)
    pixels = number("batch") * number("rows") * number("width")
    reads = pixels * constants["IN"] * _HALF_BYTES // (4 if constants["ENLARGE"] else 1)
    if constants["STORE"] >= 2:
        size = 1 if constants["STORE"] == 3 else 4
        return reads + pixels * constants["COLORS"] * constants["FACTOR"] ** 2 * size
    writes = pixels * constants["OUT"] * _HALF_BYTES
    return reads + writes * (2 if constants["RESIDUAL"] else 1)
