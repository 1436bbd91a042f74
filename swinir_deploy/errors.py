"""The errors of this package; each class has the exit code that the command line returns.

Every message names the thing, the actual value, the expected value and the next step.

    SwinIRDeployError               1  base of all errors of this package
    ├── CheckFailedError            1  a result was computed and is wrong
    ├── InferenceError              1  a back end failed while it computed
    │   └── DeviceMemoryError       1  a back end ran out of memory
    ├── UsageError                  2  the request is impossible
    │   ├── CatalogError            2  the catalogue has no such model
    │   └── RuntimeClosedError      2  the runtime is not open
    ├── BackendUnavailableError     3  a library, a driver or a device is missing
    ├── InputError                  4  the input cannot be used
    │   ├── CheckpointError         4  a checkpoint is damaged, unsafe or not a SwinIR
    │   ├── ArtifactError           4  an ONNX file or an engine is damaged or foreign
    │   ├── PictureError            4  a picture cannot be read or written
    │   └── VideoError              4  a video cannot be read or written
    └── DownloadError               5  a download failed

``SwinIRDeployWarning`` is not an error: the work goes on, and the command line shows the text.
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
    "VideoError",
]


class SwinIRDeployError(Exception):
    """Base class of every error that this package raises on purpose.

    Catch it to handle all of them.

    Attributes:
        exit_code: what the command line returns for this error, from 1 to 5.

    Example:
        >>> from swinir_deploy import SwinIRDeployError, open_runtime
        >>> try:
        ...     open_runtime("tiny-sr-x4", backend="no-such-back-end")
        ... except SwinIRDeployError as error:
        ...     print(error.exit_code)
        2
    """

    exit_code = 1


class CheckFailedError(SwinIRDeployError):
    """A result was computed and is wrong, such as a difference above the parity limit."""

    exit_code = 1


class InferenceError(SwinIRDeployError):
    """A back end failed while it computed a result."""

    exit_code = 1


class DeviceMemoryError(InferenceError):
    """A back end ran out of memory; smaller tiles or batches may fit."""


class UsageError(SwinIRDeployError):
    """The request is impossible: options that exclude each other, or an unknown name."""

    exit_code = 2


class CatalogError(UsageError):
    """The catalogue has no model with this id, or with this task, scale and size."""


class RuntimeClosedError(UsageError):
    """A runtime was used before it was opened or after it was closed."""


class BackendUnavailableError(SwinIRDeployError):
    """This machine lacks a library, a driver or a device that the request needs."""

    exit_code = 3


class InputError(SwinIRDeployError):
    """The input cannot be used: a damaged file, a wrong shape or a wrong dtype."""

    exit_code = 4


class CheckpointError(InputError):
    """A checkpoint is damaged, is unsafe to load, or does not hold a SwinIR."""


class ArtifactError(InputError):
    """An ONNX file or an engine is damaged, or was not made by this package."""


class PictureError(InputError):
    """A picture cannot be read or written."""


class VideoError(InputError):
    """A video cannot be read or written, or holds what cannot be kept."""


class DownloadError(SwinIRDeployError):
    """A download failed, or the file is not the one that the catalogue describes."""

    exit_code = 5


class SwinIRDeployWarning(UserWarning):
    """A user should know this although the work goes on; commands always show it."""
