"""The options of ``swinir-deploy restore`` for videos."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from swinir_deploy.artifacts.shapes import parse_sides
from swinir_deploy.cli.options import KeyValueType, NearChoice
from swinir_deploy.cli.output import Output
from swinir_deploy.errors import UsageError
from swinir_deploy.system.memory import parse_bytes

if TYPE_CHECKING:
    from swinir_deploy.video.job import VideoOptions
    from swinir_deploy.video.source import RawVideo

    _Number = click.ParamType[float]
else:  # before click 8.2, this class takes no type argument
    _Number = click.ParamType

__all__ = ["PIPE_FORMATS", "VideoRequest", "video_options"]

PIPE_FORMATS = ("y4m", "rawvideo")
"""Values of ``--format`` for videos."""

Function = TypeVar("Function", bound=Callable[..., Any])


class _Time(_Number):
    """A time in seconds, or as HH:MM:SS."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the time in seconds."""
        seconds = 0.0
        try:
            for part in str(value).split(":"):
                seconds = seconds * 60 + float(part)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < 1e7:
            self.fail(f"{value!r} is no time such as 90, 1.5 or 00:01:30.", param, ctx)
        return seconds


class _Rate(_Number):
    """Frames for a second, as a number or a fraction."""

    name = "FPS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the rate as a fraction."""
        try:
            rate = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            self.fail(f"{value!r} is no rate such as 25 or 30000/1001.", param, ctx)
        return rate


_OPTIONS = {
    "codec": click.option(
        "--codec",
        metavar="NAME",
        help="Videos: h264, hevc, av1, vp9, ffv1, prores, or an encoder such as hevc_nvenc.  "
        "[default: by OUT and the bits]",
    ),
    "crf": click.option(
        "--crf",
        type=click.IntRange(0, 63),
        metavar="N",
        help="Videos: constant rate factor; lower is better and larger.  [default: 16 to 24]",
    ),
    "bitrate": click.option(
        "--bitrate", metavar="RATE", help="Videos: bits per second, such as 8M, instead of --crf."
    ),
    "pix_fmt": click.option(
        "--pix-fmt",
        metavar="NAME",
        help="Videos: FFmpeg's pixel format of the result.  [default: that of IN]",
    ),
    "codec_options": click.option(
        "--codec-option",
        "codec_options",
        type=KeyValueType(),
        multiple=True,
        metavar="KEY=VALUE",
        callback=lambda _context, _option, pairs: dict(pairs) or None,
        help="Videos: option of the encoder, such as preset=slow; can be repeated.",
    ),
    "decoder": click.option(
        "--decoder", metavar="NAME", help="Videos: FFmpeg's decoder, such as h264_cuvid."
    ),
    "matrix": click.option(
        "--matrix",
        type=NearChoice(("bt601", "bt709", "bt2020")),
        help="Videos: colour matrix of IN if it tells none or a wrong one.",
    ),
    "deinterlace": click.option(
        "--deinterlace",
        is_flag=True,
        default=None,
        help="Videos: make whole frames of interlaced ones (bwdif).",
    ),
    "start_s": click.option(
        "--start", "start_s", type=_Time(), help="Videos: start here, such as 90 or 00:01:30."
    ),
    "duration_s": click.option(
        "--duration", "duration_s", type=_Time(), help="Videos: restore so much time."
    ),
    "frames": click.option(
        "--frames", type=click.IntRange(1), metavar="N", help="Videos: restore N frames."
    ),
    "every_nth": click.option(
        "--every-nth",
        type=click.IntRange(1),
        metavar="N",
        help="Videos: restore only every N-th frame, for a preview.",
    ),
    "dedupe": click.option(
        "--no-dedupe",
        "dedupe",
        flag_value=False,
        default=None,
        help="Videos: compute frames that equal the one before, too.",
    ),
    "on_error": click.option(
        "--on-error",
        type=NearChoice(("fail", "conceal")),
        help="Videos: what a broken packet does: fail, or conceal it by the frame before.  "
        "[default: fail]",
    ),
    "drop_unsupported": click.option(
        "--drop-unsupported",
        is_flag=True,
        default=None,
        help="Videos: leave out streams that OUT cannot hold.",
    ),
    "frame_size": click.option(
        "--frame-size", metavar="WxH", help="Raw video: size of a frame of IN."
    ),
    "frame_format": click.option(
        "--frame-format", metavar="NAME", help="Raw video: pixel format of IN.  [default: rgb24]"
    ),
    "rate": click.option(
        "--rate", type=_Rate(), help="Raw video: frames for a second.  [default: 25]"
    ),
}


@dataclass(frozen=True)
class VideoRequest:
    """The options for videos that the command line gives; None stands for one that it does not."""

    values: dict[str, Any]

    def refuse(self, source: str) -> None:
        """Refuse the options if the command is not about a video.

        Raises:
            UsageError: at least one of them was given.
        """
        names = [name for name, value in self.values.items() if value is not None]
        if names:
            flags = ", ".join(_flag(name) for name in names)
            raise UsageError(
                f"{flags} {'is' if len(names) == 1 else 'are'} for videos, and {source} is none "
                "by its suffix. Leave it out, or give --format y4m or rawvideo for a pipe."
            )

    def refuse_others(self, **values: Any) -> None:
        """Refuse options that are for pictures only; None stands for one that was not given.

        Raises:
            UsageError: at least one of them was given.
        """
        names = [
            f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None
        ]
        if names:
            raise UsageError(
                f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} for pictures, and this "
                "is a video. Leave it out; the memory for frames is bounded by itself."
            )

    def options(self, source_format: str | None, out: Output) -> VideoOptions:
        """Return the options of the job.

        Args:
            source_format: ``y4m`` or ``rawvideo`` if IN does not say what it is.
            out: the output of the command.

        Raises:
            UsageError: they are impossible.
        """
        from swinir_deploy.video.encoding import Encoding
        from swinir_deploy.video.job import VideoOptions
        from swinir_deploy.video.source import Reading

        given = {name: value for name, value in self.values.items() if value is not None}
        names = ["decoder", "on_error", "matrix", "deinterlace", "start_s", "duration_s"]
        names += ["frames", "every_nth"]
        reading = Reading(
            **{name: given[name] for name in names if name in given},
            format=source_format,
            raw=self._raw(given),
        )
        bitrate = given.get("bitrate")
        encoding = Encoding(
            given.get("codec"),
            given.get("crf"),
            None if bitrate is None else _bits(bitrate),
            given.get("pix_fmt"),
            given.get("codec_options", {}),
        )
        return VideoOptions(
            reading,
            encoding,
            given.get("dedupe", True),
            given.get("drop_unsupported", False),
            None,
            out.progress,
        )

    def _raw(self, given: dict[str, Any]) -> RawVideo | None:
        from swinir_deploy.video.source import RawVideo

        if "frame_size" not in given:
            return None
        try:
            width, height = parse_sides(given["frame_size"])
        except UsageError as error:
            raise UsageError(
                f"--frame-size {given['frame_size']!r} is no size such as 640x360 (width x height)."
            ) from error
        return RawVideo(
            width, height, given.get("frame_format", "rgb24"), given.get("rate", Fraction(25))
        )


def video_options(function: Function) -> Function:
    """Add the options for videos, passed as a :class:`VideoRequest` named ``video``."""

    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        taken = {name: values.pop(name) for name in _OPTIONS}
        return function(*args, video=VideoRequest(taken), **values)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS.values()):
        decorated = option(decorated)
    return cast("Function", decorated)


def _flag(name: str) -> str:
    option: Any = _OPTIONS[name](lambda: None)
    return str(option.__click_params__[0].opts[0])


def _bits(text: str) -> int:
    """Return the bits per second of such as ``8M`` or ``500k``."""
    try:
        return parse_bytes(text)
    except UsageError as error:
        raise UsageError(f"--bitrate {text!r} is no rate such as 500k, 8M or 1.5M.") from error
