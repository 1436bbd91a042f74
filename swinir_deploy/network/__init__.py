"""SwinIR with the official parameter names, and the exact rewrites that make it deployable."""

from swinir_deploy.network.config import RGB_MEAN, ResiConnection, SwinIRConfig, Upsampler

__all__ = ["RGB_MEAN", "ResiConnection", "SwinIRConfig", "Upsampler"]
