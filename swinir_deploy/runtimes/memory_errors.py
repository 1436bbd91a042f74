"""How libraries say that memory ran out; none of them has an exception that could be relied on."""

from __future__ import annotations

from swinir_deploy.errors import DeviceMemoryError

__all__ = ["means_out_of_memory"]

_PHRASES = (
    "alloc_failed",
    "bad allocation",
    "bad_alloc",
    "bfcarena",  # ONNX Runtime's allocator, which names itself when it has nothing left
    "can't allocate memory",
    "cannot allocate memory",
    "cl_out_of",  # OpenCL's codes, as OpenVINO passes them on
    "failed to allocate",
    "not enough memory",
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "unable to allocate",
)


def means_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or what it was raised from, means that memory ran out."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, (MemoryError, DeviceMemoryError)):
            return True
        if any(phrase in text for phrase in _PHRASES):
            return True
        error = error.__cause__
    return False
