"""What is launched for one shape of input, and where in memory everything lies: plain data.

A plan is made from a configuration and a shape alone, without a GPU, so that its memory can be
known and tested anywhere. One piece of memory, the arena, holds all activations: two copies of the
stream, the shallow features that the long skip reads, and, once the body is done, the features of
the head over them. Every Swin block works in place, because a program reads no other one's pixels.

The features of the head grow with the square of the scale; they are computed in bands of rows, so
that they fit into what the body has left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from swinir_deploy.kernels.settings import Settings
from swinir_deploy.kernels.widths import stored_channels, stored_head, stored_hidden
from swinir_deploy.network.config import SwinIRConfig

__all__ = ["Buffer", "Launch", "Plan", "Weight", "make_plan", "usual_numbers"]

Io = Literal["tensor", "image"]

_SMALL_HEAD = 1 << 25
"""Elements (64 MB) up to which the features of the head get memory of their own: fewer launches
matter more there."""


@dataclass(frozen=True)
class Weight:
    """An argument: a tensor of :class:`.packing.PackedSwinIR` by its name."""

    name: str


@dataclass(frozen=True)
class Buffer:
    """An argument: a place in the arena by its first element, or the ``input`` or ``output``."""

    name: str
    offset: int = 0


Argument = Weight | Buffer | int | float


@dataclass(frozen=True)
class Launch:
    """One kernel with its arguments.

    Attributes:
        kernel: name in :data:`swinir_deploy.kernels.launch.KERNELS`.
        grid: programs along one or two axes.
        arguments: by the kernel's parameter names.
        constants: likewise, compiled in.
        part: what of the network it computes, for reports: ``block``, ``attention``, ``mlp``,
            ``convolution``, ``head`` or ``edge``.
    """

    kernel: str
    grid: tuple[int, ...]
    arguments: Mapping[str, Argument]
    constants: Mapping[str, int]
    part: str


@dataclass(frozen=True)
class Plan:
    """All launches for one shape.

    Attributes:
        launches: in order.
        arena_elements: elements of the arena, of the packed dtype (two bytes).
        output_shape: of the result.
    """

    launches: tuple[Launch, ...]
    arena_elements: int
    output_shape: tuple[int, int, int, int]


@dataclass(frozen=True)
class _Step:
    """A convolution of the head that a band computes."""

    name: str
    channels: int
    out: int
    shuffle: int = 1
    enlarge: bool = False
    slope: float | None = None
    last: bool = False


@dataclass
class _Planner:
    config: SwinIRConfig
    numbers: Mapping[str, float]
    settings: Settings
    io: Io
    batch: int
    picture: tuple[int, int]
    launches: list[Launch] = field(default_factory=list)

    def __post_init__(self) -> None:
        window = self.config.window_size
        self.height, self.width = (-(-side // window) * window for side in self.picture)
        self.tokens = self.batch * self.height * self.width
        self.stored = stored_channels(self.config.embed_dim)

    def add(
        self,
        kernel: str,
        grid: tuple[int, ...],
        arguments: Mapping[str, Argument],
        constants: Mapping[str, int],
        part: str,
    ) -> None:
        self.launches.append(Launch(kernel, grid, arguments, constants, part))

    def run(self) -> Plan:
        stream_elements = self.tokens * self.stored
        shallow = Buffer("arena", 0)
        stream = Buffer("arena", stream_elements)
        work = Buffer("arena", 2 * stream_elements)
        narrow = 3 * stream_elements
        self._opening(shallow, stream)
        for index in range(len(self.config.depths)):
            self._rstb(index, stream, work, narrow)
        self._norm("norm", stream, work, eps=self.numbers["norm.eps"])
        self._residual_convolution("conv_after_body", work, shallow, narrow, "convolution")
        end = 3 * stream_elements
        if self.config.resi_connection == "3conv":
            end += 2 * self.tokens * stored_channels(self.config.embed_dim // 4)
        end = self._head(shallow, stream_elements, end)
        return Plan(tuple(self.launches), end, self._output_shape())

    def _output_shape(self) -> tuple[int, int, int, int]:
        height, width = (side * self.config.upscale for side in self.picture)
        if self.io == "image":
            return (self.batch, height, width, self.config.in_chans)
        return (self.batch, self.config.in_chans, height, width)

    def _opening(self, shallow: Buffer, stream: Buffer) -> None:
        config, pixels = self.config, self.settings.first_convolution_pixels
        self.add(
            "first_convolution",
            (_ceil(self.tokens, pixels), self.stored // 64),
            {
                "picture": Buffer("input"),
                "result": shallow,
                "weight": Weight("conv_first.weight"),
                "bias": Weight("conv_first.bias"),
                "mean": Weight("mean"),
                "batch": self.batch,
                "picture_height": self.picture[0],
                "picture_width": self.picture[1],
                "height": self.height,
                "width": self.width,
                "factor_in": float(config.img_range),
            },
            {
                "COLORS": config.in_chans,
                "TERMS": 32 if config.in_chans == 3 else 16,
                "OUT": self.stored,
                "PIXELS": pixels,
                "BYTES": self.io == "image",
            },
            "edge",
        )
        if config.patch_norm:
            name = "patch_embed.norm"
            self._norm(name, shallow, stream, eps=self.numbers[f"{name}.eps"])
        else:
            self._norm(None, shallow, stream, scale=self.numbers["scale"])

    def _norm(
        self,
        name: str | None,
        source: Buffer,
        result: Buffer,
        *,
        eps: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        rows = self.settings.layer_norm_rows
        norm = name or "norm"
        self.add(
            "layer_norm",
            (_ceil(self.tokens, rows),),
            {
                "source": source,
                "result": result,
                "weight": Weight(f"{norm}.weight"),
                "bias": Weight(f"{norm}.bias"),
                "tokens": self.tokens,
                "eps": eps,
                "scale": scale,
            },
            {
                "CHANNELS": self.config.embed_dim,
                "STORED": self.stored,
                "WIDTH": 1 << (self.stored - 1).bit_length(),
                "ROWS": rows,
                "NORM": name is not None,
            },
            "edge",
        )

    def _rstb(self, index: int, stream: Buffer, work: Buffer, narrow: int) -> None:
        source = stream
        for number in range(self.config.depths[index]):
            name = f"layers.{index}.residual_group.blocks.{number}"
            shift = self.config.shift_size if number % 2 else 0
            self._block(name, source, work, self.config.num_heads[index], shift)
            source = work
        self._residual_convolution(f"layers.{index}.conv", work, stream, narrow, "convolution")

    def _block(self, name: str, source: Buffer, result: Buffer, heads: int, shift: int) -> None:
        config = self.config
        side = config.window_size
        windows = self.batch * (self.height // side) * (self.width // side)
        attention: dict[str, Argument] = {
            "qkv_weight": Weight(f"{name}.attn.qkv.weight"),
            "query_bias": Weight(f"{name}.attn.qkv.bias"),
            "position_bias": Weight(f"{name}.attn.position_bias"),
            "proj_weight": Weight(f"{name}.attn.proj.weight"),
            "proj_bias": Weight(f"{name}.attn.proj.bias"),
        }
        mlp: dict[str, Argument] = {
            "fc1_weight": Weight(f"{name}.mlp.fc1.weight"),
            "fc1_bias": Weight(f"{name}.mlp.fc1.bias"),
            "fc2_weight": Weight(f"{name}.mlp.fc2.weight"),
            "fc2_bias": Weight(f"{name}.mlp.fc2.bias"),
        }
        place: dict[str, Argument] = {"height": self.height, "width": self.width, "shift": shift}
        numbers: dict[str, Argument] = {
            "eps": self.numbers[f"{name}.norm1.eps"],
            "scale_out": self.numbers.get(f"{name}.scale", self.numbers["scale"]),
        }
        head = stored_head(config.embed_dim // heads)
        hidden = stored_hidden(config.mlp_hidden_dim)
        shape = {"CHANNELS": config.embed_dim, "HEADS": heads, "HEAD": head, "SIDE": side}
        data = {"features": source, "result": result}
        if self.stored == 64:
            self.add(
                "swin_block",
                (windows,),
                {**data, **attention, **mlp, **place, **numbers},
                {**shape, "HIDDEN": hidden, **self.settings.block},
                "block",
            )
            return
        parts = {"FIRST": 128, "SECOND": self.stored - 128}
        constants = self.settings.attention(self.stored)
        self.add(
            "attention_half",
            (_ceil(windows, constants["WINDOWS"]),),
            {**data, **attention, **place, "windows": windows, **numbers},
            {**shape, **parts, **constants},
            "attention",
        )
        constants = self.settings.mlp(self.stored)
        numbers["eps"] = self.numbers[f"{name}.norm2.eps"]
        self.add(
            "mlp_half",
            (_ceil(self.tokens, constants["ROWS"]),),
            {"features": result, "result": result, **mlp, "tokens": self.tokens, **numbers},
            {"CHANNELS": config.embed_dim, **parts, "HIDDEN": hidden, **constants},
            "mlp",
        )

    def _residual_convolution(
        self, name: str, source: Buffer, residual: Buffer, narrow: int, part: str
    ) -> None:
        """1conv or 3conv of ``source``, added to ``residual`` in place."""
        if self.config.resi_connection == "1conv":
            self._whole(name, source, residual, self.stored, self.stored, part, residual=residual)
            return
        few = stored_channels(self.config.embed_dim // 4)
        first = Buffer("arena", narrow)
        second = Buffer("arena", narrow + self.tokens * few)
        self._whole(f"{name}.0", source, first, self.stored, few, part, slope=0.2)
        self._whole(f"{name}.2", first, second, few, few, part, slope=0.2, taps=1)
        self._whole(f"{name}.4", second, residual, few, self.stored, part, residual=residual)

    def _whole(
        self,
        name: str,
        source: Buffer,
        result: Buffer,
        channels: int,
        out: int,
        part: str,
        *,
        taps: int = 9,
        slope: float | None = None,
        residual: Buffer | None = None,
    ) -> None:
        """Add a convolution of all rows at the picture's own size."""
        self._convolution(
            name,
            source=source,
            result=result,
            channels=channels,
            out=out,
            size=(self.height, self.width),
            rows=(0, self.height),
            source_rows=(0, self.height),
            result_rows=(0, self.height),
            part=part,
            taps=taps,
            slope=slope,
            residual=residual,
        )

    def _head(self, deep: Buffer, free: int, end: int) -> int:
        """Add what leads from the deep features [tokens, stored] to the picture.

        ``free`` .. ``end`` is what the arena has behind ``deep``. Returns the arena's end.
        """
        config = self.config
        if config.upsampler in ("", "pixelshuffledirect"):
            shuffle = config.upscale if config.upsampler else 1
            name = "upsample.0" if config.upsampler else "conv_last"
            last = _Step(name, self.stored, 0, shuffle=shuffle, last=True)
            self._bands([last], deep, self.height, free, end)
            return end
        features = stored_channels(config.num_feat)
        before = Buffer("arena", free)
        name = "conv_before_upsample.0"
        self._whole(name, deep, before, self.stored, features, "head", slope=0.01)
        steps = list(self._head_steps(features))
        # The deep features are not needed any more: the bands lie over them, or behind.
        after = free + self.tokens * features
        lower, upper = (0, free) if free >= end - after else (after, end)
        rows = self.height
        whole = self._band_elements(steps, rows)
        if whole <= _SMALL_HEAD:
            lower, upper = after, after + whole
        while rows > 1 and self._band_elements(steps, rows) > upper - lower:
            rows = _ceil(rows, 2)
        self._bands(steps, before, rows, lower, upper)
        return max(end, upper)

    def _head_steps(self, features: int) -> Iterator[_Step]:
        config = self.config
        if config.upsampler == "pixelshuffle":
            factor = 3 if config.upscale == 3 else 2
            total, position = 1, 0
            while total < config.upscale:
                out = features * factor**2
                yield _Step(f"upsample.{position}", features, out, shuffle=factor)
                total, position = total * factor, position + 2
        else:
            yield _Step("conv_up1", features, features, enlarge=True, slope=0.2)
            if config.upscale == 4:
                yield _Step("conv_up2", features, features, enlarge=True, slope=0.2)
            yield _Step("conv_hr", features, features, slope=0.2)
        yield _Step("conv_last", features, 0, last=True)

    def _band_elements(self, steps: list[_Step], rows: int) -> int:
        """Elements of all buffers between ``steps`` for the largest band of ``rows`` rows."""
        most = 0
        for first in range(0, self.height, rows):
            needs = self._needs(steps, first, min(rows, self.height - first))
            most = max(most, sum(need.elements for need in needs))
        return most

    def _needs(self, steps: list[_Step], first: int, rows: int) -> list[_Need]:
        """Return the rows of each step that a band of the picture's rows needs."""
        sizes = [(self.height, self.width)]
        for step in steps:
            factor = 2 if step.enlarge else step.shuffle
            sizes.append((sizes[-1][0] * factor, sizes[-1][1] * factor))
        scale = sizes[-1][0] // self.height
        begin, end = first * scale, (first + rows) * scale
        needs: list[_Need] = []
        for step, size, result in zip(
            reversed(steps), reversed(sizes[:-1]), reversed(sizes[1:]), strict=True
        ):
            own = result if step.enlarge else size
            # A shuffle gives whole cells, so the rows that it writes can be more than are asked.
            begin, end = begin // step.shuffle, _ceil(end, step.shuffle)
            compute = (begin, end)
            begin, end = max(begin - 1, 0), min(end + 1, own[0])
            if step.enlarge:
                begin, end = begin // 2, (end - 1) // 2 + 1
            written = (compute[0] * step.shuffle, compute[1] * step.shuffle)
            elements = (written[1] - written[0]) * result[1] * (step.out // step.shuffle**2)
            needs.append(_Need(compute, written, own, 0 if step.last else self.batch * elements))
        return needs[::-1]

    def _bands(self, steps: list[_Step], source: Buffer, rows: int, lower: int, upper: int) -> None:
        for first in range(0, self.height, rows):
            needs = self._needs(steps, first, min(rows, self.height - first))
            assert sum(need.elements for need in needs) <= upper - lower
            place, reads, source_rows = lower, source, (0, self.height)
            for step, need in zip(steps, needs, strict=True):
                begin, end = need.compute
                rows_out = need.written
                writes = Buffer("output") if step.last else Buffer("arena", place)
                self._convolution(
                    step.name,
                    source=reads,
                    result=writes,
                    channels=step.channels,
                    out=step.out,
                    size=need.size,
                    rows=(begin, end - begin),
                    source_rows=(source_rows[0], source_rows[1] - source_rows[0]),
                    result_rows=(rows_out[0], rows_out[1] - rows_out[0]),
                    part="head",
                    slope=step.slope,
                    shuffle=step.shuffle,
                    enlarge=step.enlarge,
                    last=step.last,
                )
                place += need.elements
                reads, source_rows = writes, rows_out

    def _convolution(
        self,
        name: str,
        *,
        source: Buffer,
        result: Buffer,
        channels: int,
        out: int,
        size: tuple[int, int],
        rows: tuple[int, int],
        source_rows: tuple[int, int],
        result_rows: tuple[int, int],
        part: str,
        taps: int = 9,
        slope: float | None = None,
        residual: Buffer | None = None,
        shuffle: int = 1,
        enlarge: bool = False,
        last: bool = False,
    ) -> None:
        """Add one launch; rows are pairs (first, count)."""
        config = self.config
        if last:
            colors = config.in_chans * shuffle**2
            out = 16 if colors <= 16 else 32 if colors <= 32 else stored_channels(colors)
        constants = self.settings.convolution(channels, out)
        pixels = self.batch * rows[1] * size[1]
        tiles = out // (constants["OUT_TILE"] * constants["TILES"])
        store = (3 if self.io == "image" else 2) if last else 1 if shuffle > 1 else 0
        picture_height, picture_width = (side * config.upscale for side in self.picture)
        self.add(
            "convolution",
            (_ceil(pixels, constants["PIXELS"]), tiles),
            {
                "source": source,
                "result": result,
                "residual": residual or result,
                "weight": Weight(f"{name}.weight"),
                "bias": Weight(f"{name}.bias"),
                "picture": Buffer("input"),
                "mean": Weight("mean"),
                "batch": self.batch,
                "height": size[0],
                "width": size[1],
                "first_row": rows[0],
                "rows": rows[1],
                "source_first_row": source_rows[0],
                "source_rows": source_rows[1],
                "result_first_row": result_rows[0],
                "result_rows": result_rows[1],
                "picture_height": picture_height,
                "picture_width": picture_width,
                "slope": slope or 0.0,
                "factor_out": 1.0 / config.img_range,
            },
            {
                "IN": channels,
                "OUT": out,
                "TAPS": taps,
                "ENLARGE": enlarge,
                "LEAKY": slope is not None,
                "RESIDUAL": residual is not None,
                "STORE": store,
                "FACTOR": shuffle,
                "COLORS": config.in_chans,
                "ADD_PICTURE": last and config.upsampler == "",
                **constants,
            },
            part,
        )


@dataclass(frozen=True)
class _Need:
    """Rows [first, end) of one step of the head: computed, and written after a shuffle.

    ``size`` is the height and width that it computes at, ``elements`` what it writes into the arena
    (0 for the last step).
    """

    compute: tuple[int, int]
    written: tuple[int, int]
    size: tuple[int, int]
    elements: int


def make_plan(
    config: SwinIRConfig,
    numbers: Mapping[str, float],
    settings: Settings,
    *,
    batch: int,
    height: int,
    width: int,
    io: Io = "tensor",
) -> Plan:
    """Plan one shape.

    Args:
        config: of the network.
        numbers: of :class:`.packing.PackedSwinIR`.
        settings: of the architecture.
        batch: pictures.
        height: of the input in pixels, before padding.
        width: likewise.
        io: ``tensor``: [B, C, H, W] float32, 0..1, in and out; ``image``: [B, H, W, C] uint8.
    """
    return _Planner(config, numbers, settings, io, batch, (height, width)).run()


def usual_numbers(config: SwinIRConfig) -> dict[str, float]:
    """Return numbers as :class:`.packing.PackedSwinIR` has them, for a network without weights.

    A plan's launches and memory do not depend on them.
    """
    numbers = {"scale": 1.0, "norm.eps": 1e-5, "patch_embed.norm.eps": 1e-5}
    for layer, depth in enumerate(config.depths):
        for block in range(depth):
            name = f"layers.{layer}.residual_group.blocks.{block}"
            numbers |= {f"{name}.norm1.eps": 1e-5, f"{name}.norm2.eps": 1e-5, f"{name}.scale": 1.0}
    return numbers


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
