"""ONNX files as every part of this package reads them: the graph, and what it says about itself.

onnx is imported when a file is read, not before: whoever can do without it never gets here.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.errors import ArtifactError
from swinir_deploy.system.files import sha256_of
from swinir_deploy.system.packages import naming_the_extra

if TYPE_CHECKING:
    import onnx

__all__ = [
    "damaged_onnx",
    "find_metadata",
    "load_onnx",
    "metadata_of",
    "parse_onnx",
    "sha256_of_onnx",
]


def load_onnx(path: str | os.PathLike[str], *, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file.

    Args:
        path: of the file.
        weights: read external data, too; without it, tensors that are kept there stay empty.

    Raises:
        ArtifactError: the file or its external data cannot be read, or it is no ONNX.
        BackendUnavailableError: onnx is not installed.
    """
    with naming_the_extra():
        import onnx

    try:
        model = onnx.load(os.fspath(path), load_external_data=weights)
    except OSError as error:
        raise ArtifactError(
            f"Cannot read {error.filename or os.fspath(path)}: {error.strerror or error}. Give "
            "the path of an exported file."
        ) from error
    except Exception as error:  # protobuf's exceptions share no public base
        raise damaged_onnx(path, error) from error
    if not model.graph.node:  # an empty file is a valid message
        raise damaged_onnx(path, "it holds no graph")
    return model


def parse_onnx(content: bytes, path: str | os.PathLike[str]) -> onnx.ModelProto:
    """The model in the bytes of a file, without its external data; ``path`` is for messages.

    Raises:
        ArtifactError: they are no ONNX.
        BackendUnavailableError: onnx is not installed.
    """
    with naming_the_extra():
        import onnx

    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions share no public base
        raise damaged_onnx(path, error) from error


def metadata_of(model: onnx.ModelProto, path: str | os.PathLike[str]) -> ArtifactMetadata:
    """What a model of this package says about itself; ``path`` is for messages.

    Raises:
        ArtifactError: this package did not make it, or a value makes no sense.
    """
    return ArtifactMetadata.from_props(_props(model), os.fspath(path))


def find_metadata(model: onnx.ModelProto, path: str | os.PathLike[str]) -> ArtifactMetadata | None:
    """The same; None for a model that something else made.

    Raises:
        ArtifactError: a value makes no sense.
    """
    return ArtifactMetadata.find(_props(model), os.fspath(path))


def damaged_onnx(path: str | os.PathLike[str], reason: object) -> ArtifactError:
    """The error for a file that is no ONNX; the reason is a library's exception, or words."""
    words = " ".join(str(reason).split())[:200].rstrip(".")
    return ArtifactError(
        f"{os.fspath(path)} is damaged or no ONNX file ({words}). Export the model again, or copy "
        "the whole file."
    )


def _props(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def sha256_of_onnx(content: bytes, model: onnx.ModelProto, folder: Path) -> str:
    """SHA-256 over an ONNX file and the external data that it names, as lower-case hex.

    Without external data it is that of the file.

    Args:
        content: of the file.
        model: the same, parsed without its external data.
        folder: of the file; the external data is named from there.

    Raises:
        OSError: external data cannot be read; ``filename`` says which.
    """
    own = hashlib.sha256(content).hexdigest()
    locations = sorted(
        {
            entry.value
            for tensor in model.graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
    if not locations:
        return own
    digest = hashlib.sha256(own.encode())
    for location in locations:
        digest.update(sha256_of(folder / location).encode())
    return digest.hexdigest()
