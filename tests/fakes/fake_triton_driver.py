"""A driver for Triton without a GPU: kernels are compiled for it and their launches recorded.

What it promises: everything up to the driver is real, as on a card: arguments are bound and
checked, kernels are specialised, compiled to machine code and looked up again. Only loading and
running the machine code are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.runtime import driver


@dataclass
class FakeLaunch:
    """One launch: the kernel's name, grid, types by parameter, options of its code, arguments."""

    kernel: str
    grid: tuple[int, int, int]
    signature: dict[Any, str]
    metadata: Any
    arguments: tuple[Any, ...]


class FakeTritonDriver:
    """Stands in for ``triton.runtime.driver.active`` after :meth:`install`."""

    def __init__(self, architecture: int) -> None:
        self.target = GPUTarget("cuda", architecture, 32)
        self.launches: list[FakeLaunch] = []
        self.compiled: list[str] = []
        self.utils = self
        self.launcher_cls = self._launcher

    def install(self) -> None:
        driver.set_active(self)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": 227 << 10}

    def load_binary(
        self, name: str, binary: bytes, shared: int, device: int
    ) -> tuple[int, int, int, int, int]:
        assert binary[:4] == b"\x7fELF"
        self.compiled.append(name)
        return 1, len(self.compiled), 0, 0, 1024

    def _launcher(self, source: Any, metadata: Any) -> Any:
        def launch(
            x: int, y: int, z: int, stream: int, function: int, packed: Any, *rest: Any
        ) -> None:
            arguments = rest[3:]  # behind what belongs to hooks
            self.launches.append(
                FakeLaunch(source.name, (x, y, z), source.signature, metadata, arguments)
            )

        return launch
