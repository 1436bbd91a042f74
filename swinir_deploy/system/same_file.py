"""Tell whether two paths are one file, so that no output replaces what is read."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from swinir_deploy.errors import UsageError

__all__ = ["Files", "check_not_inputs", "folded", "ignores_case"]

_Path = str | os.PathLike[str]


class Files:
    """Files that exist, which can be recognised by any of their names.

    Links, hard links and other spellings on a file system that ignores case are seen through.
    """

    def __init__(self, paths: Iterable[_Path] = ()) -> None:
        self._by_number: dict[tuple[int, int], Path] = {}
        self._by_name: dict[str, Path] = {}
        for path in paths:
            self.add(path)

    def add(self, path: _Path) -> None:
        """Add a file; what does not exist, and folders, are passed over."""
        place = Path(path)
        number = _number_of(place)
        if number is not None and not place.is_dir():
            self._by_number.setdefault(number, place)
            self._by_name.setdefault(folded(os.path.realpath(place)), place)

    def find(self, path: _Path) -> Path | None:
        """Return the name under which a file was added, or None if it was not."""
        number = _number_of(path)
        if number is None:
            return None
        known = self._by_number.get(number) if number[1] else None
        if known is not None:
            return known
        # FUSE gives each spelling a number of its own.
        real = os.path.realpath(path)
        known = self._by_name.get(folded(real))
        if known is None:
            return None
        is_same = os.path.realpath(known) == real or ignores_case(Path(real).parent)
        return known if is_same else None


def check_not_inputs(output: _Path, inputs: Iterable[_Path | None]) -> None:
    """Check that an output is none of the files that the same work reads, by whatever name.

    Args:
        output: the file to write.
        inputs: the files that are read. None, names without a file, and folders are passed over.

    Raises:
        UsageError: the output is one of them.
    """
    read = Files(path for path in inputs if path is not None).find(output)
    if read is not None:
        same = "" if read == Path(output) else f" ({output} is the same file)"
        raise UsageError(
            f"The output would replace {read}{same}, which is read. Give another name."
        )


def folded(path: _Path) -> str:
    """Return what paths have in common that a file system may take for one."""
    return unicodedata.normalize("NFC", Path(path).as_posix()).casefold()


def ignores_case(folder: Path) -> bool:
    """Return whether names that differ by case only are one file in a folder.

    It is tried with a hidden file. Where that cannot be written, or there is no such folder,
    False is returned.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=".swinir-case-", dir=folder) as probe:
            name = Path(probe.name)
            return name.with_name(name.name.upper()).exists()
    except OSError:
        return False


def _number_of(path: _Path) -> tuple[int, int] | None:
    """Return the numbers of a file's device and of the file, which may be 0; None without one."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
