"""Which encoder writes a result, with which quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from av.codec.codec import Codec, UnknownCodecError, codecs_available

from swinir_deploy.errors import UsageError
from swinir_deploy.system.choices import did_you_mean
from swinir_deploy.video.pixel_formats import PixelFormat

__all__ = [
    "CODECS",
    "EncoderChoice",
    "Encoding",
    "available_encoders",
    "choose_encoder",
    "formats_of",
    "joined_option",
]

CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
    "prores": "prores_ks",
}
"""Name of a codec -> the encoder that writes it by default."""

DEFAULT_CRF = {"libx264": 16, "libx265": 18, "libsvtav1": 24, "libvpx-vp9": 24}
"""Constant rate factors with which the encoder adds no visible loss to the model's work."""

_LARGEST_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx-vp9": 63}

# GPU encoders have names of their own for a constant quality.
_QUALITY_OPTIONS = {"_nvenc": "cq", "_qsv": "global_quality", "_amf": "qvbr_quality_level"}

# suffix -> codec for 8 bits, and for what H.264 cannot hold in a way that players read
_BY_SUFFIX = {
    ".mp4": ("h264", "hevc"),
    ".m4v": ("h264", "hevc"),
    ".mkv": ("h264", "hevc"),
    ".mov": ("h264", "hevc"),
    ".ts": ("h264", "hevc"),
    ".m2ts": ("h264", "hevc"),
    ".flv": ("h264", "hevc"),
    ".webm": ("av1", "av1"),
    ".avi": ("h264", "ffv1"),
    ".nut": ("ffv1", "ffv1"),
}

_ODD_SIDES = ("ffv1", "rawvideo", "wrapped_avframe")


@dataclass(frozen=True)
class Encoding:
    """What the caller asks for; None leaves the choice to :func:`choose_encoder`.

    Attributes:
        codec: a key of :data:`CODECS`, or the name of an encoder such as ``hevc_nvenc``.
        crf: constant rate factor; lower is better and larger.
        bitrate: bits per second instead of a constant quality.
        pix_fmt: FFmpeg's name of the pixel format.
        options: further options of the encoder, such as ``{"preset": "slow"}``.
    """

    codec: str | None = None
    crf: int | None = None
    bitrate: int | None = None
    pix_fmt: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder and its options.

    Attributes:
        name: FFmpeg's name of the encoder.
        options: its options, with those that give the quality.
        bitrate: bits per second; None for a constant quality.
    """

    name: str
    options: dict[str, str]
    bitrate: int | None = None

    @property
    def keeps_odd_sides(self) -> bool:
        """Return whether reduced colours need no even sides."""
        return self.name in _ODD_SIDES


def choose_encoder(asked: Encoding, target: PurePath, source: PixelFormat) -> EncoderChoice:
    """Choose the encoder for a file.

    Args:
        asked: what the caller asks for.
        target: the file; its suffix decides if no codec was asked for.
        source: pixel format of the source.

    Raises:
        UsageError: this build of FFmpeg has no such encoder, or the options exclude each other.
    """
    if asked.crf is not None and asked.bitrate is not None:
        raise UsageError("--crf and --bitrate are two ways to set the quality. Give one of them.")
    codec = asked.codec or _default_codec(target, source)
    name = _encoder(codec)
    options = dict(asked.options)
    if name == "ffv1":
        options.setdefault("level", "3")
    if name.startswith("prores"):
        profile = "4444" if source.has_alpha or source.chroma_step == (1, 1) else "hq"
        if name == "prores_ks":
            options.setdefault("profile", profile)
            options.setdefault("vendor", "apl0")
    if name == "libsvtav1":
        options.setdefault("preset", "6")
    if name == "libvpx-vp9":
        options.setdefault("row-mt", "1")
    if name == "libx265":
        options.setdefault("a53cc", "1")  # closed captions, which libx264 writes unasked
        # x265 writes its own report to stderr
        joined_option(options, "x265-params", "log-level=error")
    if asked.bitrate is not None:
        _refuse_quality(name, "--bitrate", name in ("ffv1", "rawvideo"))
        return EncoderChoice(name, options, asked.bitrate)
    largest = _LARGEST_CRF.get(name)
    special = next((o for end, o in _QUALITY_OPTIONS.items() if name.endswith(end)), None)
    if asked.crf is not None:
        _refuse_quality(name, "--crf", largest is None and special is None)
        if largest is not None and asked.crf > largest:
            raise UsageError(f"--crf is {asked.crf}; {name} takes 0 to {largest}.")
    quality = asked.crf if asked.crf is not None else DEFAULT_CRF.get(name)
    if quality is not None:
        options.setdefault(special or "crf", str(quality))
    return EncoderChoice(name, options)


def joined_option(options: dict[str, str], name: str, text: str) -> None:
    """Add parameters to an option that holds the encoder's own ones, joined by colons."""
    options[name] = ":".join(part for part in (options.get(name), text) if part)


def formats_of(encoder: str) -> list[str] | None:
    """Return the pixel formats that an encoder takes; None if it takes every format."""
    formats = Codec(encoder, "w").video_formats
    if formats is None:
        return None
    names = [form.name for form in formats]
    if encoder == "libx265":  # needs a build of x265 with layers, and players that know them
        names = [name for name in names if not name.startswith("yuva")]
    return names


def _refuse_quality(encoder: str, option: str, refused: bool) -> None:
    if refused:
        instead = " It is lossless." if encoder in ("ffv1", "rawvideo") else ""
        raise UsageError(
            f"{encoder} takes no {option}.{instead} Leave it out, or give the encoder's own "
            "options with --codec-option."
        )


def _default_codec(target: PurePath, source: PixelFormat) -> str:
    usual, other = _BY_SUFFIX.get(target.suffix.lower(), ("h264", "hevc"))
    if source.has_alpha:
        return {".mov": "prores", ".webm": "vp9", ".mp4": "hevc"}.get(target.suffix.lower(), "ffv1")
    if source.bits > 12:
        return "ffv1"
    return usual if source.bits <= 8 else other


def _encoder(codec: str) -> str:
    """Return the encoder of a codec, or the encoder itself.

    Raises:
        UsageError: this build of FFmpeg has none.
    """
    name = CODECS.get(codec.lower(), codec)
    try:
        found = Codec(name, "w")
    except UnknownCodecError:
        found = None
    if found is not None and found.type == "video" and found.name == name:
        return name
    here = available_encoders()
    if codec.lower() in CODECS:
        other = [encoder for encoder in here if encoder.startswith(codec.lower())]
        if other:
            return other[0]
    raise UsageError(
        f"This build of FFmpeg has no video encoder {codec!r}. It has "
        f"{', '.join(name for name, encoder in CODECS.items() if encoder in here)} and "
        f"{', '.join(here)}.{did_you_mean(codec, [*CODECS, *here])}"
    )


_SHOWN = ("264", "265", "hevc", "av1", "vp9", "ffv1", "prores", "dnxhd", "mpeg2video", "mjpeg")


def available_encoders() -> list[str]:
    """Return the encoders of this build of FFmpeg that write films, by name."""
    found = []
    for name in sorted(codecs_available):
        if not any(part in name for part in _SHOWN):
            continue
        try:
            codec = Codec(name, "w")
        except UnknownCodecError:
            continue
        if codec.type == "video" and codec.name == name:
            found.append(name)
    return found
