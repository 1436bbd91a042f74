"""Plan what is written for a video: its streams, the encoder, the pixel format, the colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from swinir_deploy.video.colour import colour_of_result
from swinir_deploy.video.encoding import (
    EncoderChoice,
    Encoding,
    choose_encoder,
    formats_of,
    joined_option,
)
from swinir_deploy.video.frame_encoder import FrameLayout
from swinir_deploy.video.hdr import hdr_of
from swinir_deploy.video.pipe_writer import Y4M_FORMATS
from swinir_deploy.video.pixel_formats import format_of_result
from swinir_deploy.video.source import VideoSource
from swinir_deploy.video.streams import copied_chapters, display_matrix
from swinir_deploy.video.writer import VideoWriter

__all__ = ["WritePlan"]


@dataclass(frozen=True)
class WritePlan:
    """What will be written.

    Attributes:
        layout: what the frames are.
        encoder: what encodes them.
        notes: sentences for the user.
    """

    layout: FrameLayout
    encoder: EncoderChoice
    notes: list[str]

    @classmethod
    def of(
        cls,
        opened: VideoSource,
        encoding: Encoding,
        target: Path,
        scale: int,
        pipe_format: str | None = None,
    ) -> WritePlan:
        """Return the plan for a video.

        Raises:
            UsageError: the options are impossible.
            VideoError: the encoder would lose bits, opacity or colour resolution.
        """
        sides = opened.first.width * scale, opened.first.height * scale
        source = opened.form
        if pipe_format is not None:
            encoder = EncoderChoice("rawvideo", {})
            possible: Sequence[str] | None = Y4M_FORMATS if pipe_format == "y4m" else None
        else:
            encoder = choose_encoder(encoding, target, source)
            possible = formats_of(encoder.name)
        form = format_of_result(
            source,
            possible,
            encoding.pix_fmt,
            "y4m" if pipe_format == "y4m" else encoder.name,
            sides,
            encoder.keeps_odd_sides,
        )
        colour = colour_of_result(opened.colour, form)
        notes = []
        if source.is_yuv != form.is_yuv and source.colours == 3:
            kinds = ("RGB", "YUV")
            notes.append(
                f"The frames became {kinds[form.is_yuv]} ({form.name}): {encoder.name} takes no "
                f"{source.name}."
            )
        if pipe_format is None:
            encoder, more = _with_hdr(encoder, opened)
            notes += more
        else:
            notes += _lost_without_container(opened)
        stream = opened.stream
        layout = FrameLayout(
            *sides,
            form,
            colour,
            opened.time_base,
            opened.rate / opened.reading.every_nth,
            opened.is_regular,
            stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio,
            display_matrix(opened.first) if pipe_format is None else None,
            (opened.first.pts or 0) >= 0,
        )
        return cls(layout, encoder, notes)

    def prepare(self, writer: VideoWriter, opened: VideoSource, drop_unsupported: bool) -> None:
        """Add all streams in the order of the source, and write the head.

        Args:
            writer: the writer of the target.
            opened: the source.
            drop_unsupported: leave out streams that the container cannot hold.

        Raises:
            VideoError: the container cannot hold a stream, or the file cannot be written.
        """
        for stream in opened.container.streams:
            if stream is opened.stream:
                writer.add_frames(stream)
            else:
                writer.add_copy(stream, drop_unsupported)
        others = [s for s in opened.others if s.type == "video"]
        if others:
            self.notes.append(
                f"The first of {len(others) + 1} video streams was restored; the others (such as a "
                "cover) were copied."
            )
        for stream in writer.unwritten:
            self.notes.append(
                f"Stream {stream.index} ({stream.type}) was left out: the container cannot hold it."
            )
        reading = opened.reading
        shift = Fraction(reading.start_s).limit_denominator(10**9)
        origin = Fraction(opened.container.start_time or 0, 1_000_000)
        end = None
        if reading.duration_s is not None:
            end = origin + Fraction(reading.duration_s).limit_denominator(10**9)
        chapters = copied_chapters(opened.container.chapters(), shift, end, origin)
        writer.start(opened.container.metadata, chapters)


def _lost_without_container(opened: VideoSource) -> list[str]:
    """Return sentences on what frames alone do not hold."""
    if not opened.others:
        return []
    return [
        "Frames alone (y4m, rawvideo) have no sound and no subtitles: "
        f"{len(opened.others)} other streams were left out."
    ]


def _with_hdr(encoder: EncoderChoice, opened: VideoSource) -> tuple[EncoderChoice, list[str]]:
    """Return the encoder with the metadata of high dynamic range among its options."""
    hdr, notes = hdr_of(opened.first, opened.colour.transfer)
    if hdr is None:
        return encoder, notes
    added = hdr.encoder_options(encoder.name)
    if added is None:
        notes.append(
            f"{encoder.name} cannot write what the mastering display of this HDR video was; its "
            "colours and transfer are marked. hevc, av1 and h264 can."
        )
        return encoder, notes
    options = dict(encoder.options)
    for option, text in added.items():
        joined_option(options, option, text)
    return replace(encoder, options=options), notes
