"""Which extra of this distribution installs a package that is missing."""

from __future__ import annotations

from importlib.util import find_spec

from swinir_deploy.errors import BackendUnavailableError

__all__ = ["EXTRAS", "explain_import_error", "require"]

EXTRAS: dict[str, tuple[str, ...]] = {
    "export": ("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "safetensors"),
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
_EXTRA_OF = {name: extra for extra, names in reversed(EXTRAS.items()) for name in names} | {
    "onnxruntime": "ort"
}


def require(extra: str, purpose: str) -> None:
    """Make sure that all packages of an extra are here, without importing them.

    Args:
        extra: a key of :data:`EXTRAS`.
        purpose: what needs them, to begin a sentence: ``Exporting a model``.

    Raises:
        BackendUnavailableError: some are missing; the message has the command that installs them.
    """
    missing = [name for name in EXTRAS[extra] if not _is_importable(name)]
    if missing:
        raise BackendUnavailableError(_message(purpose, missing, extra))


def explain_import_error(error: ImportError) -> BackendUnavailableError | None:
    """The error to show for a failed import of an optional package; None for any other import."""
    name = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(name)
    if extra is None:
        return None
    if not _is_importable(name):
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


def _is_importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
