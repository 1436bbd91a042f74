"""What is launched and where in memory everything lies: plain data.

:func:`make_program` plans a network once for every shape, from its configuration alone, without a
GPU: so its memory can be known and tested anywhere, and an engine's file can hold it. One piece of
memory, the arena, holds all activations: two copies of the stream, the shallow features that the
long skip reads, and, once the body is done, the features of the head over them. Every Swin block
works in place, because a program reads no other one's pixels.

The features of the head grow with the square of the scale; they are computed in bands of rows, so
that they fit into what the body has left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from swinir_deploy.artifacts.launch_program import (
    Argument,
    Expression,
    LaunchStep,
    Number,
    Place,
    Plan,
    Program,
    Repeat,
    Step,
    Weight,
    at_most,
    ceil_div,
    evaluate,
    larger,
    select,
    smaller,
)
from swinir_deploy.kernels.settings import Settings
from swinir_deploy.kernels.widths import stored_channels, stored_head, stored_hidden
from swinir_deploy.network.config import SwinIRConfig

__all__ = ["make_plan", "make_program", "usual_numbers"]

Io = Literal["tensor", "image"]

_SMALL_HEAD = 1 << 25
"""Elements (64 MB) up to which the features of the head get memory of their own: fewer launches
matter more there."""

# Of the input, and of the picture after padding.
_BATCH, _PICTURE_HEIGHT, _PICTURE_WIDTH = map(
    Expression, ("batch", "picture_height", "picture_width")
)
_HEIGHT, _WIDTH, _TOKENS, _WINDOWS = map(Expression, ("height", "width", "tokens", "windows"))


@dataclass(frozen=True)
class _HeadStep:
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
    definitions: list[tuple[str, Number]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        side = self.config.window_size
        self.stored = stored_channels(self.config.embed_dim)
        self.define("height", ceil_div(_PICTURE_HEIGHT, side) * side)
        self.define("width", ceil_div(_PICTURE_WIDTH, side) * side)
        self.define("tokens", _BATCH * _HEIGHT * _WIDTH)
        self.define("windows", _BATCH * (_HEIGHT // side) * (_WIDTH // side))

    def define(self, name: str, number: Number) -> Expression:
        """Give a number a name; return the name."""
        self.definitions.append((name, number))
        return Expression(name)

    def add(
        self,
        kernel: str,
        grid: tuple[Number, ...],
        arguments: Mapping[str, Argument],
        constants: Mapping[str, int],
        part: str,
    ) -> None:
        self.steps.append(LaunchStep(kernel, grid, arguments, constants, part))

    def run(self) -> Program:
        shallow, stream, work = (self._at(part * self.stored) for part in range(3))
        narrow = 3 * self.stored
        self._opening(shallow, stream)
        for index in range(len(self.config.depths)):
            self._rstb(index, stream, work, narrow)
        self._norm("norm", stream, work, eps=self.numbers["norm.eps"])
        self._residual_convolution("conv_after_body", work, shallow, narrow, "convolution")
        end = 3 * self.stored
        if self.config.resi_connection == "3conv":
            end += 2 * stored_channels(self.config.embed_dim // 4)
        elements = self._head(shallow, self.stored, end)
        return Program(tuple(self.definitions), tuple(self.steps), elements, self._output_shape())

    @staticmethod
    def _at(elements: int) -> Place:
        """Return the place in the arena behind ``elements`` for every token."""
        return Place("arena", _TOKENS * elements if elements else 0)

    def _output_shape(self) -> tuple[Number, Number, Number, Number]:
        height, width = self._result_sides()
        if self.io == "image":
            return (_BATCH, height, width, self.config.in_chans)
        return (_BATCH, self.config.in_chans, height, width)

    def _result_sides(self) -> tuple[Expression, Expression]:
        return _PICTURE_HEIGHT * self.config.upscale, _PICTURE_WIDTH * self.config.upscale

    def _opening(self, shallow: Place, stream: Place) -> None:
        config, pixels = self.config, self.settings.first_convolution_pixels
        self.add(
            "first_convolution",
            (ceil_div(_TOKENS, pixels), self.stored // 64),
            {
                "picture": Place("input"),
                "result": shallow,
                "weight": Weight("conv_first.weight"),
                "bias": Weight("conv_first.bias"),
                "mean": Weight("mean"),
                "batch": _BATCH,
                "picture_height": _PICTURE_HEIGHT,
                "picture_width": _PICTURE_WIDTH,
                "height": _HEIGHT,
                "width": _WIDTH,
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
        source: Place,
        result: Place,
        *,
        eps: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        rows = self.settings.layer_norm_rows
        norm = name or "norm"
        self.add(
            "layer_norm",
            (ceil_div(_TOKENS, rows),),
            {
                "source": source,
                "result": result,
                "weight": Weight(f"{norm}.weight"),
                "bias": Weight(f"{norm}.bias"),
                "tokens": _TOKENS,
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

    def _rstb(self, index: int, stream: Place, work: Place, narrow: int) -> None:
        source = stream
        for number in range(self.config.depths[index]):
            name = f"layers.{index}.residual_group.blocks.{number}"
            shift = self.config.shift_size if number % 2 else 0
            self._block(name, source, work, self.config.num_heads[index], shift)
            source = work
        self._residual_convolution(f"layers.{index}.conv", work, stream, narrow, "convolution")

    def _block(self, name: str, source: Place, result: Place, heads: int, shift: int) -> None:
        config = self.config
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
        place: dict[str, Argument] = {"height": _HEIGHT, "width": _WIDTH, "shift": shift}
        numbers: dict[str, Argument] = {
            "eps": self.numbers[f"{name}.norm1.eps"],
            "scale_out": self.numbers.get(f"{name}.scale", self.numbers["scale"]),
        }
        head = stored_head(config.embed_dim // heads)
        hidden = stored_hidden(config.mlp_hidden_dim)
        shape = {"CHANNELS": config.embed_dim, "HEADS": heads, "HEAD": head}
        shape["SIDE"] = config.window_size
        data = {"features": source, "result": result}
        if self.stored == 64:
            self.add(
                "swin_block",
                (_WINDOWS,),
                {**data, **attention, **mlp, **place, **numbers},
                {**shape, "HIDDEN": hidden, **self.settings.block},
                "block",
            )
            return
        parts = {"FIRST": 128, "SECOND": self.stored - 128}
        constants = self.settings.attention(self.stored)
        self.add(
            "attention_half",
            (ceil_div(_WINDOWS, constants["WINDOWS"]),),
            {**data, **attention, **place, "windows": _WINDOWS, **numbers},
            {**shape, **parts, **constants},
            "attention",
        )
        constants = self.settings.mlp(self.stored)
        numbers["eps"] = self.numbers[f"{name}.norm2.eps"]
        self.add(
            "mlp_half",
            (ceil_div(_TOKENS, constants["ROWS"]),),
            {"features": result, "result": result, **mlp, "tokens": _TOKENS, **numbers},
            {"CHANNELS": config.embed_dim, **parts, "HIDDEN": hidden, **constants},
            "mlp",
        )

    def _residual_convolution(
        self, name: str, source: Place, residual: Place, narrow: int, part: str
    ) -> None:
        """1conv or 3conv of ``source``, added to ``residual`` in place."""
        if self.config.resi_connection == "1conv":
            self._whole(name, source, residual, self.stored, self.stored, part, residual=residual)
            return
        few = stored_channels(self.config.embed_dim // 4)
        first, second = self._at(narrow), self._at(narrow + few)
        self._whole(f"{name}.0", source, first, self.stored, few, part, slope=0.2)
        self._whole(f"{name}.2", first, second, few, few, part, slope=0.2, taps=1)
        self._whole(f"{name}.4", second, residual, few, self.stored, part, residual=residual)

    def _whole(
        self,
        name: str,
        source: Place,
        result: Place,
        channels: int,
        out: int,
        part: str,
        *,
        taps: int = 9,
        slope: float | None = None,
        residual: Place | None = None,
    ) -> None:
        """Add a convolution of all rows at the picture's own size."""
        whole = (0, _HEIGHT)
        step = self._convolution(
            name,
            source=source,
            result=result,
            channels=channels,
            out=out,
            size=(_HEIGHT, _WIDTH),
            rows=whole,
            source_rows=whole,
            result_rows=whole,
            part=part,
            taps=taps,
            slope=slope,
            residual=residual,
        )
        self.steps.append(step)

    def _head(self, deep: Place, free: int, end: int) -> Number:
        """Add what leads from the deep features [tokens, stored] to the picture.

        ``free`` .. ``end`` is what the arena has behind ``deep``, in elements for every token.
        Returns the elements of the arena.
        """
        config = self.config
        if config.upsampler in ("", "pixelshuffledirect"):
            shuffle = config.upscale if config.upsampler else 1
            name = "upsample.0" if config.upsampler else "conv_last"
            last = _HeadStep(name, self.stored, 0, shuffle=shuffle, last=True)
            self.steps += self._band([last], deep, (0, _HEIGHT), 0)
            return _TOKENS * end
        features = stored_channels(config.num_feat)
        name = "conv_before_upsample.0"
        self._whole(name, deep, self._at(free), self.stored, features, "head", slope=0.01)
        steps = list(self._head_steps(features))
        # The deep features are not needed any more: the bands lie over them, or behind.
        after = free + features
        lower, room = (0, free) if free >= end - after else (after, end - after)
        each, halo = self._band_needs(steps)
        row = self.define("row", _BATCH * _WIDTH)
        whole = self.define("whole_head", row * _HEIGHT * each)
        small = self.define("head_is_small", at_most(whole, _SMALL_HEAD))
        fitting = self.define("fitting_rows", (_HEIGHT * room - halo) // each)
        fits = self.define("head_fits", at_most(1, fitting))
        most = select(small, _HEIGHT, larger(smaller(_HEIGHT, fitting), 1))
        bands = self.define("bands", ceil_div(_HEIGHT, self.define("most_rows", most)))
        self.define("band_rows", ceil_div(_HEIGHT, bands))
        behind = _TOKENS * after
        needed = behind + select(small, whole, row * (each + halo))
        in_room = self.define("head_is_in_room", select(small, 0, fits))
        place = self.define("head_place", select(in_room, _TOKENS * lower, behind))
        first = Expression("band_rows") * Expression("band")
        rows = smaller(Expression("band_rows"), _HEIGHT - first)
        inner: list[tuple[str, Number]] = [("first", first), ("rows", rows)]
        band = (Expression("first"), Expression("rows"))
        launches = self._band(steps, self._at(free), band, place)
        count = ceil_div(_HEIGHT, Expression("band_rows"))
        self.steps.append(Repeat(count, "band", tuple(inner), tuple(launches)))
        return select(in_room, _TOKENS * end, larger(_TOKENS * end, needed))

    def _head_steps(self, features: int) -> Iterator[_HeadStep]:
        config = self.config
        if config.upsampler == "pixelshuffle":
            factor = 3 if config.upscale == 3 else 2
            total, position = 1, 0
            while total < config.upscale:
                out = features * factor**2
                yield _HeadStep(f"upsample.{position}", features, out, shuffle=factor)
                total, position = total * factor, position + 2
        else:
            yield _HeadStep("conv_up1", features, features, enlarge=True, slope=0.2)
            if config.upscale == 4:
                yield _HeadStep("conv_up2", features, features, enlarge=True, slope=0.2)
            yield _HeadStep("conv_hr", features, features, slope=0.2)
        yield _HeadStep("conv_last", features, 0, last=True)

    def _band_needs(self, steps: Sequence[_HeadStep]) -> tuple[int, int]:
        """Return e and h: a band of r rows needs at most ``e * r + h`` elements.

        That is for one column of one picture. At the picture's edges a band needs less.
        """
        counts = []
        for rows in (64, 65):  # far from all edges, where every count is linear
            needs = self._needs(steps, (1 << 20, rows), height=1 << 30, width=1, batch=1)
            counts.append(sum(evaluate(need.elements, {}) for need in needs))
        each = counts[1] - counts[0]
        return each, counts[0] - 64 * each

    def _needs(
        self,
        steps: Sequence[_HeadStep],
        band: tuple[Number, Number],
        *,
        height: Number = _HEIGHT,
        width: Number = _WIDTH,
        batch: Number = _BATCH,
    ) -> list[_Need]:
        """Return the rows of each step that a band (first, count) of the picture's rows needs."""
        sizes, scale = [(height, width)], 1
        for step in steps:
            factor = 2 if step.enlarge else step.shuffle
            sizes.append((sizes[-1][0] * factor, sizes[-1][1] * factor))
            scale *= factor
        begin, end = band[0] * scale, (band[0] + band[1]) * scale
        needs: list[_Need] = []
        for step, size, result in zip(
            reversed(steps), reversed(sizes[:-1]), reversed(sizes[1:]), strict=True
        ):
            own = result if step.enlarge else size
            # A shuffle gives whole cells, so the rows that it writes can be more than are asked.
            if step.shuffle > 1:
                begin, end = begin // step.shuffle, ceil_div(end, step.shuffle)
            compute = (begin, end - begin)
            written = (begin * step.shuffle, (end - begin) * step.shuffle)
            begin, end = larger(begin - 1, 0), smaller(end + 1, own[0])
            if step.enlarge:
                begin, end = begin // 2, (end - 1) // 2 + 1
            row = batch * result[1] * (step.out // step.shuffle**2)
            needs.append(_Need(compute, written, own, 0 if step.last else written[1] * row))
        return needs[::-1]

    def _band(
        self,
        steps: Sequence[_HeadStep],
        source: Place,
        band: tuple[Number, Number],
        place: Number,
    ) -> Iterator[LaunchStep]:
        """Give the launches of a band of rows; what passes between them lies at ``place``."""
        reads, source_rows = source, cast("tuple[Number, Number]", (0, _HEIGHT))
        for step, need in zip(steps, self._needs(steps, band), strict=True):
            writes = Place("output") if step.last else Place("arena", place)
            yield self._convolution(
                step.name,
                source=reads,
                result=writes,
                channels=step.channels,
                out=step.out,
                size=need.size,
                rows=need.compute,
                source_rows=source_rows,
                result_rows=need.written,
                part="head",
                slope=step.slope,
                shuffle=step.shuffle,
                enlarge=step.enlarge,
                last=step.last,
            )
            place = place + need.elements
            reads, source_rows = writes, need.written

    def _convolution(
        self,
        name: str,
        *,
        source: Place,
        result: Place,
        channels: int,
        out: int,
        size: tuple[Number, Number],
        rows: tuple[Number, Number],
        source_rows: tuple[Number, Number],
        result_rows: tuple[Number, Number],
        part: str,
        taps: int = 9,
        slope: float | None = None,
        residual: Place | None = None,
        shuffle: int = 1,
        enlarge: bool = False,
        last: bool = False,
    ) -> LaunchStep:
        """Return one launch; rows are pairs (first, count)."""
        config = self.config
        if last:
            colors = config.in_chans * shuffle**2
            out = 16 if colors <= 16 else 32 if colors <= 32 else stored_channels(colors)
        constants = self.settings.convolution(channels, out)
        pixels = _BATCH * rows[1] * size[1]
        tiles = out // (constants["OUT_TILE"] * constants["TILES"])
        store = (3 if self.io == "image" else 2) if last else 1 if shuffle > 1 else 0
        picture_height, picture_width = self._result_sides()
        return LaunchStep(
            "convolution",
            (ceil_div(pixels, constants["PIXELS"]), tiles),
            {
                "source": source,
                "result": result,
                "residual": residual or result,
                "weight": Weight(f"{name}.weight"),
                "bias": Weight(f"{name}.bias"),
                "picture": Place("input"),
                "mean": Weight("mean"),
                "batch": _BATCH,
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
    """Rows (first, count) of one step of the head: computed, and written after a shuffle.

    ``size`` is the height and width that it computes at, ``elements`` what it writes into the arena
    (0 for the last step).
    """

    compute: tuple[Number, Number]
    written: tuple[Number, Number]
    size: tuple[Number, Number]
    elements: Number


def make_program(
    config: SwinIRConfig, numbers: Mapping[str, float], settings: Settings, io: Io = "tensor"
) -> Program:
    """Plan a network for every shape.

    Args:
        config: of the network.
        numbers: of :class:`.packing.PackedSwinIR`.
        settings: of the architecture.
        io: ``tensor``: [B, C, H, W] float32, 0..1, in and out; ``image``: [B, H, W, C] uint8.
    """
    return _Planner(config, numbers, settings, io).run()


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
    """Plan one shape: :func:`make_program`, evaluated.

    Args:
        config: of the network.
        numbers: of :class:`.packing.PackedSwinIR`.
        settings: of the architecture.
        batch: pictures.
        height: of the input in pixels, before padding.
        width: likewise.
        io: as :func:`make_program` takes it.

    Raises:
        InputError: the shape is too large for the kernels' integers.
    """
    return make_program(config, numbers, settings, io).plan(batch, height, width)


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
