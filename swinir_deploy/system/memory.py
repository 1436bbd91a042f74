"""Measure the memory of this process, and recognise messages that memory ran out."""

from __future__ import annotations

import re
from pathlib import Path

from swinir_deploy.errors import DeviceMemoryError, UsageError

__all__ = [
    "available_bytes",
    "forget_peak",
    "highest_resident_bytes",
    "means_out_of_memory",
    "parse_bytes",
    "peak_resident_bytes",
    "resident_bytes",
    "says_out_of_memory",
    "size_rounded_up",
]

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
_forgotten_bytes = 0


def resident_bytes() -> int | None:
    """Return the physical memory that this process holds, in bytes; None without ``/proc``."""
    return _field(_PROC / "self/status", "VmRSS:")


def peak_resident_bytes() -> int | None:
    """Return the peak of physical memory in bytes, or None if the system does not tell.

    The peak is counted from the start of the process, or from the last :func:`forget_peak`.
    """
    peak = _field(_PROC / "self/status", "VmHWM:")
    if peak is not None:  # getrusage would include what the parent held before it started this
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # in bytes on macOS


def highest_resident_bytes() -> int | None:
    """Return the peak of physical memory since the start of the process, in bytes, or None.

    In contrast to :func:`peak_resident_bytes`, :func:`forget_peak` does not reset it.
    """
    peak = peak_resident_bytes()
    return None if peak is None else max(peak, _forgotten_bytes)


def forget_peak() -> bool:
    """Reset the peak to the memory that is held now.

    Returns:
        Whether that was possible. Only Linux can do it.
    """
    global _forgotten_bytes
    _forgotten_bytes = max(_forgotten_bytes, peak_resident_bytes() or 0)
    try:
        (_PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def available_bytes() -> int | None:
    """Return the bytes that this process can still allocate without swapping, or None if unknown.

    The limit of the container is taken into account.
    """
    sizes = [_field(_PROC / "meminfo", "MemAvailable:"), _left_in_container()]
    known = [size for size in sizes if size is not None]
    return min(known) if known else None


def _field(file: Path, name: str) -> int | None:
    """Return the value of a line such as ``VmRSS:  1234 kB``, in bytes, or None."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _left_in_container() -> int | None:
    """Return the bytes left within the container's limit (cgroup version 2), or None if none.

    Inactive pages of files are counted as free, because the kernel can drop them.
    """
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None  # the text is "max": there is no limit
    return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))


# The libraries have no reliable exception class for this, so their messages are searched.
_PHRASES = (
    "alloc_failed",
    "bad allocation",
    "bad_alloc",
    "bfcarena",  # ONNX Runtime's allocator names itself when it fails
    "can't allocate memory",
    "cannot allocate memory",
    "cl_out_of",  # OpenCL's codes, as OpenVINO passes them on
    "failed to allocate",
    "cudamalloc",
    "insufficient memory",
    "memory allocation",
    "not enough memory",
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "unable to allocate",
)


def means_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an exception, or one of its causes, means that memory ran out."""
    while error is not None:
        if isinstance(error, (MemoryError, DeviceMemoryError)) or says_out_of_memory(str(error)):
            return True
        error = error.__cause__
    return False


def says_out_of_memory(text: str) -> bool:
    """Return whether a library's message says that memory ran out."""
    lower = text.lower()
    return any(phrase in lower for phrase in _PHRASES)


# ------------------------------------------------------------------------------------------- sizes

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_bytes(text: str, *, minimum: int = 1) -> int:
    """Return the number of bytes of a size such as ``500MB``, ``2 GB``, ``1.5g`` or ``512MiB``.

    Args:
        text: a number and a unit. ``MB`` is decimal, ``MiB`` is binary. Only 0 needs no unit:
            programs disagree what a bare number counts.
        minimum: the smallest accepted size in bytes.

    Raises:
        UsageError: ``text`` is not a size, has no unit, or is below the minimum.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)(i?)(b?)\s*", text.lower())
    if match is not None:
        number, unit, binary, written = match.groups()
        if float(number) and not unit and not written and not binary:
            raise UsageError(
                f"{text!r} has no unit. Give one: {number}GB, {number}MiB or {number}B."
            )
        units = _BINARY if binary else _DECIMAL
        size = int(float(number) * units.get(unit, 0))
        if size >= minimum and (unit or not binary):
            return size
    raise UsageError(f"{text!r} is not a size of memory such as 500MB, 2GB or 4GiB.")


def size_rounded_up(size_bytes: int) -> str:
    """Return the text of a size in bytes, rounded up: ``2.1 GB`` or ``34 MB`` (decimal units)."""
    if size_bytes >= 10**9:
        return f"{-(-size_bytes // 10**8) / 10:.1f} GB"
    return f"{-(-size_bytes // 10**6)} MB"
