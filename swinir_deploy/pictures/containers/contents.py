"""What a look at a picture file finds, without decoding its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

from swinir_deploy.pictures.containers.pieces import Piece
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["Contents", "UnsupportedKindError", "several_frames"]


class UnsupportedKindError(ValueError):
    """The file is sound, and of a kind that cannot be read; the message names the kind."""


@dataclass
class Contents:
    """What a picture file holds, and where.

    Attributes:
        width: columns of pixels, as stored.
        height: rows of pixels, as stored.
        pieces: a file of the same format with nothing but what concerns the pixels.
        planes: such a file for each sample of a TIFF whose samples must be joined.
        metadata: what the file says about the picture; without damaged parts.
        icc_profile: its colour profile, or None.
        dpi: dots per inch, horizontal and vertical, or None.
        orientation: how the picture is to be turned, from 1 (not at all) to 8.
        frames: number of its frames or pages.
        is_lossless: whether this is a WebP without loss.
        tile: width and height of a tile of a TIFF, which may be larger than the picture, or None.
        extra_bytes: memory that decoding takes beside the result, in bytes.
        notes: sentences for the user.
    """

    width: int
    height: int
    pieces: list[Piece] = field(default_factory=list)
    planes: list[list[Piece]] = field(default_factory=list)
    metadata: Metadata = field(default_factory=Metadata)
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    orientation: int = 1
    frames: int = 1
    is_lossless: bool = False
    tile: tuple[int, int] | None = None
    extra_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def damaged(self, what: str, why: str) -> None:
        """Note that something beside the pixels is damaged and was left out."""
        self.notes.append(f"The {what} of the file is damaged and was left out: {why}.")


def several_frames(frames: int, word: str = "frames") -> str:
    """Return the sentence that a file has more than one frame or page."""
    return f"The file has {frames} {word}; the first is used. --pages restores all of them."
