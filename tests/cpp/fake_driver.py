"""The stand-in of CUDA's driver that the C library's tests build (cpp/tests/fake_cuda.cpp)."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FakeDriver", "Launched", "fnv"]

_LAUNCH = re.compile(
    r"launch (\d+) (\S+) grid (\d+) (\d+) (\d+) block (\d+) shared (\d+) stream (\d+) arguments(.*)"
)


@dataclass(frozen=True)
class Launched:
    """What a call of ``cuLaunchKernel`` asked for.

    Attributes:
        module: number of the machine code, from 0 in the order of loading.
        entry: the function in it.
        grid: programs along three axes.
        threads: of a program.
        shared_bytes: of a program.
        stream: number of the stream, in the order of creation.
        arguments: size in bytes and value, as an integer without a sign, of each.
    """

    module: int
    entry: str
    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int
    stream: int
    arguments: tuple[tuple[int, int], ...]


class FakeDriver:
    """The library of a build folder. A process has one, whoever opens it."""

    def __init__(self, build: Path) -> None:
        self.path = build / "lib/libfake_cuda.so"
        self._c = ctypes.CDLL(self.path)
        for name in ("log", "held"):
            getattr(self._c, f"fake_cuda_{name}").restype = ctypes.c_char_p

    def reset(self, **machine: int) -> None:
        """Forget what was done. ``machine``: see cpp/tests/fake_cuda.hpp."""
        self._c.fake_cuda_reset()
        for name, value in machine.items():
            self._c.fake_cuda_set(name.encode(), ctypes.c_int64(value))

    def held(self) -> str:
        """What is held on the GPU or for it; empty where nothing is."""
        return str(self._c.fake_cuda_held().decode())

    def lines(self, beginning: str) -> list[list[str]]:
        """The words of each line of the log that begins so."""
        log = self._c.fake_cuda_log().decode().splitlines()
        return [line.split() for line in log if line.startswith(f"{beginning} ")]

    def launches(self) -> list[Launched]:
        """What was launched, in order, without what was recorded for a graph."""
        result = []
        for words in self.lines("launch"):
            match = _LAUNCH.fullmatch(" ".join(words))
            assert match is not None, words
            x, y, z, threads, shared, stream = map(int, match.group(3, 4, 5, 6, 7, 8))
            pairs = (pair.split(":") for pair in match[9].split())
            arguments = tuple((int(size), int(value)) for size, value in pairs)
            result.append(
                Launched(int(match[1]), match[2], (x, y, z), threads, shared, stream, arguments)
            )
        return result


def fnv(content: bytes) -> int:
    """FNV-1a with 64 bits, by which the log names machine code."""
    value = 14695981039346656037
    for byte in content:
        value = (value ^ byte) * 1099511628211 % (1 << 64)
    return value
