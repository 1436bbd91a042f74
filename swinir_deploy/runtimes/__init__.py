"""One interface over every back end; each is imported only when it is asked for.

``open_runtime("model.onnx")`` gives a :class:`~swinir_deploy.runtimes.base.Runtime` whose ``run``
takes and gives arrays. The same input gives the same output on every back end, within the
tolerance of its precision.
"""

from __future__ import annotations

from swinir_deploy.runtimes.base import Runtime, RuntimeStats
from swinir_deploy.runtimes.registry import (
    BACKENDS,
    Backend,
    available_backends,
    backend_for,
    open_runtime,
)
from swinir_deploy.runtimes.spec import RuntimeSpec

__all__ = [
    "BACKENDS",
    "Backend",
    "Runtime",
    "RuntimeSpec",
    "RuntimeStats",
    "available_backends",
    "backend_for",
    "open_runtime",
]
