"""What restoring files gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FailedFile", "FolderReport", "RestoredFile"]


@dataclass(frozen=True)
class RestoredFile:
    """What became of one file.

    Attributes:
        source: the file that was read.
        target: the file that was written.
        width: of the source in pixels.
        height: of the source in pixels.
        target_width: of the target in pixels.
        target_height: of the target in pixels.
        elapsed_ms: reading, computing and writing, without waiting for each other.
        notes: what a user would want to know: how colour, depth or tiles were dealt with.
    """

    source: Path
    target: Path
    width: int
    height: int
    target_width: int
    target_height: int
    elapsed_ms: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailedFile:
    """A file that could not be restored.

    Attributes:
        source: the file.
        target: what would have been written.
        error: what went wrong and what to do, as one line.
    """

    source: Path
    target: Path
    error: str


@dataclass(frozen=True)
class FolderReport:
    """What became of a folder, in the order of the file names.

    Attributes:
        restored: files that were written.
        failures: files that could not be.
        ignored: how many files were left alone because their suffix is not that of a picture.
        skipped: pictures that were left out because their result was there already.
    """

    restored: tuple[RestoredFile, ...]
    failures: tuple[FailedFile, ...]
    ignored: int = 0
    skipped: tuple[Path, ...] = ()

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return not self.failures
