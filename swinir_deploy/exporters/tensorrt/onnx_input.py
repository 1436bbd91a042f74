"""The ONNX model that an engine is built from."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.onnx_file import metadata_of, parse_onnx, sha256_of_onnx
from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.models.origin import model_argument

__all__ = ["SourceModel", "read_source"]

_BLOCK = re.compile(r"layers\.\d+\.residual_group\.blocks\.\d+")


@dataclass(frozen=True)
class SourceModel:
    """One ONNX file of this package.

    Attributes:
        path: path of the file.
        content: bytes of the ONNX file.
        sha256: SHA-256 in lower-case hex of the file and the external data that it names.
        metadata: metadata stored in the file.
        input_name: name of the only input.
        blocks: number of Swin Transformer blocks, each with an attention that can be fused.
    """

    path: Path
    content: bytes
    sha256: str
    metadata: ArtifactMetadata
    input_name: str
    blocks: int

    def check_recipe(self) -> None:
        """Check that the graph was exported for TensorRT, or adopted, which has no other graph.

        Raises:
            ArtifactError: it was exported for another target; the message has the command that
                exports it for TensorRT.
        """
        if self.metadata.target == "tensorrt" or self.metadata.adopted:
            return
        model = model_argument(self.metadata.model_id, self.metadata.source_sha256)
        precision = "fp16" if self.metadata.precision == "fp32" else self.metadata.precision
        raise ArtifactError(
            f"{self.path} was exported for {self.metadata.target!r}; TensorRT fuses less of such "
            "a graph, or refuses it. Export the model for TensorRT: swinir-deploy export "
            f"{model} --for tensorrt --precision {precision} --io {self.metadata.io} (or give it "
            "to 'build', which does that). To build this file anyway, add --any-graph."
        )

    def precision_note(self) -> str | None:
        """Return advice for the user of an FP32 graph; None for other precisions."""
        if self.metadata.precision != "fp32":
            return None
        return (
            f"{self.path.name} is FP32, and TensorRT computes in the precision of the graph: the "
            "attention will not be fused, and the activations take three to four times the memory "
            "of FP16. For speed, export it with --precision fp16."
        )


def read_source(path: str | os.PathLike[str]) -> SourceModel:
    """Read an ONNX file that ``swinir-deploy export`` wrote.

    Raises:
        InputError: the file is missing, cannot be read, or is not ONNX.
        ArtifactError: this package did not write the file.
    """
    file = Path(path)
    if file.suffix.lower() != ".onnx":
        raise InputError(
            f"{file} is not an ONNX file. Export the model first: swinir-deploy export "
            f"{shlex.quote(str(file))} --for tensorrt --precision fp16"
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror}. Give an exported file.") from error
    model = parse_onnx(content, file)
    metadata = metadata_of(model, file)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ArtifactError(f"{file} has {len(inputs)} inputs; a SwinIR has one. Export it again.")
    blocks = {match[0] for node in model.graph.node if (match := _BLOCK.search(node.name))}
    try:
        sha256 = sha256_of_onnx(content, model, file.parent)
    except OSError as error:
        raise InputError(
            f"{file} keeps weights in {error.filename}, which cannot be read: {error.strerror}. "
            "Copy that file, too."
        ) from error
    return SourceModel(file, content, sha256, metadata, inputs[0], len(blocks))
