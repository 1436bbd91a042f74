"""Draw the plots of a report: dots with limits, bars, and a curve, wide and narrow.

matplotlib's SVG was chosen by size: a plot takes 10 to 40 KB, wide and narrow together, and its
texts are those of the page. plotly brings its library into the file, which alone takes 4.8 MB.
"""

from __future__ import annotations

import io
import itertools
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from swinir_deploy.reporting.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import LogFormatter

__all__ = ["Axis", "Plot", "Series", "bar_plot", "curve_plot", "dot_plot"]

WIDE_PX, NARROW_PX = 720, 340
_ROW_PX = 24
_LABEL = {WIDE_PX: 36, NARROW_PX: 22}
"""Letters of a label beside the rows, by the width of the plot."""

_LEAST, _MOST = 1e-30, 1e15
"""Values that an axis can show; what lies beyond stands at its edge."""

_MARKS = {"first": "o", "second": "D", "bad": "X"}
_COUNTER = itertools.count(1)


@dataclass(frozen=True)
class Plot:
    """A plot for a page.

    Attributes:
        title: what it shows, in a line.
        said: what it shows to those who do not see it, as sentences.
        wide: the drawing as SVG for 720 pixels.
        narrow: the same for 340 pixels.
    """

    title: str
    said: str
    wide: str
    narrow: str


@dataclass(frozen=True)
class Series:
    """Values of one kind, one for each row of a plot.

    Attributes:
        name: the name in the legend.
        values: NaN where a row has none. Infinite values stand at the edge.
        low: the lower ends of intervals around the values; empty for none.
        high: the upper ends.
    """

    name: str
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Axis:
    """The axis of the values.

    Attributes:
        title: what the values are, with the unit.
        log: True for a logarithmic axis, which leaves out values of zero and below.
        limits: value -> name of lines that are drawn in.
        from_zero: True to begin a linear axis at zero.
    """

    title: str
    log: bool = False
    limits: dict[float, str] = field(default_factory=dict)
    from_zero: bool = False


def dot_plot(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    axis: Axis,
    said: str,
    failed: Sequence[bool] = (),
) -> Plot:
    """Draw a row for each label and a dot for each value.

    Args:
        title: of the plot.
        labels: names of the rows, from the top.
        series: one or two.
        axis: of the values.
        said: the text for those who do not see it.
        failed: True for rows that are drawn as failed; empty for none.
    """
    bounds = _bounds(series, axis)

    def draw(axes: Axes, width: int) -> None:
        for role, one in zip(("first", "second"), series, strict=False):
            _dots(axes, one, role, bounds, failed)
        _rows(axes, labels, width)
        _value_axis(axes, axis, bounds, width)
        if len(series) > 1:
            _legend(axes)

    return _plot(title, said, len(labels) + (len(series) > 1), draw)


def bar_plot(
    title: str, labels: Sequence[str], values: Sequence[float], axis: Axis, said: str
) -> Plot:
    """Draw a bar for each label, the first one on top."""

    def draw(axes: Axes, width: int) -> None:
        from matplotlib.ticker import MaxNLocator

        axes.barh(range(len(values)), values, height=0.6, color=COLOURS["first"])
        _rows(axes, labels, width)
        axes.set_xlabel(axis.title)
        if all(map(float.is_integer, values)):
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="x", color=COLOURS["line"], linewidth=0.8)

    return _plot(title, said, len(labels), draw)


def curve_plot(
    title: str,
    places: Sequence[float],
    values: Sequence[float],
    limits: Sequence[float],
    axis: Axis,
    said: str,
    across: str,
) -> Plot:
    """Draw values along a line of places, with the limit of each place.

    Args:
        title: of the plot.
        places: numbers along the line, ascending.
        values: one for each place; those that are not finite or not positive are left out.
        limits: the limit of each place.
        axis: of the values.
        said: the text for those who do not see it.
        across: what the places are.
    """
    shown = [v if math.isfinite(v) and v > 0 else math.nan for v in values]
    beyond = [(p, v) for p, v, limit in zip(places, shown, limits, strict=True) if v > limit]

    def draw(axes: Axes, width: int) -> None:
        axes.plot(places, shown, color=COLOURS["first"], linewidth=1.2)
        axes.step(places, limits, color=COLOURS["bad"], linewidth=1.4, linestyle="--", where="mid")
        axes.annotate(
            "limit", (places[0], limits[0]), xytext=(2, 4), textcoords="offset points",
            color=COLOURS["bad"],
        )  # fmt: skip
        if beyond:
            axes.plot(*zip(*beyond, strict=True), "X", color=COLOURS["bad"], markersize=7)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_log_formatter())
        axes.margins(x=0.01, y=0.12)
        axes.set_xlabel(across)
        axes.set_ylabel(axis.title)
        axes.grid(color=COLOURS["line"], linewidth=0.8)

    return _plot(title, said, 9, draw)


# ---------------------------------------------------------------------------------------- drawing


def _plot(title: str, said: str, rows: int, draw: Callable[[Axes, int], None]) -> Plot:
    wide, narrow = (_drawn(rows, width, draw) for width in (WIDE_PX, NARROW_PX))
    return Plot(title, said, wide, narrow)


def _drawn(rows: int, width: int, draw: Callable[[Axes, int], None]) -> str:
    with _style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / 72, (rows * _ROW_PX + 64) / 72), layout="constrained")
        axes = figure.add_subplot()
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        draw(axes, width)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True)
    return inline_svg(written.getvalue(), f"p{next(_COUNTER)}-")


@contextmanager
def _style() -> Iterator[None]:
    """Have matplotlib write texts as texts, take no formula in names, and say nothing."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)  # its cache of fonts, fonts without a letter
    try:
        import matplotlib

        settings: dict[str, Any] = {
            "svg.fonttype": "none",
            "svg.hashsalt": "swinir-deploy",
            "text.parse_math": False,
            "axes.formatter.use_mathtext": False,
            "font.size": 11.5,
            "text.color": COLOURS["ink"],
            "axes.labelcolor": COLOURS["muted"],
            "axes.edgecolor": COLOURS["line"],
            "xtick.color": COLOURS["muted"],
            "ytick.color": COLOURS["ink"],
        }
        with warnings.catch_warnings(), matplotlib.rc_context(cast("Any", settings)):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _dots(
    axes: Axes,
    one: Series,
    role: str,
    bounds: tuple[float, float],
    failed: Sequence[bool],
) -> None:
    low, high = bounds
    rows = [row for row, value in enumerate(one.values) if not math.isnan(value)]

    def inside(value: float) -> float:
        return min(max(value, low), high)

    if rows and one.low and one.high:
        starts, ends = ([inside(side[row]) for row in rows] for side in (one.low, one.high))
        axes.hlines(rows, starts, ends, color=COLOURS[role], linewidth=3, alpha=0.45)
    for bad in (False, True):
        kept = [row for row in rows if (bool(failed) and failed[row]) == bad]
        colour = "bad" if bad else role
        axes.plot(
            [inside(one.values[row]) for row in kept],
            kept,
            _MARKS[colour],
            color=COLOURS[colour],
            label="failed" if bad else one.name,
            markersize=7,
            linestyle="none",
            clip_on=False,
        )


def _bounds(series: Sequence[Series], axis: Axis) -> tuple[float, float]:
    """Return the ends of an axis that shows all finite values and limits."""
    shown = [*axis.limits]
    for one in series:
        shown += [*one.values, *one.low, *one.high]
    least = _LEAST if axis.log else -_MOST
    shown = [v for v in shown if least <= v <= _MOST] or [1.0]
    low, high = min(shown), max(shown)
    if axis.log:
        return low / 2, high * 2
    room = max(0.08 * (high - low), 0.01 * abs(high)) or 1.0
    return (0.0 if axis.from_zero else low - room), high + room


def _log_formatter() -> LogFormatter:
    """Return a formatter that writes 1e-05, without the formulas that matplotlib would write."""
    from matplotlib.ticker import LogFormatter

    return LogFormatter(labelOnlyBase=False, minor_thresholds=(9, 9))


def _value_axis(axes: Axes, axis: Axis, bounds: tuple[float, float], width: int) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    if axis.log:
        most = 9 if width == WIDE_PX else 5
        few = math.log10(bounds[1] / bounds[0]) < 1.5
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=most))
        axes.xaxis.set_major_formatter(_log_formatter())
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    axes.set_xlim(*bounds)
    axes.set_xlabel(axis.title)
    axes.grid(axis="x", color=COLOURS["line"], linewidth=0.8)
    for value, name in axis.limits.items():
        axes.axvline(value, color=COLOURS["bad"], linewidth=1.4, linestyle="--")
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha=_side(value, axis, bounds), color=COLOURS["bad"],
        )  # fmt: skip


def _side(value: float, axis: Axis, bounds: tuple[float, float]) -> str:
    """Return where a label stands, so that it stays inside the plot."""
    low, high = map(math.log, bounds) if axis.log else bounds
    place = ((math.log(value) if axis.log else value) - low) / (high - low)
    return "left" if place < 0.3 else "right" if place > 0.7 else "center"


def _rows(axes: Axes, labels: Sequence[str], width: int) -> None:
    longest = _LABEL[width]
    texts = [t if len(t) <= longest else f"{t[: longest - 1]}\u2026" for t in labels]
    axes.set_yticks(range(len(labels)), texts)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _legend(axes: Axes) -> None:
    lines = {str(line.get_label()): line for line in axes.lines if np.size(line.get_xdata())}
    kept = {name: line for name, line in lines.items() if not name.startswith("_")}
    axes.figure.legend(
        [*kept.values()], [*kept], loc="outside lower left", ncols=2, frameon=False,
        borderaxespad=0,
    )  # fmt: skip
