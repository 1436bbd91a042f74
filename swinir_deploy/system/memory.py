"""How much memory this process holds and could still get, and how libraries say that it ran out."""

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
    """Physical memory held now; None where ``/proc`` does not say."""
    return _field(_PROC / "self/status", "VmRSS:")


def peak_resident_bytes() -> int | None:
    """The most physical memory held since the start, or since :func:`forget_peak`."""
    peak = _field(_PROC / "self/status", "VmHWM:")
    if peak is not None:  # getrusage would count what the parent held before it started this
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on a Mac


def highest_resident_bytes() -> int | None:
    """The most physical memory held since the start, whatever was forgotten."""
    peak = peak_resident_bytes()
    return None if peak is None else max(peak, _forgotten_bytes)


def forget_peak() -> bool:
    """Let the peak begin anew with what is held now; whether that was possible (Linux only)."""
    global _forgotten_bytes
    _forgotten_bytes = max(_forgotten_bytes, peak_resident_bytes() or 0)
    try:
        (_PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def available_bytes() -> int | None:
    """What this process could still take without swapping, within the limit of its container."""
    found = [_field(_PROC / "meminfo", "MemAvailable:"), _left_in_container()]
    known = [size for size in found if size is not None]
    return min(known) if known else None


def _field(file: Path, name: str) -> int | None:
    """A line such as ``VmRSS:  1234 kB``, in bytes."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _left_in_container() -> int | None:
    """Of cgroup version 2 as a container sees it; pages of files count as used only in part."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None  # "max": no limit
    return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))


# None of them has an exception that could be relied on.
_PHRASES = (
    "alloc_failed",
    "bad allocation",
    "bad_alloc",
    "bfcarena",  # ONNX Runtime's allocator, which names itself when it has nothing left
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
    """Return whether an exception, or what it was raised from, means that memory ran out."""
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


def parse_bytes(text: str, *, bare_unit: int = 1, minimum: int = 1) -> int:
    """Return the bytes of a size such as ``500MB``, ``2 GB``, ``1.5g`` or ``512MiB``.

    Args:
        text: a number and a unit. ``MB`` is decimal, ``MiB`` binary.
        bare_unit: bytes that a number without any unit counts.
        minimum: the fewest bytes that make sense.

    Raises:
        UsageError: it is not a size, or too few bytes.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)(i?)(b?)\s*", text.lower())
    if match is not None:
        number, unit, binary, written = match.groups()
        units = _BINARY if binary else _DECIMAL
        factor = units.get(unit, 0) if unit or binary or written else bare_unit
        size = int(float(number) * factor)
        if factor and size >= minimum:
            return size
    raise UsageError(f"{text!r} is not a size of memory such as 500MB, 2GB or 4GiB.")


def size_rounded_up(size_bytes: int) -> str:
    """Return a size rounded up, such as ``2.1 GB`` or ``34 MB`` (decimal units)."""
    if size_bytes >= 10**9:
        return f"{-(-size_bytes // 10**8) / 10:.1f} GB"
    return f"{-(-size_bytes // 10**6)} MB"
