"""What the command ``restore`` prints about pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swinir_deploy.cli.output import Output, Stopwatch, size_text, tell_failures

if TYPE_CHECKING:
    from swinir_deploy.restoration.auto_tile import TileChoice
    from swinir_deploy.restoration.reports import FolderReport, RestoredFile
    from swinir_deploy.runtimes import RuntimeSpec

__all__ = ["finish_file", "finish_folder", "tell_choice"]

_SHOWN_LINKS = 4


def tell_choice(out: Output, choice: TileChoice | None) -> None:
    """Print the tile that ``--tile auto`` selected."""
    if choice is None:
        return
    chosen = choice.chosen
    memory = "" if chosen.taken_bytes is None else f", {size_text(chosen.taken_bytes)} of memory"
    out.note(
        f"Tiles of {chosen.width}x{chosen.height} pixels, {chosen.batch} at a time, were the "
        f"fastest of {len(choice.trials)} that were tried ({chosen.ms_per_mpix / 1e3:.2f} s for a "
        f"megapixel{memory})."
    )


def _model(spec: RuntimeSpec) -> dict[str, Any]:
    names = ["model_id", "task", "scale", "precision", "backend", "device"]
    names += ["kernels", "kernels_reason"] if spec.kernels else []
    return {name: getattr(spec, name) for name in names}


def _entries(restored: RestoredFile) -> list[dict[str, Any]]:
    """Return the documents of a restored file and of its other pages."""
    entries = []
    for page in (restored, *restored.pages):
        entry = {**vars(page), "size_bytes": page.target.stat().st_size}
        del entry["pages"]
        entries.append(entry)
    return entries


def _tell_notes(out: Output, files: Iterable[RestoredFile], is_folder: bool) -> None:
    """Print each note once, with the file or the number of files that it is about."""
    sources: dict[str, list[Path]] = {}
    for restored in files:
        for page in (restored, *restored.pages):
            for note in page.notes:
                sources.setdefault(note, []).append(page.source)
    for note, about in sources.items():
        if not is_folder:
            out.note(note)
        elif len(about) == 1:
            out.note(f"{about[0]}: {note}")
        else:
            out.note(f"{len(about)} pictures: {note}")


def finish_file(out: Output, restored: RestoredFile, spec: RuntimeSpec, watch: Stopwatch) -> None:
    """Print the report on a picture and its other pages."""
    _tell_notes(out, [restored], is_folder=False)
    entries = _entries(restored)
    entry = entries[0]
    target = "stdout" if out.stdout_is_taken else restored.target
    out.done(
        {
            "model": _model(spec),
            "restored": entries,
            "failures": [],
            "skipped": [],
            "unread": {},
            "ignored": 0,
            "linked_folders": [],
            "seconds": watch.seconds,
        },
        f"Restored {restored.source} -> {target} ({restored.width}x{restored.height} -> "
        f"{restored.target_width}x{restored.target_height}, {size_text(entry['size_bytes'])}, "
        f"{f'{len(entries)} pages, ' if len(entries) > 1 else ''}"
        f"{spec.model_id} on {spec.backend} {spec.device}) in {watch}",
    )


def _by_suffix(paths: Iterable[Path]) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        kinds.setdefault(path.suffix.lower(), []).append(path)
    return kinds


def finish_folder(
    out: Output,
    report: FolderReport,
    source: Path,
    destination: Path,
    spec: RuntimeSpec,
    watch: Stopwatch,
) -> int:
    """Print the report on a folder, and return the exit code: 1 if a picture failed."""
    from swinir_deploy.pictures.formats import unread_in_words

    entries = [entry for restored in report.restored for entry in _entries(restored)]
    done, failed, skipped = len(report.restored), len(report.failures), len(report.skipped)
    _tell_notes(out, report.restored, is_folder=True)
    if report.unread:
        out.note(unread_in_words(report.unread))
    if report.linked_folders:
        links = ", ".join(map(str, report.linked_folders[:_SHOWN_LINKS]))
        more = len(report.linked_folders) - _SHOWN_LINKS
        out.note(
            f"Links to folders were not followed: {links}{f' and {more} more' * (more > 0)}. To "
            "restore what is there, give them as IN."
        )
    if report.ignored:
        out.note(f"{report.ignored} files in {source} are no pictures and were left alone.")
    out.done(
        {
            "model": _model(spec),
            "restored": entries,
            "failures": report.failures,
            "skipped": report.skipped,
            "unread": _by_suffix(report.unread),
            "ignored": report.ignored,
            "linked_folders": report.linked_folders,
            "seconds": watch.seconds,
        },
        f"Restored {done} of {done + failed + skipped} pictures in {source} -> {destination}"
        f"{f', {skipped} were done already' if skipped else ''} "
        f"({size_text(sum(entry['size_bytes'] for entry in entries))}, "
        f"{spec.model_id} on {spec.backend} {spec.device}) in {watch}",
    )
    return tell_failures("restored", [(str(f.source), f.error) for f in report.failures])
