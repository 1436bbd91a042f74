"""SwinIR with the official parameter names, and the exact rewrites that make it deployable.

The configuration can be imported without torch. ``SwinIR`` is imported on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swinir_deploy.network.config import RGB_MEAN, ResiConnection, SwinIRConfig, Upsampler

if TYPE_CHECKING:
    from swinir_deploy.network.swinir import SwinIR

__all__ = ["RGB_MEAN", "ResiConnection", "SwinIR", "SwinIRConfig", "Upsampler"]


def __getattr__(name: str) -> Any:
    if name == "SwinIR":
        from swinir_deploy.network.swinir import SwinIR

        return SwinIR
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
