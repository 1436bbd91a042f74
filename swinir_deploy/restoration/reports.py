"""The reports that restoring files returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FailedFile", "FolderReport", "RestoredFile"]


@dataclass(frozen=True)
class RestoredFile:
    """The report on one restored file.

    Attributes:
        source: the file that was read.
        target: the file that was written.
        width: width of the source in pixels.
        height: height of the source in pixels.
        target_width: width of the target in pixels.
        target_height: height of the target in pixels.
        elapsed_ms: time of reading, computing and writing in milliseconds, without the time that
            these stages wait for each other.
        notes: sentences for the user about changes of colour, bit depth or tiles.
        pages: the reports on the other pages, if all pages of the source were restored.

    Example:
        >>> from swinir_deploy import RestoredFile
        >>> report = RestoredFile("a.png", "b.png", 64, 48, 256, 192, elapsed_ms=20.5)
        >>> report.target_width
        256
    """

    source: Path
    target: Path
    width: int
    height: int
    target_width: int
    target_height: int
    elapsed_ms: float
    notes: tuple[str, ...] = ()
    pages: tuple[RestoredFile, ...] = ()


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
    """The report on a folder, in the order of the file names.

    Attributes:
        restored: files that were restored.
        failures: files that could not be restored, and folders and links that could not be read.
        ignored: number of files that were ignored because their suffix is not that of a picture.
        skipped: pictures that were skipped because their result existed already (``resume``).
        linked_folders: links to folders, which were not followed.
        unread: files that are pictures, by their suffix, of a kind that cannot be read here.

    Example:
        >>> from swinir_deploy import FolderReport
        >>> FolderReport(restored=(), failures=(), ignored=2).ok
        True
    """

    restored: tuple[RestoredFile, ...]
    failures: tuple[FailedFile, ...]
    ignored: int = 0
    skipped: tuple[Path, ...] = ()
    linked_folders: tuple[Path, ...] = ()
    unread: tuple[Path, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether no file failed."""
        return not self.failures
