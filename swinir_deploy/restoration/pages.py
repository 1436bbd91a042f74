"""Restore every page or frame of a file, each into a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from swinir_deploy.errors import UsageError
from swinir_deploy.restoration.file_job import FileJob
from swinir_deploy.restoration.reports import RestoredFile

__all__ = ["PagesJob", "page_target"]


def page_target(target: Path, page: int) -> Path:
    """Return the file for a page: the target itself for the first, then ``NAME-page2.png`` ...

    Args:
        target: the file of the first page.
        page: the page, from 0.
    """
    return target if page == 0 else target.with_name(f"{target.stem}-page{page + 1}{target.suffix}")


class PagesJob:
    """Restores all pages of one file, with the stages of a :class:`FileJob`.

    The file of the first page is written last. So when it exists, all others do.
    """

    def __init__(
        self,
        make_job: Callable[[Path, int | None], FileJob],
        count: Callable[[], int],
        target: Path,
        may_replace: bool,
    ) -> None:
        """Make the job; nothing is read yet.

        Args:
            make_job: makes the job of one page from its target and its number.
            count: returns the number of pages.
            target: the file of the first page.
            may_replace: whether files of other pages may exist and are replaced.
        """
        self._make_job = make_job
        self._count = count
        self._target = target
        self._may_replace = may_replace
        self._first = make_job(target, 0)
        self._pages = 1
        self._others: list[RestoredFile] = []

    def prepare(self) -> int:
        """Check the first page, and that no file of another page is in the way.

        Returns:
            The peak memory of the first page in bytes; 0 if there is no limit.

        Raises:
            UsageError: the file of another page exists.
            PictureError: as :meth:`FileJob.prepare` does.
        """
        needed = self._first.prepare()
        self._pages = self._count()
        for page in range(1, self._pages):
            place = page_target(self._target, page)
            if place.exists() and not self._may_replace:
                raise UsageError(
                    f"{place}, the result of page {page + 1}, exists. Give --overwrite to replace "
                    "it, or another name."
                )
        return needed

    def read(self) -> None:
        """Do nothing: the pages are read one after the other, so that one is in memory."""

    def compute(self) -> None:
        """Restore all pages, and write all but the first."""
        for page in range(1, self._pages):
            self._others.append(self._make_job(page_target(self._target, page), page).restore())
        self._first.read()
        self._first.compute()

    def write(self) -> RestoredFile:
        """Write the first page, and return its report with those of the others."""
        return replace(self._first.write(), pages=tuple(self._others))

    def restore(self) -> RestoredFile:
        """Run all stages, and return the report."""
        self.prepare()
        self.read()
        self.compute()
        return self.write()
