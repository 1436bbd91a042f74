"""The part of a video that is read, and what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.packet import Packet

__all__ = ["Window"]

_AFTER_S = 1  # how far other streams may lie behind the frames in a file


class Window:
    """A part of a video in time.

    Packets of other streams are kept until the frames have reached their time, because the end of
    the part is only known when the last frame has come (``frames``).

    Args:
        time_base: unit of the frames' times, in seconds.
        origin: time of the start of the video in this unit.
        start_s: start of the part in seconds after the start of the video.
        duration_s: length of the part in seconds; None has no end.
    """

    def __init__(
        self, time_base: Fraction, origin: int, start_s: float, duration_s: float | None
    ) -> None:
        self._time_base = time_base
        self.start_s = start_s
        self.shift = round(Fraction(start_s).limit_denominator(10**9) / time_base)
        self.first = origin + self.shift
        self._is_first_of_all = not start_s
        self._end: int | None = None
        if duration_s is not None:
            self._end = self.first + round(
                Fraction(duration_s).limit_denominator(10**9) / time_base
            )
        self._kept: list[Packet[Any]] = []

    def holds(self, pts: int) -> bool:
        """Return whether a frame belongs to the part."""
        return (self._is_first_of_all or pts >= self.first) and (
            self._end is None or pts < self._end
        )

    def is_past(self, pts: int) -> bool:
        """Return whether a time is behind the part."""
        return self._is_past(Fraction(pts))

    def close(self, end: int) -> None:
        """Set the end, in units of the frames' times."""
        self._end = end

    def keep(self, packet: Packet[Any]) -> None:
        """Keep a packet of another stream if it may belong to the part."""
        at = self.time_of(packet)
        if at is None or ((self._is_first_of_all or at >= self.first) and not self._is_past(at)):
            self._kept.append(packet)

    def is_over(self, at: int | Fraction | None) -> bool:
        """Return whether nothing that belongs to the part lies behind this time in the file."""
        if at is None or self._end is None:
            return False
        return at > self._end + _AFTER_S / self._time_base

    def before(self, pts: int) -> Iterator[Packet[Any]]:
        """Yield and forget the packets up to the time of a frame, with the times of the result."""
        ready = [one for one in self._kept if (self.time_of(one) or Fraction(0)) <= pts]
        self._kept = [one for one in self._kept if one not in ready]
        yield from (self._moved(one) for one in ready)

    def rest(self) -> Iterator[Packet[Any]]:
        """Yield the packets that are left and belong to the part."""
        for packet in self._kept:
            at = self.time_of(packet)
            if at is None or not self._is_past(at):
                yield self._moved(packet)
        self._kept = []

    def _is_past(self, at: Fraction) -> bool:
        return self._end is not None and at >= self._end

    def time_of(self, packet: Packet[Any]) -> Fraction | None:
        """Return a packet's time in units of the frames' times."""
        time = packet.pts if packet.pts is not None else packet.dts
        return None if time is None else time * packet.time_base / self._time_base

    def _moved(self, packet: Packet[Any]) -> Packet[Any]:
        move = round(self.shift * self._time_base / packet.time_base)
        if packet.pts is not None:
            packet.pts -= move
        if packet.dts is not None:
            packet.dts -= move
        return packet
