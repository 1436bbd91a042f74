"""Options of the builder that change the engine."""

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
        compat: other GPUs on which the engine may run: ``none``, ``same-cc`` (those with the same
            compute capability) or ``ampere+`` (all from Ampere on, which may prevent fusions).
        opt_level: how long the builder searches, 0 to 5; None is the library's default.
        workspace_bytes: limit in bytes of the device memory for one kernel; 0 is the library's
            default.
        strip_weights: leave out the weights; the engine must be refitted before it can run.
    """

    compat: Compatibility = "none"
    opt_level: int | None = None
    workspace_bytes: int = 0
    strip_weights: bool = False

    def checked_for(self, target: Target) -> BuildOptions:
        """Check that the options are possible for ``target``, and return them.

        Raises:
            UsageError: a value is impossible, or the library does not have the option.
        """
        flavour = target.flavour
        if self.compat not in get_args(Compatibility):
            raise UsageError(unknown_choice("compatibility", self.compat, get_args(Compatibility)))
        if self.compat != "none" and not flavour.has_hardware_compatibility:
            raise UsageError(
                f"{flavour.title} has no --compat. Name the GPUs instead, such as --target "
                f"{flavour.name}:{','.join(flavour.architectures[1:4])}."
            )
        if self.opt_level is not None and self.opt_level not in _OPT_LEVELS:
            raise UsageError(f"--opt-level {self.opt_level} is not possible. Choose from 0 to 5.")
        if self.workspace_bytes < 0:
            raise UsageError(f"--workspace {self.workspace_bytes} is negative. Give 0 or more.")
        if self.strip_weights and not flavour.can_strip_weights:
            raise UsageError(
                f"{flavour.title} cannot strip the weights when it builds for this target. Leave "
                "out --strip-weights."
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the sidecar and the cache key."""
        return asdict(self)
