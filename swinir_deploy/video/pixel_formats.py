"""Pixel formats of frames: what a format holds, and which one a result gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from av.codec.codec import find_best_pix_fmt_of_list
from av.video.format import VideoFormat

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.system.choices import unknown_choice

__all__ = ["PixelFormat", "describe", "format_of_result"]


@dataclass(frozen=True)
class PixelFormat:
    """What a pixel format of FFmpeg holds.

    Attributes:
        name: FFmpeg's name, such as ``yuv420p10le``; ``yuvj420p`` is ``yuv420p``, because the range
            of values is kept apart (:mod:`swinir_deploy.video.colour`).
        bits: bits of a sample.
        colours: 1 for gray, 3 for colour.
        has_alpha: whether there is opacity.
        is_yuv: whether the colours are luma and two differences; gray counts as YUV.
        chroma_step: luma samples for one colour sample, across and down.
    """

    name: str
    bits: int
    colours: int
    has_alpha: bool
    is_yuv: bool
    chroma_step: tuple[int, int] = (1, 1)


def describe(name: str) -> PixelFormat:
    """Return what a pixel format holds.

    Raises:
        VideoError: the format is none of levels in RGB, YUV or gray.
    """
    try:
        found = VideoFormat(name, 16, 16)
    except ValueError as error:
        raise VideoError(
            f"The pixel format {name!r} is unknown to this build of FFmpeg."
        ) from error
    if found.is_bayer or name.startswith("xyz") or re.search(r"f(16|32)(le|be)?$", name):
        kind = "raw sensor data" if found.is_bayer else "not in levels of RGB, YUV or gray"
        raise VideoError(
            f"Frames of the pixel format {name} cannot be restored: it is {kind}. Convert the "
            "video first, such as with 'ffmpeg -i IN -pix_fmt yuv444p16le -c:v ffv1 OUT.mkv'."
        )
    if found.has_palette:
        return PixelFormat(name, 8, 3, has_alpha=True, is_yuv=False)
    colours = [part for part in found.components if not part.is_alpha]
    if not colours:
        raise VideoError(
            f"Frames of the pixel format {name} lie in the memory of a device. Give a --decoder "
            "whose frames come to the main memory, or leave it out."
        )
    has_alpha = len(colours) < len(found.components)
    is_gray = len(colours) < 3
    return PixelFormat(
        re.sub("^yuvj", "yuv", name),
        max(part.bits for part in colours),
        # Gray with opacity is rare; it goes through the model as RGB and comes out as gray.
        3 if has_alpha or not is_gray else 1,
        has_alpha,
        is_gray or not found.is_rgb,
        (16 // (found.chroma_width(16) or 16), 16 // (found.chroma_height(16) or 16)),
    )


def format_of_result(
    source: PixelFormat,
    possible: Sequence[str] | None,
    requested: str | None,
    encoder: str,
    sides: tuple[int, int],
    keeps_odd_sides: bool,
) -> PixelFormat:
    """Choose the pixel format of the result.

    It is that of the source if the encoder takes it, else the nearest one that loses nothing.

    Args:
        source: the format of the source.
        possible: the formats that the encoder takes; None if it takes every format.
        requested: the format that the caller asks for; None chooses one.
        encoder: name of the encoder, for messages.
        sides: width and height of the result.
        keeps_odd_sides: whether the encoder takes sides that its colour samples do not divide.

    Raises:
        UsageError: the encoder does not take the requested format, or the format cannot hold
            such sides.
        VideoError: the encoder would lose bits, opacity or colour resolution.
    """
    names = None if possible is None else [name for name in possible if _is_usable(name)]
    if requested is not None:
        if possible is not None and requested not in possible:
            raise UsageError(unknown_choice(f"pixel format for {encoder}", requested, possible))
        chosen = describe(requested)
        if not keeps_odd_sides and not _divides(chosen, sides):
            raise UsageError(
                f"{requested} cannot hold frames of {sides[0]}x{sides[1]} with {encoder}: its "
                "sides must be even. Give a --pix-fmt without reduced colours, such as yuv444p."
            )
        return chosen
    if names is None:
        return source
    if not keeps_odd_sides:
        names = [name for name in names if _divides(describe(name), sides)]
    if source.name in names:
        return source
    best, loss = _best(names, source)
    if best is None or loss:
        lost = loss or "its sides are odd"
        raise VideoError(
            f"{encoder} cannot keep frames of {source.name} with {sides[0]}x{sides[1]} pixels: "
            f"{lost}. Choose another --codec (ffv1 keeps everything), or accept the loss with "
            f"--pix-fmt{f' {best.name}' if best else ''}."
        )
    return best


def _is_usable(name: str) -> bool:
    """Return whether frames can be written in a format; yuvj formats are others with a range."""
    if name.startswith("yuvj"):
        return False
    try:
        describe(name)
    except VideoError:
        return False
    return True


def _divides(form: PixelFormat, sides: tuple[int, int]) -> bool:
    return not any(side % step for side, step in zip(sides, form.chroma_step, strict=True))


def _best(names: Sequence[str], source: PixelFormat) -> tuple[PixelFormat | None, str]:
    """Return the nearest format, and in words what it loses (empty: nothing)."""
    keeping = [name for name in names if not _loss(describe(name), source)]
    # FFmpeg's choice knows families of formats and sizes; the loss is judged by ourselves, because
    # it counts a change between RGB and YUV as one, and a change of the range.
    found, _ = find_best_pix_fmt_of_list(keeping or names, source.name, source.has_alpha)
    if found is None:
        return None, "it has no format for them"
    best = describe(found.name)
    return best, _loss(best, source)


def _loss(form: PixelFormat, source: PixelFormat) -> str:
    """Return in words what ``form`` cannot hold of ``source``; empty if nothing is lost."""
    lost = []
    if form.bits < source.bits:
        lost.append(f"{source.bits} bits would become {form.bits}")
    if source.has_alpha and not form.has_alpha:
        lost.append("the opacity would be lost")
    if form.colours < source.colours:
        lost.append("the colours would be lost")
    steps = zip(form.chroma_step, source.chroma_step, strict=True)
    if source.colours == 3 and any(after > before for after, before in steps):
        lost.append("the colours would get a lower resolution")
    return ", ".join(lost)
