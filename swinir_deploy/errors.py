"""One hierarchy of errors; each class carries the exit code of the command line.

Every message names the thing, the value found, the value wanted and the next step.
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "BackendUnavailableError",
    "CatalogError",
    "CheckFailedError",
    "CheckpointError",
    "DeviceMemoryError",
    "DownloadError",
    "InferenceError",
    "InputError",
    "PictureError",
    "RuntimeClosedError",
    "SwinIRDeployError",
    "SwinIRDeployWarning",
    "UsageError",
]


class SwinIRDeployError(Exception):
    """Base of every error that this package raises on purpose.

    ``exit_code`` is what the command line returns for it.
    """

    exit_code = 1


class CheckFailedError(SwinIRDeployError):
    """A result was computed and is wrong: parity beyond its limit, a refused export."""

    exit_code = 1


class InferenceError(SwinIRDeployError):
    """A back end failed while it computed."""

    exit_code = 1


class DeviceMemoryError(InferenceError):
    """A back end ran out of memory; smaller tiles or batches may fit."""


class UsageError(SwinIRDeployError):
    """The request itself makes no sense: impossible options, a name that does not exist."""

    exit_code = 2


class CatalogError(UsageError):
    """A model id, alias or combination of task, scale and size that the catalogue lacks."""


class RuntimeClosedError(UsageError):
    """A runtime was used before it was opened or after it was closed."""


class BackendUnavailableError(SwinIRDeployError):
    """A library, driver or device that the request needs is not here."""

    exit_code = 3


class InputError(SwinIRDeployError):
    """What was given cannot be used: a broken file, a wrong shape or dtype."""

    exit_code = 4


class CheckpointError(InputError):
    """A checkpoint that is damaged, unsafe to load, or not a SwinIR."""


class ArtifactError(InputError):
    """An ONNX file or engine that is damaged or was not made by this package."""


class PictureError(InputError):
    """A picture that cannot be read or written."""


class DownloadError(SwinIRDeployError):
    """A download that failed or brought something else than what was promised."""

    exit_code = 5


class SwinIRDeployWarning(UserWarning):
    """Something that a user should know although the work goes on; commands always show it."""
