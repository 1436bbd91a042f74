"""Check the files that a command writes before its work begins."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swinir_deploy.errors import SwinIRDeployError, UsageError
from swinir_deploy.system.files import check_output
from swinir_deploy.system.same_file import check_not_inputs, folded

if TYPE_CHECKING:
    from swinir_deploy.models.find import FoundModel

    Input = FoundModel | str | os.PathLike[str] | None

__all__ = ["check_outputs"]


def check_outputs(
    outputs: Iterable[str | os.PathLike[str] | None], inputs: Iterable[Input], overwrite: bool
) -> None:
    """Check that files can be written without losing another one.

    Args:
        outputs: the files to write; None for an option that was not given.
        inputs: what the command reads: files, folders of pictures, models, names of models.
        overwrite: replace files that exist.

    Raises:
        InputError: a file cannot be written there.
        UsageError: an output is an input, even with ``overwrite``; two outputs are one file; or a
            file exists and ``overwrite`` is False.
    """
    paths = [check_output(path) for path in outputs if path is not None]
    if len({folded(os.path.realpath(path)) for path in paths}) < len(paths):
        raise UsageError(
            f"The outputs {' and '.join(map(str, paths))} would replace each other. Give other "
            "names."
        )
    existing = [path for path in paths if path.exists()]
    if not existing:
        return
    read = [file for entry in inputs for file in _files_of(entry)]
    for path in existing:
        check_not_inputs(path, read)
    if not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(
            f"{existing[0]} exists{more}. Give --overwrite to replace it, or another name."
        )


def _files_of(entry: Input) -> Iterator[Path]:
    """Yield the files that are read for an input."""
    from swinir_deploy.artifacts.engine import ENGINE_SUFFIX, sidecar_path
    from swinir_deploy.models.find import FoundModel, find_model

    if entry is None:
        return
    if isinstance(entry, FoundModel):
        yield entry.place
        entry = entry.name
    path = Path(entry).expanduser()
    if not path.exists():
        with contextlib.suppress(SwinIRDeployError):  # the work says what is wrong with the name
            yield find_model(entry).place
    if path.is_dir():
        from swinir_deploy.pictures.read import PICTURE_SUFFIXES

        with contextlib.suppress(OSError):  # the work says so, too
            yield from (p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        return
    yield path
    if path.suffix.lower() == ENGINE_SUFFIX:
        yield sidecar_path(path)
