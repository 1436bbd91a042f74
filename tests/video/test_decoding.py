"""Which frames are missing: never more than there were broken packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from clips import av

from swinir_deploy.errors import VideoError
from swinir_deploy.video.decoding import Decoder, MissingFrame


@dataclass
class FakePacket:
    pts: int | None
    gives: list[int] = field(default_factory=list)
    fails: bool = False
    is_discard: bool = False
    is_corrupt: bool = False
    time_base: Fraction = Fraction(1, 10)


@dataclass
class FakeFrame:
    pts: int | None
    dts: int | None = None
    is_corrupt: bool = False
    time_base: Fraction | None = None


class FakeContext:
    def decode(self, packet: FakePacket | None) -> list[FakeFrame]:
        if packet is None:
            return []
        if packet.fails:
            raise av.error.InvalidDataError(1094995529, "Invalid data")
        return [FakeFrame(pts) for pts in packet.gives]


def decode(packets: list[FakePacket], on_error: str = "conceal") -> tuple[list[str], int]:
    decoder = Decoder(FakeContext(), Fraction(1, 10), on_error)  # type: ignore[arg-type]
    found = []
    for packet in [*packets, None]:
        for item in decoder.decode(packet):  # type: ignore[arg-type]
            kind = "missing" if isinstance(item, MissingFrame) else "frame"
            found.append(f"{kind} {item.pts}")
    return found, decoder.broken


def test_a_packet_that_fails_leaves_a_missing_frame_in_its_place() -> None:
    # B-frames: packets come as 0 4 2 1 3, and the one of 2 is broken.
    packets = [
        FakePacket(0),
        FakePacket(4, [0]),
        FakePacket(2, fails=True),
        FakePacket(1, [1]),
        FakePacket(3, [3, 4]),
    ]
    found, broken = decode(packets)
    assert found == ["frame 0", "frame 1", "missing 2", "frame 3", "frame 4"]
    assert broken == 1


def test_a_broken_last_packet_is_missing_at_the_end() -> None:
    found, _ = decode([FakePacket(0, [0]), FakePacket(1, fails=True)])
    assert found == ["frame 0", "missing 1"]


def test_packets_that_give_no_frame_are_not_missed() -> None:
    """Fields, and frames that are never shown."""
    found, broken = decode([FakePacket(0, [0]), FakePacket(1), FakePacket(2, [2]), FakePacket(3)])
    assert found == ["frame 0", "frame 2"]
    assert broken == 0


def test_a_packet_to_be_discarded_is_not_missed() -> None:
    packets = [FakePacket(-1, is_discard=True), FakePacket(0, fails=True), FakePacket(1, [1])]
    assert decode(packets)[0] == ["missing 0", "frame 1"]


def test_a_broken_packet_fails_if_asked() -> None:
    with pytest.raises(VideoError, match=r"at 0\.100 s cannot be decoded"):
        decode([FakePacket(0, [0]), FakePacket(1, fails=True)], "fail")
