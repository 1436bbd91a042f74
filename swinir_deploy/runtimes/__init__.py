"""Run models on every back end through one interface; a back end is imported when it is opened.

``open_runtime("model.onnx")`` returns a :class:`~swinir_deploy.runtimes.base.Runtime`, whose
``run`` takes and returns arrays. All back ends give the same output for the same input, within the
tolerance of their precision.
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
