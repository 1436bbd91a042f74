"""The pattern of ``--shape``: digits are fixed sides, letters dynamic ones."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swinir_deploy.errors import UsageError
from swinir_deploy.network.config import SwinIRConfig

__all__ = ["DEFAULT_SHAPE", "ShapePattern"]

DEFAULT_SHAPE = "NxCxHxW"


@dataclass(frozen=True)
class ShapePattern:
    """Batch, height and width of an exported graph; None where dynamic."""

    batch: int | None = None
    height: int | None = None
    width: int | None = None

    @classmethod
    def parse(cls, text: str, config: SwinIRConfig) -> ShapePattern:
        """Read a pattern such as ``1x3xHxW``: batch, channels, height, width, in any layout.

        Args:
            text: four parts joined by ``x``; letters are dynamic, digits static.
            config: of the network, whose channels and smallest side the pattern must respect.

        Raises:
            UsageError: not such a pattern, wrong channels, or a side that is too small.
        """
        parts = re.split("[x\u00d7,]", text.strip(), flags=re.IGNORECASE)
        if len(parts) != 4 or not all(re.fullmatch(r"[A-WYZa-wyz_]+|[0-9]{1,6}", p) for p in parts):
            raise UsageError(
                f"The shape {text!r} is not understood. Give batch, channels, height and width, "
                "digits (six at most) for fixed and letters for dynamic ones, such as 1x3xHxW."
            )
        batch, channels, height, width = (int(p) if p.isdigit() else None for p in parts)
        if channels not in (None, config.in_chans):
            raise UsageError(
                f"The shape {text!r} has {channels} channels; this model has {config.in_chans}: "
                f"write {parts[0]}x{config.in_chans}x{parts[2]}x{parts[3]}."
            )
        if batch == 0:
            raise UsageError(f"The shape {text!r} has a batch of 0; it must be at least 1.")
        for side in (height, width):
            if side is not None and side < config.min_side:
                raise UsageError(
                    f"The shape {text!r} has a side of {side} pixels; reflection padding to "
                    f"windows of {config.window_size} needs at least {config.min_side}."
                )
        if config.ape:
            window, side = config.window_size, config.img_size
            if any(s is None or -(-s // window) * window != side for s in (height, width)):
                raise UsageError(
                    f"This network has an absolute position embedding for {side}x{side} pixels, "
                    f"so its sides must be fixed: export it with --shape "
                    f"{parts[0]}x{config.in_chans}x{side}x{side}."
                )
        return cls(batch, height, width)

    def describe(self, channels: int) -> str:
        """The pattern in its canonical spelling, such as ``Nx3xHxW``."""
        return f"{self.batch or 'N'}x{channels}x{self.height or 'H'}x{self.width or 'W'}"
