"""Read the frames of a video as arrays, with the packets of everything else between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from av.video.frame import VideoFrame

from swinir_deploy.errors import VideoError
from swinir_deploy.video.convert import Picture, ToArrays
from swinir_deploy.video.decoding import MissingFrame
from swinir_deploy.video.source import VideoSource
from swinir_deploy.video.window import Window

if TYPE_CHECKING:
    from av.packet import Packet
    from numpy.typing import NDArray

__all__ = ["FrameReader"]


class FrameReader:
    """Reads the frames that were asked for.

    Args:
        source: an open video. Its ``reading`` says which part is read, and how.
    """

    def __init__(self, source: VideoSource) -> None:
        reading = source.reading
        self._source, self._reading = source, reading
        self._window = Window(
            source.time_base, source.start_pts, reading.start_s, reading.duration_s
        )
        self._last_pts: int | None = None
        self._seen = 0

    def items(self) -> Iterator[Picture | Packet[Any]]:
        """Yield frames in the order of their times, and the packets of the other streams.

        Times are those of the result: a part starts at the time of the start of the video.

        Raises:
            VideoError: the video is damaged (with ``on_error="fail"``), is interlaced, or its
                frames change their size or format.
        """
        window, most = self._window, self._reading.frames
        if self._reading.start_s:
            self._source.seek(window.first)
        count = 0
        for item in self._pictures():
            if not isinstance(item, Picture):
                if self._reading.is_part:
                    window.keep(item)
                else:
                    yield item
                continue
            yield from window.before(item.pts)
            count += 1
            yield Picture(
                item.pixels,
                item.pts - window.shift,
                item.duration * self._reading.every_nth,
                item.frame,
            )
            if count == most:
                window.close(item.pts + (item.duration or self._source.step))
                break
        if self._reading.is_part:
            yield from self._rest()
        else:
            self._source.check_end()
        if not count:
            raise VideoError(
                f"{self._source.name} gives no frame{' here' if self._reading.is_part else ''}. "
                "Check --start, and that the file is whole."
            )

    def _pictures(self) -> Iterator[Picture | Packet[Any]]:
        """Yield frames with missing ones filled in, and other packets."""
        last: NDArray[Any] | None = None
        waiting: list[int] = []  # times of missing frames before the first one
        for item in self._chosen():
            if isinstance(item, Picture):
                last = item.pixels
                yield from (self._repeated(pts, last) for pts in waiting)
                waiting = []
                yield item
            elif not isinstance(item, MissingFrame):
                yield item
            elif last is None:
                waiting.append(item.pts)
            else:
                yield self._repeated(item.pts, last)

    def _repeated(self, pts: int, pixels: NDArray[Any]) -> Picture:
        return Picture(pixels, pts, self._source.step, None)

    def _chosen(self) -> Iterator[Picture | MissingFrame | Packet[Any]]:
        """Yield the frames that were asked for, missing ones among them, and other packets."""
        source, deinterlace = self._source, self._reading.deinterlace
        convert = ToArrays(source.first, source.form, source.colour, deinterlace)
        for item in source.items():
            if isinstance(item, VideoFrame):
                pts = self._checked_time(item)
                # To deinterlace a frame takes its neighbours.
                if deinterlace or self._is_chosen(pts):
                    yield from self._converted(convert, item)
                if self._window.is_past(pts):
                    break
            elif not isinstance(item, MissingFrame) or (
                self._is_later(item.pts) and self._is_chosen(item.pts)
            ):
                yield item
        yield from self._converted(convert, None)

    def _converted(self, convert: ToArrays, frame: VideoFrame | None) -> Iterator[Picture]:
        for picture in convert.convert(frame):
            if not self._reading.deinterlace or self._is_chosen(picture.pts):
                yield picture

    def _is_chosen(self, pts: int) -> bool:
        if not self._window.holds(pts):
            return False
        self._seen += 1
        return (self._seen - 1) % self._reading.every_nth == 0

    def _is_later(self, pts: int) -> bool:
        if self._last_pts is not None and pts <= self._last_pts:
            return False
        self._last_pts = pts
        return True

    def _checked_time(self, frame: VideoFrame) -> int:
        """Return the time of a frame, which gets one if it has none.

        Raises:
            VideoError: the frame does not fit to those before it.
        """
        source, first = self._source, self._source.first
        if frame.pts is None:
            frame.pts = source.start_pts if self._last_pts is None else self._last_pts + source.step
        at = f"{float(frame.pts * source.time_base):.3f} s"
        now = (frame.width, frame.height, frame.format.name)
        before = (first.width, first.height, first.format.name)
        if now != before:
            raise VideoError(
                f"The frames of {source.name} change at {at} from {before[0]}x{before[1]} "
                f"{before[2]} to {now[0]}x{now[1]} {now[2]}; a result has one size. Cut the video "
                "there, or restore the parts with --start and --duration."
            )
        if frame.interlaced_frame and not self._reading.deinterlace:
            raise VideoError(
                f"{source.name} is interlaced at {at}: each frame holds two moments, and a model "
                "would mix them. Give --deinterlace to make whole frames first (bwdif)."
            )
        if not self._is_later(frame.pts):
            raise VideoError(
                f"The time stamps of {source.name} do not grow at {at}. Repair them first, such as "
                "with 'ffmpeg -fflags +genpts -i IN -c copy OUT'."
            )
        return frame.pts

    def _rest(self) -> Iterator[Packet[Any]]:
        """Yield the packets of other streams that belong to the part that was read."""
        for item in self._source.items() if self._source.others else ():
            if isinstance(item, (VideoFrame, MissingFrame)):
                if self._window.is_over(item.pts):
                    break
                continue
            self._window.keep(item)
            if self._window.is_over(self._window.time_of(item)):
                break
        yield from self._window.rest()
