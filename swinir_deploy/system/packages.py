"""Find missing packages, and name the extra of this distribution that installs them."""

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
    "adopt": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "ort-rtx": ("onnxruntime_ep_nv_tensorrt_rtx",),
    "tensorrt": ("tensorrt", "cuda.core"),
    "rtx": ("tensorrt_rtx", "cuda.core"),
    "cuda": ("triton",),
    "layers": ("polygraphy", "onnx", "onnxruntime"),
    "eval": ("cv2",),
    "serve": ("starlette", "uvicorn", "prometheus_client", "python_multipart", "swagger_ui_bundle"),
    "report": ("jinja2", "matplotlib"),
    "heic": ("pillow_heif",),
    "jxl": ("pillow_jxl",),
    "video": ("av",),
}
"""For each extra, the import names of the packages that it installs."""

# Several extras may install a package: this is the one that messages name.
_EXTRA_OF = {name: extra for extra, names in reversed(_EXTRAS.items()) for name in names} | {
    "onnxruntime": "ort"
}


def require(extra: str, purpose: str) -> None:
    """Check that all packages of an extra are installed, without importing them.

    Args:
        extra: a key of :data:`_EXTRAS`.
        purpose: what needs them; it begins the message, such as ``Exporting a model``.

    Raises:
        BackendUnavailableError: a package is missing; the message has the command that installs
            it.
    """
    message = missing_packages(_EXTRAS[extra], extra, purpose)
    if message is not None:
        raise BackendUnavailableError(message)


@contextlib.contextmanager
def naming_the_extra() -> Iterator[None]:
    """Turn a failed import of an optional package into an error that names its extra.

    Raises:
        BackendUnavailableError: the package is not installed, or cannot be imported.
        ImportError: another module could not be imported.
    """
    try:
        yield
    except ImportError as error:
        explained = explain_import_error(error)
        if explained is None:
            raise
        raise explained from error


def explain_import_error(error: ImportError) -> BackendUnavailableError | None:
    """Return the error to show if an optional package could not be imported, else None."""
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
        names: import names of the packages.
        extra: the extra of this distribution that installs them.
        purpose: what needs them; it begins the message.
    """
    missing = [name for name in names if not is_importable(name)]
    return _message(purpose, missing, extra) if missing else None


def is_importable(name: str) -> bool:
    """Return whether a package is installed, without importing it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
