"""One small network, as a checkpoint and as exported files."""

from __future__ import annotations

from small_models import bf16, fp16, fp32, small_checkpoint

__all__ = ["bf16", "fp16", "fp32", "small_checkpoint"]
