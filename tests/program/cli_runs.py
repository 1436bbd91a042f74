"""What the tests of the command line share besides fixtures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.network.config import SwinIRConfig

__all__ = ["SMALL", "Exported", "Program", "Run", "run_process"]

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=8,
    num_heads=(1,),
    upsampler="pixelshuffledirect",
)


@dataclass(frozen=True)
class Run:
    """What one call of the program gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """All of stdout, which must be one JSON object without NaN or Infinity."""

        def refuse(name: str) -> None:
            raise ValueError(f"{name} is not JSON")

        found = json.loads(self.stdout, parse_constant=refuse)
        assert isinstance(found, dict)
        return found


Program = Callable[..., Run]


@dataclass(frozen=True)
class Exported:
    """The small network as the program exported it."""

    path: Path
    run: Run


def run_process(arguments: Sequence[object], before: str = "", **environment: str) -> Run:
    """The program in a process of its own.

    Args:
        arguments: of the command line.
        before: Python that runs first, such as ``sys.modules["torch"] = None``.
        environment: on top of this process's.
    """
    code = f"import sys\n{before}\nfrom swinir_deploy.cli.main import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    return Run(done.returncode, done.stdout, done.stderr)
