"""The metadata of an exported file: the contract between exporters and runtimes.

An ONNX model carries these values in ``metadata_props`` under the prefix ``swinir_deploy.``; an
engine is a bare plan with the same values in a sidecar ``NAME.engine.json``. This module imports
neither onnx nor torch: the caller reads the file and passes its properties as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from swinir_deploy.errors import ArtifactError
from swinir_deploy.system.records import record_of

__all__ = [
    "MAX_CHANNELS",
    "MAX_SCALE",
    "METADATA_PREFIX",
    "SCHEMA_VERSION",
    "ArtifactMetadata",
    "IoLayout",
    "Precision",
    "channels_text",
    "coarsest",
]

SCHEMA_VERSION = 1

MAX_SCALE = 16
"""Largest output side divided by input side."""

MAX_CHANNELS = 16
"""Most channels of input or output: pictures have 1 or 3, satellites and sensors more."""

METADATA_PREFIX = "swinir_deploy."

MAX_WINDOW = 256
"""Largest side in pixels that a window covers: 8 of them, times an unshuffle of 8, make 64."""

IoLayout = Literal["tensor", "image"]
_TEXTS = {"io", "precision", "task", "model_id", "source_sha256", "target", "shape"}
"""Fields that ONNX properties hold as plain text. All other fields are stored as JSON."""

Precision = Literal["fp32", "fp16", "bf16"]
"""The precisions, from the finest to the coarsest."""


def channels_text(in_chans: int, out_chans: int) -> str:
    """Return channels in words: ``RGB``, ``gray``, ``4 channels``, ``4 to 3 channels``."""
    if in_chans == out_chans:
        return {1: "gray", 3: "RGB"}.get(in_chans, f"{in_chans} channels")
    return f"{in_chans} to {out_chans} channels"


def coarsest(*precisions: Precision) -> Precision:
    """Return the coarsest precision, which limits how close two results can be."""
    return max(precisions, key=get_args(Precision).index)


@dataclass(frozen=True)
class ArtifactMetadata:
    """What a runtime must know about an exported file, and where the file came from.

    Attributes:
        io: ``tensor`` is NCHW float32 in 0..1; ``image`` is NHWC uint8. Channels are RGB or gray.
        scale: output side divided by input side.
        in_chans: channels of the input, 1 to 16; pictures have 1 or 3.
        window_size: side in pixels of the input that an attention window covers. Tiles and
            padded sides are multiples of it.
        precision: data type of the weights and activations inside the graph.
        task: ``sr``, ``denoise`` or ``jpeg``; empty if unknown.
        model_id: catalogue id, or the checkpoint's file name.
        source_sha256: SHA-256 of the checkpoint file.
        target: the recipe of graph rewrites (``any``, ``ort``, ``openvino``, ``tensorrt``).
        shape: the pattern given to the export, such as ``Nx3xHxW`` (digits are fixed sides).
        residual_scale_log2: k, where the residual stream is multiplied by 2**-k (0: not rescaled).
        precision_report: how half precision was calibrated and proved; empty for FP32.
        opset: version of the ONNX operator set of the graph.
        config: the network's hyper-parameters (``SwinIRConfig.to_dict``).
        tools: package name -> version of the packages that wrote the file.
        parity: results of the export's comparison with PyTorch.
        out_chans: channels of the output; 0 where they are those of the input.
        weights: how the weights were chosen in a checkpoint that holds several networks: ``key``
            and ``prefix``, as ``--key`` and ``--prefix`` take them.
        adopted: what was found out about a file that another program wrote, and how; empty for an
            export.
        schema_version: version of this record.
    """

    io: IoLayout
    scale: int
    in_chans: int
    window_size: int
    precision: Precision = "fp32"
    task: str = ""
    model_id: str = ""
    source_sha256: str = ""
    target: str = "any"
    shape: str = ""
    residual_scale_log2: int = 0
    precision_report: dict[str, Any] = field(default_factory=dict)
    opset: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    out_chans: int = 0
    weights: dict[str, str] = field(default_factory=dict)
    adopted: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def channels_out(self) -> int:
        """Number of channels of the output."""
        return self.out_chans or self.in_chans

    def to_props(self) -> dict[str, str]:
        """Return text values under prefixed keys, for ONNX ``metadata_props``."""
        return {
            METADATA_PREFIX + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in self.to_dict().items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON sidecar; ``adopted`` only if there is something in it."""
        values = asdict(self)
        if not self.adopted:
            del values["adopted"]
        return values

    @classmethod
    def from_props(cls, props: Mapping[str, str], source: str) -> ArtifactMetadata:
        """Read what :meth:`to_props` wrote.

        Args:
            props: keys and values as the file holds them; foreign keys are ignored.
            source: name of the file, for error messages.

        Raises:
            ArtifactError: there is no such metadata, it has a newer schema, or a value is invalid.
        """
        values: dict[str, Any] = {}
        names = {f.name for f in fields(cls)}
        for key, text in props.items():
            name = key.removeprefix(METADATA_PREFIX)
            if name == key or name not in names:
                continue
            if name in _TEXTS:
                values[name] = text
            else:
                try:
                    values[name] = json.loads(text)
                except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
                    raise ArtifactError(
                        f"{source}: metadata {key!r} holds {text[:40]!r}, which is not JSON. "
                        "Export the model again."
                    ) from error
        return cls._checked(values, source)

    @classmethod
    def find(cls, props: Mapping[str, str], source: str) -> ArtifactMetadata | None:
        """Read the metadata as :meth:`from_props` does; return None if this package wrote none."""
        if not any(key.startswith(METADATA_PREFIX) for key in props):
            return None
        return cls.from_props(props, source)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> ArtifactMetadata:
        """Read what :meth:`to_dict` wrote. The errors are those of :meth:`from_props`."""
        return cls._checked(dict(values), source)

    @classmethod
    def _checked(cls, values: dict[str, Any], source: str) -> ArtifactMetadata:
        version = values.get("schema_version")
        if version is None:
            raise ArtifactError(
                f"{source}: not made by swinir-deploy (no {METADATA_PREFIX}schema_version in its "
                "metadata). Export the checkpoint with 'swinir-deploy export', or make a copy that "
                f"can be used: swinir-deploy adopt {source}"
            )
        if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
            raise ArtifactError(
                f"{source}: metadata schema {version!r}; this version reads 1 to "
                f"{SCHEMA_VERSION}. Update swinir-deploy or export again."
            )

        def require(ok: bool, name: str, expected: str) -> None:
            if not ok:
                raise ArtifactError(
                    f"{source}: metadata {name} is {values.get(name)!r}; it must be {expected}. "
                    "Export the model again."
                )

        require(values.get("io") in get_args(IoLayout), "io", f"one of {get_args(IoLayout)}")
        require(_within(values.get("scale"), 1, MAX_SCALE), "scale", f"from 1 to {MAX_SCALE}")
        for name, least in (("in_chans", 1), ("out_chans", 0)):
            channels = values.get(name, 0 if name == "out_chans" else None)
            require(_within(channels, least, MAX_CHANNELS), name, f"from 1 to {MAX_CHANNELS}")
        window = values.get("window_size")
        require(_within(window, 2, MAX_WINDOW), "window_size", f"a number from 2 to {MAX_WINDOW}")
        precision = values.get("precision", "fp32")
        require(precision in get_args(Precision), "precision", f"one of {get_args(Precision)}")
        advice = "Export the model again."
        return record_of(values, cls, f"{source}: metadata ", advice, ArtifactError)


def _within(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
