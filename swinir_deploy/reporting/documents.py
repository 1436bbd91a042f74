"""The JSON reports that a page can show: which kind one is, and its values, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swinir_deploy.artifacts.metadata import IoLayout, Precision
from swinir_deploy.benchmarking.reports import BenchmarkReport
from swinir_deploy.errors import InputError
from swinir_deploy.reporting.identity import Identity
from swinir_deploy.reporting.words import Number, printable
from swinir_deploy.system.records import read_object, record_of

__all__ = [
    "KINDS",
    "BenchDocument",
    "Document",
    "EvalDocument",
    "ExportDocument",
    "InspectDocument",
    "KernelsDocument",
    "LayersDocument",
    "Spec",
    "VerifyDocument",
    "document_of",
    "read_document",
]

_REPORT = "a report of swinir-deploy"
_ADVICE = (
    "Give what 'verify', 'eval', 'bench' or 'inspect' wrote with -o, or 'export --json' printed."
)


@dataclass(frozen=True)
class Spec:
    """How a model ran: back end, device, precision, and k of the factor 2**-k of the stream."""

    backend: str
    device: str
    precision: str
    scale: int = 1
    model_id: str = ""
    source_sha256: str = ""
    residual_scale_log2: int = 0
    task: str = ""

    @property
    def where(self) -> str:
        """Back end, device and precision as text, such as ``ort cpu, fp32``."""
        return f"{self.backend} {self.device}, {self.precision}"


@dataclass(frozen=True)
class Limits:
    """The limit of a comparison: of the difference as a share of the range, of the PSNR in dB."""

    max_abs: float | None = None
    min_psnr_db: float | None = None


@dataclass(frozen=True)
class Compared:
    """An input of ``verify`` or a shape of ``export``: largest difference, range, PSNR in dB."""

    shape: list[int]
    max_abs: Number
    peak: float
    psnr_db: Number = None
    source: str = "synthetic"
    passed: bool = True


@dataclass(frozen=True)
class VerifyDocument:
    """What ``verify`` writes."""

    model: str
    reference: str
    passed: bool
    limit: Limits
    spec: Spec
    rows: list[Compared]


@dataclass(frozen=True)
class LayerValues:
    """A tensor of ``verify --layers``: difference as a share of the tensor's largest value."""

    position: int
    node: str
    op_type: str
    relative: Number
    limit: float
    passed: bool


@dataclass(frozen=True)
class Curve:
    """Every tensor of ``verify --layers`` in the order of the graph, a list for each column."""

    position: list[int] = field(default_factory=list)
    node: list[str] = field(default_factory=list)
    relative: list[Number] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class LayersDocument:
    """What ``verify --layers`` writes."""

    model: str
    against: str
    ran_on: str
    against_ran_on: str
    input_shape: list[int]
    passed: bool
    tensors: int
    worst: list[LayerValues]
    first: LayerValues | None = None
    curve: Curve = field(default_factory=Curve)


@dataclass(frozen=True)
class ExportedFile:
    """The metadata of an exported file, as far as a page shows them."""

    precision: Precision
    io: IoLayout = "tensor"
    model_id: str = ""
    source_sha256: str = ""
    task: str = ""
    scale: int = 1
    target: str = ""
    opset: int = 0
    residual_scale_log2: int = 0
    precision_report: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportDocument:
    """What ``export --json`` prints."""

    path: str
    size_bytes: int
    nodes: int
    metadata: ExportedFile
    checks: list[Compared]


@dataclass(frozen=True)
class Score:
    """The scores of one picture of ``eval``: metric -> value."""

    name: str
    scores: dict[str, Number]
    baseline: dict[str, Number]
    reference: dict[str, Number] | None = None


@dataclass(frozen=True)
class Stated:
    """A published figure and its measured value."""

    dataset: str
    metric: str
    stated: float
    measured: Number
    source: str


@dataclass(frozen=True)
class Failure:
    """What could not be measured, and why: a picture has a name, a contender a label."""

    error: str
    name: str = ""
    label: str = ""


@dataclass(frozen=True)
class Degradation:
    """The degradation of ``eval``."""

    task: str
    scale: int = 1
    noise: float | None = None
    quality: int | None = None


@dataclass(frozen=True)
class EvalDocument:
    """What ``eval`` writes."""

    model: str
    spec: Spec
    protocol: Degradation
    data: str
    pictures: list[Score]
    metrics: list[str]
    mean: dict[str, Number]
    mean_baseline: dict[str, Number]
    stated: list[Stated]
    dataset: str | None = None
    mean_reference: dict[str, Number] | None = None
    reference: str | None = None
    reference_difference_db: Number = None
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Slowdown:
    """A row of ``bench --compare``, which is slower if ``slowdown`` is above 1 plus the noise."""

    before_ms: float
    slowdown: float
    noise: float
    row: dict[str, Any]


@dataclass(frozen=True)
class BenchDocument(BenchmarkReport):
    """What ``bench`` writes."""

    changes: tuple[Slowdown, ...] = ()


@dataclass(frozen=True)
class ActivationValues:
    """A tensor that an engine keeps in memory."""

    kernel: str
    shape: list[int]
    dtype: str
    size_bytes: int
    count: int


@dataclass(frozen=True)
class InspectDocument:
    """What ``inspect`` writes of an engine."""

    model: str
    target: str
    library: str
    precision: str
    seconds: float
    plan_bytes: int
    activation_bytes: int
    weight_bytes: int
    blocks: int
    kernels: int
    kinds: dict[str, int]
    fused_attentions: int
    casts: int
    kernels_per_block: dict[str, list[str]]
    largest: list[ActivationValues]
    kinds_per_block: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class KernelValues:
    """A kernel of ``inspect --target cuda:...``."""

    kernel: str
    part: str
    launches: int
    warps: int
    registers: int
    spill_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class KernelsDocument:
    """What ``inspect --target cuda:...`` writes."""

    model: str
    target: str
    precision: str
    triton: str
    kernels_per_block: int
    architectures: dict[str, list[KernelValues]]
    seconds: float


@dataclass(frozen=True)
class ComparisonDocument:
    """What ``inspect --compare`` writes."""

    a: InspectDocument
    b: InspectDocument


Values = (
    VerifyDocument
    | LayersDocument
    | ExportDocument
    | EvalDocument
    | BenchDocument
    | InspectDocument
    | KernelsDocument
    | ComparisonDocument
)

KINDS: dict[str, tuple[type[Values], tuple[str, ...]]] = {
    "verify": (VerifyDocument, ("limit", "reference", "rows", "spec")),
    "layers": (LayersDocument, ("against", "ran_on", "tensors")),
    "export": (ExportDocument, ("checks", "metadata", "nodes")),
    "eval": (EvalDocument, ("pictures", "protocol", "mean_baseline")),
    "bench": (BenchDocument, ("rows", "machine", "gemm_peak_gflops")),
    "inspect": (InspectDocument, ("kinds", "plan_bytes", "largest")),
    "kernels": (KernelsDocument, ("architectures", "triton")),
    "comparison": (ComparisonDocument, ("a", "b")),
}
"""Kind of a report -> its values, and keys by which one without an identity block is known."""


@dataclass(frozen=True)
class Document:
    """A report that has been read.

    Attributes:
        kind: a key of :data:`KINDS`.
        source: name of its file, or of the command that made it.
        values: what it says, of the type that belongs to ``kind``.
        identity: its identity block; None if an older version wrote it.
        notes: its remarks, as sentences.
    """

    kind: str
    source: str
    values: Values
    identity: Identity | None
    notes: tuple[str, ...] = ()


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a report that a command wrote.

    Raises:
        InputError: the file cannot be read, is not JSON, or is no report that a page can show.
    """
    return document_of(read_object(path, _REPORT, _ADVICE), os.fspath(path))


def document_of(values: Mapping[str, Any], source: str) -> Document:
    """Check the values of a report.

    Args:
        values: the object, as ``json.loads`` returns it.
        source: name of its file, for messages.

    Raises:
        InputError: it is no report that a page can show, or a value has the wrong type.
    """
    values = printable(dict(values))
    source = printable(source)
    if "error" in values and "exit_code" in values:
        raise InputError(f"{source} holds the error of a command that failed, not {_REPORT}.")
    prefix = f"{source} is not {_REPORT}: "
    block = values.get("identity")
    identity = None
    if block is not None:
        if not isinstance(block, dict):
            raise InputError(f"{prefix}its identity is no object. {_ADVICE}")
        identity = record_of(block, Identity, f"{prefix}identity.", _ADVICE)
    kind = identity.report if identity is not None else _kind_of(values)
    if kind not in KINDS:
        raise InputError(f"{prefix}it holds {_described(kind, values)}. {_ADVICE}")
    record = record_of(values, KINDS[kind][0], prefix, _ADVICE)
    notes = values.get("notes")
    kept = tuple(map(str, notes)) if isinstance(notes, list) else ()
    return Document(kind, source, record, identity, kept)


def _kind_of(values: Mapping[str, Any]) -> str:
    fitting = (kind for kind, (_, keys) in KINDS.items() if all(key in values for key in keys))
    return next(fitting, "")


def _described(kind: str, values: Mapping[str, Any]) -> str:
    if kind:
        return f"a report of the kind {kind!r}, which this version does not know"
    names = ", ".join(map(repr, list(values)[:4])) or "nothing"
    return f"{names}{' and more' if len(values) > 4 else ''}"
