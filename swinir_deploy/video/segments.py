"""Finished segments of a video that is restored with ``resume``: packets on disk, ready to join.

A folder beside the result holds one file for every segment and a list of them. Each segment begins
with a key frame and refers to no frame outside of itself, because an encoder of its own made it. A
file is a sequence of records (MessagePack), one for each packet in the encoder's order, so times
are exact and every codec fits. A file gets its name when it is whole; then it is listed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av.error
import msgspec
from av.packet import Packet

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.system.files import atomic_output
from swinir_deploy.video.convert import Picture
from swinir_deploy.video.encoding import EncoderChoice
from swinir_deploy.video.frame_encoder import FrameEncoder, FrameLayout

__all__ = ["Request", "Segment", "SegmentStore", "SegmentWriter", "StoredPacket"]

_LENGTH_BYTES = 4
_LIST = "segments.json"


class StoredPacket(msgspec.Struct, array_like=True):
    """A packet on disk; times are in units of the frames' time base."""

    pts: int
    duration: int
    is_key: bool
    data: bytes


class Segment(msgspec.Struct):
    """A finished segment.

    Attributes:
        file: name of its file in the folder.
        frames: number of its frames.
        last_pts: time of its last frame, in units of the frames' time base.
        head: what a decoder needs before its first packet.
        repeated: number of its frames that were not computed again.
    """

    file: str
    frames: int
    last_pts: int
    head: bytes
    repeated: int = 0


class Request(msgspec.Struct):
    """What the segments were made from and how; another request cannot use them.

    Attributes:
        source: path, size and time of the last change of the source.
        model: what identifies the model.
        options: everything else that changes a frame or a packet.
    """

    source: str
    model: str
    options: str


class _Listed(msgspec.Struct):
    """The list of segments as it is on disk."""

    request: Request
    segments: list[Segment] = []
    is_complete: bool = False
    broken: int = 0


class SegmentStore:
    """The segments of one result.

    Attributes:
        folder: the folder that holds them.
        segments: the finished ones, in order.
        is_complete: whether no segment is missing.
        broken: number of broken packets of the source that were concealed.

    Args:
        target: the result that they are for.
        request: what is asked for now.

    Raises:
        UsageError: there are segments of another request.
        VideoError: the folder cannot be made, or its list is damaged.
    """

    def __init__(self, target: Path, request: Request) -> None:
        self.folder = target.with_name(f"{target.name}.segments")
        self._request = request
        try:
            self.folder.mkdir(exist_ok=True)
            text = (self.folder / _LIST).read_bytes()
        except FileNotFoundError:
            self._listed = _Listed(request)
            return
        except OSError as error:
            raise VideoError(
                f"Cannot write {self.folder}: {error.strerror or error}. The segments of --resume "
                "lie there; give OUT in a folder that may be written to."
            ) from error
        try:
            self._listed = msgspec.json.decode(text, type=_Listed)
        except msgspec.DecodeError as error:
            raise VideoError(
                f"{self.folder / _LIST} is damaged ({error}). Remove the folder to start again."
            ) from error
        for name in ("source", "model", "options"):
            if getattr(self._listed.request, name) != getattr(request, name):
                raise UsageError(
                    f"{self.folder} holds segments with another {name}: "
                    f"{getattr(self._listed.request, name)}; now it is "
                    f"{getattr(request, name)}. Ask for the same again, or remove the folder."
                )

    @property
    def segments(self) -> list[Segment]:
        """Return the finished segments, in order."""
        return self._listed.segments

    @property
    def is_complete(self) -> bool:
        """Return whether no segment is missing."""
        return self._listed.is_complete

    @property
    def broken(self) -> int:
        """Return the number of broken packets that were concealed."""
        return self._listed.broken

    @property
    def frames(self) -> int:
        """Return the number of frames in all finished segments."""
        return sum(segment.frames for segment in self.segments)

    def add(self, segment: Segment) -> None:
        """List a segment whose file is whole."""
        self._listed.segments.append(segment)
        self._save()

    def complete(self, broken: int) -> None:
        """Note that no segment is missing."""
        self._listed.is_complete, self._listed.broken = True, broken
        self._save()

    def _save(self) -> None:
        with atomic_output(self.folder / _LIST) as temporary:
            temporary.write_bytes(msgspec.json.encode(self._listed))

    def packets(self) -> Iterator[StoredPacket]:
        """Yield the packets of all segments in the encoder's order."""
        for segment in self.segments:
            yield from _read(self.folder / segment.file)

    def remove(self) -> None:
        """Remove the folder with all segments."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path) -> Iterator[StoredPacket]:
    decoder = msgspec.msgpack.Decoder(StoredPacket)
    try:
        with open(path, "rb") as file:
            while length := file.read(_LENGTH_BYTES):
                yield decoder.decode(file.read(int.from_bytes(length, "little")))
    except (OSError, msgspec.DecodeError) as error:
        raise VideoError(
            f"The segment {path} cannot be read ({error}). Remove the folder {path.parent} to "
            "start again."
        ) from error


class SegmentWriter:
    """Encodes frames into segments of a store. Use it as a context manager.

    Attributes:
        lost_captions: whether a frame had closed captions that the encoder cannot write.

    Args:
        store: the store; it may have segments already.
        layout: what the frames are.
        choice: the encoder.
        frames: number of frames of a segment.
    """

    def __init__(
        self, store: SegmentStore, layout: FrameLayout, choice: EncoderChoice, frames: int
    ) -> None:
        self._store, self._layout, self._choice = store, layout, choice
        self._frames = frames
        self._stack = contextlib.ExitStack()
        self._encoder: FrameEncoder | None = None
        self._file: BinaryIO | None = None
        self._name = ""
        self._count, self._last_pts, self._packets = 0, 0, 0
        self.lost_captions = False

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, picture: Picture) -> None:
        """Encode a frame; a full segment is finished and listed."""
        if self._encoder is None:
            self._begin()
        assert self._encoder is not None
        with _as_video_error(self._store.folder):
            self._store_packets(self._encoder.encode(picture))
        self._count += 1
        self._last_pts = picture.pts
        if self._count == self._frames:
            self.finish()

    def finish(self) -> None:
        """Finish and list the segment that is being written, if any."""
        if self._encoder is None:
            return
        with _as_video_error(self._store.folder):
            self._store_packets(self._encoder.finish())
            if self._packets != self._count:
                raise VideoError(
                    f"The encoder {self._choice.name} gave {self._packets} packets for "
                    f"{self._count} frames. Choose another --codec."
                )
            self._stack.close()
        segment = Segment(self._name, self._count, self._last_pts, self._encoder.head)
        self.lost_captions |= self._encoder.lost_captions
        self._encoder = None
        self._store.add(segment)

    def _begin(self) -> None:
        self._name = f"{len(self._store.segments):05d}.packets"
        self._encoder = FrameEncoder(self._layout, self._choice)
        self._encoder.open()
        self._count = self._packets = 0
        temporary = self._stack.enter_context(atomic_output(self._store.folder / self._name))
        self._file = self._stack.enter_context(temporary.open("wb"))

    def _store_packets(self, packets: list[Packet[Any]]) -> None:
        assert self._file is not None
        for packet in packets:
            if packet.pts is None:
                raise VideoError(
                    f"The encoder {self._choice.name} gives no times; --resume needs them. Leave "
                    "--resume out, or choose another --codec."
                )
            stored = StoredPacket(
                packet.pts, packet.duration or 0, packet.is_keyframe, bytes(packet)
            )
            record = msgspec.msgpack.encode(stored)
            self._file.write(len(record).to_bytes(_LENGTH_BYTES, "little") + record)
            self._packets += 1


@contextlib.contextmanager
def _as_video_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"Cannot write a segment into {folder}: {getattr(error, 'strerror', None) or error}. "
            "Check that the disk has room and that the folder may be written to."
        ) from error
