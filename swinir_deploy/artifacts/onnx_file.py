"""Read ONNX files: the graph and this package's metadata.

The onnx package is imported only when a file is read, because it is optional.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.wrong_file import what_file_is
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
    "not_onnx",
    "parse_onnx",
    "sha256_of_onnx",
]


def load_onnx(path: str | os.PathLike[str], *, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file.

    Args:
        path: path of the file.
        weights: True also reads external data. False leaves tensors with external data empty.

    Raises:
        ArtifactError: the file or its external data cannot be read, or it is no ONNX file.
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
    if not model.graph.node:  # protobuf accepts an empty file
        raise damaged_onnx(path, "it holds no graph")
    return model


def parse_onnx(content: bytes, path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Parse the bytes of an ONNX file, without its external data.

    Args:
        content: bytes of the ONNX file.
        path: path of the file, for error messages.

    Raises:
        ArtifactError: the bytes are no ONNX model.
        BackendUnavailableError: onnx is not installed.
    """
    with naming_the_extra():
        import onnx

    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions share no public base
        raise damaged_onnx(path, error) from error


def metadata_of(model: onnx.ModelProto, path: str | os.PathLike[str]) -> ArtifactMetadata:
    """Return the metadata of a model that this package exported.

    Args:
        model: the parsed ONNX model.
        path: path of its file, for error messages.

    Raises:
        ArtifactError: this package did not export the model, or a value is invalid.
    """
    return ArtifactMetadata.from_props(_props(model), os.fspath(path))


def find_metadata(model: onnx.ModelProto, path: str | os.PathLike[str]) -> ArtifactMetadata | None:
    """Return the metadata as :func:`metadata_of` does; None if another program wrote the model.

    Raises:
        ArtifactError: a value is invalid.
    """
    return ArtifactMetadata.find(_props(model), os.fspath(path))


def damaged_onnx(path: str | os.PathLike[str], reason: object) -> ArtifactError:
    """Return the error for a damaged ONNX file, or for another kind of file under its name.

    Args:
        path: path of the file.
        reason: an exception or a text.
    """
    other = not_onnx(path)
    if other is not None:
        return other
    words = " ".join(str(reason).split())[:200].rstrip(".")
    return ArtifactError(
        f"{os.fspath(path)} is damaged or no ONNX file ({words}). Export the model again, or copy "
        "the whole file."
    )


def not_onnx(path: str | os.PathLike[str]) -> ArtifactError | None:
    """Return the error for a file that is clearly something else; None if it may be ONNX."""
    try:
        found = what_file_is(os.fspath(path))
    except OSError:
        return None
    if found is None or found.kind == "onnx":
        return None
    name = os.fspath(path)
    if found.kind == "checkpoint":
        return ArtifactError(
            f"{name} is {found.what}, not an ONNX file. Export it: swinir-deploy export --model "
            "CHECKPOINT, with the name that it had before."
        )
    return ArtifactError(f"{name} is {found.what}. {found.advice}")


def _props(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def sha256_of_onnx(content: bytes, model: onnx.ModelProto, folder: Path) -> str:
    """Return the SHA-256 of an ONNX file and its external data, as lower-case hexadecimal.

    Without external data, it is the SHA-256 of the file.

    Args:
        content: bytes of the ONNX file.
        model: the same file, parsed without its external data.
        folder: folder of the file; names of external data are relative to it.

    Raises:
        OSError: external data cannot be read; ``filename`` of the error is its path.
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
