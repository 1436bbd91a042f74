"""How the builder works, as far as it changes the engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.system.choices import unknown_choice

__all__ = ["BuildOptions", "Compatibility"]

Compatibility = Literal["none", "same-cc", "ampere+"]

_OPT_LEVELS = range(6)


@dataclass(frozen=True)
class BuildOptions:
    """Options of one build; all of them are part of the cache key.

    Attributes:
        compat: on which other GPUs the engine may run: ``none``, ``same-cc`` (the same compute
            capability) or ``ampere+`` (every GPU from Ampere on; it may block fusions).
        opt_level: 0 to 5, how long the builder searches; None is the library's default.
        workspace_bytes: device memory that one kernel may take; 0 is the library's default.
        strip_weights: leave the weights out; the engine must be refitted before it can run.
    """

    compat: Compatibility = "none"
    opt_level: int | None = None
    workspace_bytes: int = 0
    strip_weights: bool = False

    def checked_for(self, target: Target) -> BuildOptions:
        """Itself, if ``target`` can do all this.

        Raises:
            UsageError: an impossible value, or something that the library lacks.
        """
        flavour = target.flavour
        if self.compat not in get_args(Compatibility):
            raise UsageError(unknown_choice("compatibility", self.compat, get_args(Compatibility)))
        if self.compat != "none" and not flavour.has_hardware_compatibility:
            raise UsageError(
                f"{flavour.title} has no --compat: name the GPUs instead, such as --target "
                f"{flavour.name}:{','.join(flavour.architectures[1:4])}."
            )
        if self.opt_level is not None and self.opt_level not in _OPT_LEVELS:
            raise UsageError(f"--opt-level is {self.opt_level}; it must be from 0 to 5.")
        if self.workspace_bytes < 0:
            raise UsageError(f"--workspace is {self.workspace_bytes}; it must not be negative.")
        if self.strip_weights and not flavour.can_strip_weights:
            raise UsageError(
                f"{flavour.title} cannot strip the weights when it builds for this target. Leave "
                "out --strip-weights."
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the sidecar and the cache key."""
        return asdict(self)
