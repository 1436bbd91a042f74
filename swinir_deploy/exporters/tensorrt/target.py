"""The target of an engine: ``tensorrt``, ``rtx`` or ``rtx:sm86,sm89``."""

from __future__ import annotations

from dataclasses import dataclass

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, Flavour
from swinir_deploy.system.choices import did_you_mean
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.packages import is_importable

__all__ = ["Target"]

_TARGETS_HELP = (
    "tensorrt or rtx (for the GPU in this machine), or rtx:sm86,sm89,... (ahead of time, "
    "no GPU needed)"
)


@dataclass(frozen=True)
class Target:
    """A library and the GPUs to compile for.

    Attributes:
        flavour: the library.
        architectures: sorted GPU architectures, such as ``("sm86", "sm89")``; empty for the GPU
            in this machine.
    """

    flavour: Flavour
    architectures: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read the value of ``--target``.

        Raises:
            UsageError: the library or a GPU is unknown; the message suggests others.
        """
        name, colon, rest = text.strip().lower().partition(":")
        name = library_name(name)
        flavour = next((f for f in FLAVOURS.values() if f.name == name), None)
        if flavour is None:
            hint = did_you_mean(name, FLAVOURS)
            raise UsageError(f"Unknown target {text!r}. Choose {_TARGETS_HELP}.{hint}")
        if not colon:
            return cls(flavour)
        if not flavour.architectures:
            raise UsageError(
                f"The target {text!r} names GPUs, but {flavour.title} compiles for the GPU in the "
                f"machine only: use --target {flavour.name} there, or compile ahead of time with "
                f"--target rtx:{rest or 'sm89'}."
            )
        requested = [part.strip() for part in rest.split(",")]
        for part in requested:
            if part not in flavour.architectures:
                raise UsageError(
                    f"{flavour.title} cannot compile for {part!r} ahead of time. Choose from "
                    f"{', '.join(flavour.architectures)}."
                )
        order = flavour.architectures.index
        return cls(flavour, tuple(sorted(set(requested), key=order)))

    @classmethod
    def of_installed(cls) -> Target:
        """Return the target for the GPU in this machine with the library that is installed.

        Where both are, it is TensorRT.

        Raises:
            BackendUnavailableError: neither is installed.
        """
        for flavour in FLAVOURS.values():
            if is_importable(flavour.module):
                return cls(flavour)
        ways = " or ".join(
            f"pip install 'swinir-deploy[{f.extra}]' for {f.title}" for f in FLAVOURS.values()
        )
        raise BackendUnavailableError(f"No library that builds engines is installed: {ways}.")

    @property
    def needs_gpu(self) -> bool:
        """Whether the target is the GPU in this machine."""
        return not self.architectures

    def __str__(self) -> str:
        return ":".join(filter(None, (self.flavour.name, ",".join(self.architectures))))
