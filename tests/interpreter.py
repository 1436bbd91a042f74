"""Triton's interpreter, in a process of its own.

Triton reads TRITON_INTERPRET when it is first imported, and whatever else runs in the process of
the tests may have imported it. The other process is started once for a session.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

__all__ = ["Interpreter", "interpreter"]

Interpreter = Callable[..., Any]


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """Call a function of a module with its arguments where Triton interprets; all are pickled."""
    pytest.importorskip("triton", reason="Triton is not installed")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_interpret) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def _interpret() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    import torch

    torch.set_num_threads(1)
