"""Which extra of this distribution installs a package that is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from swinir_deploy.errors import BackendUnavailableError

__all__ = [
    "explain_import_error",
    "is_importable",
    "missing_packages",
    "naming_the_extra",
    "require",
]

_EXTRAS: dict[str, tuple[str, ...]] = {
    "export": (
        "torch",
        "onnx",
        "onnxscript",
        "onnx_ir",
        "onnxsim",
        "onnxruntime",
        "ml_dtypes",
        "safetensors",
    ),
    "ort": ("onnxruntime",),
    "openvino": ("openvino",),
    "ort-rtx": ("onnxruntime_ep_nv_tensorrt_rtx",),
    "trt": ("tensorrt", "cuda.core"),
    "trt-rtx": ("tensorrt_rtx", "cuda.core"),
    "layers": ("polygraphy", "onnx", "onnxruntime"),
    "eval": ("cv2",),
}
"""Extra -> the import names that it brings."""

# Of several extras that bring a package, the one that is named when only that package is missing.
_EXTRA_OF = {name: extra for extra, names in reversed(_EXTRAS.items()) for name in names} | {
    "onnxruntime": "ort"
}


def require(extra: str, purpose: str) -> None:
    """Make sure that all packages of an extra are here, without importing them.

    Args:
        extra: a key of :data:`_EXTRAS`.
        purpose: what needs them, to begin a sentence: ``Exporting a model``.

    Raises:
        BackendUnavailableError: some are missing; the message has the command that installs them.
    """
    message = missing_packages(_EXTRAS[extra], extra, purpose)
    if message is not None:
        raise BackendUnavailableError(message)


@contextlib.contextmanager
def naming_the_extra() -> Iterator[None]:
    """Turn a failed import of an optional package into an error that names its extra.

    Raises:
        BackendUnavailableError: the package is not installed, or broken.
        ImportError: of any other module.
    """
    try:
        yield
    except ImportError as error:
        explained = explain_import_error(error)
        if explained is None:
            raise
        raise explained from error


def explain_import_error(error: ImportError) -> BackendUnavailableError | None:
    """The error to show for a failed import of an optional package; None for any other import."""
    name = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(name)
    if extra is None:
        return None
    if not is_importable(name):
        return BackendUnavailableError(_message("This", [name], extra))
    return BackendUnavailableError(
        f"{name} is installed and cannot be imported: {error}. Install it again: "
        f"pip install --force-reinstall {name}"
    )


def _message(purpose: str, missing: list[str], extra: str) -> str:
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{purpose} needs {', '.join(missing)}, which {verb} not installed: "
        f"pip install 'swinir-deploy[{extra}]'"
    )


def missing_packages(names: Iterable[str], extra: str, purpose: str) -> str | None:
    """Return the message for packages that are not installed, or None if all are.

    Args:
        names: import names.
        extra: of this distribution, which installs them.
        purpose: what needs them, to begin the message.
    """
    missing = [name for name in names if not is_importable(name)]
    return _message(purpose, missing, extra) if missing else None


def is_importable(name: str) -> bool:
    """Return whether a package is installed, without importing it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
