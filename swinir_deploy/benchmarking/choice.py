"""The back ends that ``bench`` times, where one or all of them may fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from swinir_deploy.benchmarking.contenders import Contender
from swinir_deploy.benchmarking.reports import FailedContender
from swinir_deploy.errors import SwinIRDeployError, UsageError
from swinir_deploy.models.find import FoundModel
from swinir_deploy.runtimes import BACKENDS, backend_for
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.library_names import library_name

__all__ = ["ALL", "backends_that_open", "parse_backends", "plan_each"]

ALL = "all"
_COMPILED = "torch-compile"


def parse_backends(text: str | None) -> tuple[str | None, ...]:
    """Read ``ort,torch``, or ``all``.

    Returns:
        The names of the back ends; ``(None,)`` without a text, ``("all",)`` for all of them.

    Raises:
        UsageError: a name is empty, repeated or unknown.
    """
    if text is None:
        return (None,)
    names = [library_name(name.strip()) for name in text.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise UsageError(
            f"--backend {text!r} has an empty or repeated name. Give different names with commas, "
            "such as ort,torch."
        )
    known = [*BACKENDS, _COMPILED, ALL]
    for name in names:
        if name not in known:
            raise UsageError(unknown_choice("back end", name, known))
    if ALL in names and len(names) > 1:
        raise UsageError(f"--backend {text!r}: {ALL} has all other names in it. Give it alone.")
    return tuple(names)


def backends_that_open(models: Sequence[FoundModel]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the back ends that can open every model, and sentences about those left out.

    A checkpoint, or a model of the catalogue, is exported for back ends that need ONNX.
    """
    fitting, left_out = [], []
    for backend in BACKENDS.values():
        why = next((reason for m in models if (reason := _why_not(m, backend.name))), None)
        if why is None:
            why = backend.missing()
        if why is None:
            fitting.append(backend.name)
        else:
            left_out.append(f"{backend.name} is left out: {why}")
    return tuple(fitting), tuple(left_out)


def _why_not(model: FoundModel, backend: str) -> str | None:
    """Return why a back end cannot open a model, or None if it can."""
    opens = BACKENDS[backend].opens
    if not model.is_onnx and not model.is_engine:
        needs_engine = BACKENDS[backend].flavour is not None
        return "it runs engines; give one that 'swinir-deploy build' made" if needs_engine else None
    if model.is_engine and BACKENDS[backend].flavour is not None:
        own = backend_for(model.name).name
        return None if own == backend else f"{Path(model.name).name} is an engine for {own}"
    if Path(model.name).suffix.lower() in opens:
        return None
    return f"it opens {' and '.join(opens) or 'checkpoints'}, not {Path(model.name).name}"


def plan_each(
    models: Sequence[FoundModel],
    backends: Sequence[str | None],
    plan: Callable[[FoundModel, str | None], list[Contender]],
) -> tuple[list[Contender], list[FailedContender]]:
    """Plan a contender for every model on every back end, and go on where one fails.

    Args:
        models: the models to time.
        backends: names of back ends; None chooses by the model's file.
        plan: makes the contenders of one model on one back end.

    Returns:
        The contenders, and the failures.

    Raises:
        SwinIRDeployError: there is no contender at all; it is the first failure.
    """
    contenders: list[Contender] = []
    failures: list[FailedContender] = []
    first: SwinIRDeployError | None = None
    for model in models:
        for backend in backends:
            try:
                contenders += plan(model, backend)
            except SwinIRDeployError as error:
                first = first or error
                by_file = "ort" if model.is_onnx else "its back end"
                label = f"{Path(model.name).name} on {backend or by_file}"
                failures.append(FailedContender(label, str(error)))
    if not contenders and first is not None:
        raise first
    return contenders, failures
