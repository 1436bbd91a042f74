"""Load TensorRT or TensorRT for RTX, and describe how they differ.

TensorRT 10.x, 11.x and TensorRT for RTX have nearly the same API under two module names.
:data:`FLAVOURS` holds the differences. All other code uses a :class:`Library` without knowing
which of them it is.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, NamedTuple, cast, get_args

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.nvidia.tensorrt_api import ILogger, TensorRTModule
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.packages import is_importable

__all__ = ["FLAVOURS", "Flavour", "FlavourName", "Library", "Message", "Severity", "load_library"]

FlavourName = Literal["tensorrt", "rtx"]
Severity = Literal["internal error", "error", "warning", "info", "verbose"]

_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the most severe down; the positions are the numbers that the library uses."""


@dataclass(frozen=True)
class Flavour:
    """One of the two libraries and its abilities.

    Attributes:
        name: name in targets and sidecars.
        title: name in messages.
        module: name of the Python module.
        distribution: name on package indexes, without the suffix for the CUDA version.
        extra: extra of swinir-deploy that installs the library.
        oldest: major and minor number of the oldest version that this package supports.
        architectures: GPUs that it compiles for without having one, such as ``sm89``; empty if
            it needs the GPU that the engine is for.
        has_timing_cache: whether kernel timings can be kept from one build to the next.
        has_runtime_cache: whether kernels are compiled where the engine runs and can be kept.
        has_hardware_compatibility: whether an engine can be built to run on other GPUs, too.
        can_strip_weights: whether an engine can be built without its weights.
        captures_graphs: whether execution contexts capture CUDA graphs by themselves.
    """

    name: FlavourName
    title: str
    module: str
    distribution: str
    extra: str
    oldest: tuple[int, int]
    architectures: tuple[str, ...]
    has_timing_cache: bool
    has_runtime_cache: bool
    has_hardware_compatibility: bool
    can_strip_weights: bool
    captures_graphs: bool


FLAVOURS: dict[FlavourName, Flavour] = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            name="tensorrt",
            title="TensorRT",
            module="tensorrt",
            distribution="tensorrt",
            extra="tensorrt",
            oldest=(10, 3),  # The version in JetPack 6.2.
            architectures=(),
            has_timing_cache=True,
            has_runtime_cache=False,
            has_hardware_compatibility=True,
            can_strip_weights=True,
            captures_graphs=False,
        ),
        Flavour(
            name="rtx",
            title="TensorRT for RTX",
            module="tensorrt_rtx",
            distribution="tensorrt-rtx",
            extra="rtx",
            oldest=(1, 2),
            architectures=("sm75", "sm80", "sm86", "sm89", "sm120", "sm121"),
            has_timing_cache=False,
            has_runtime_cache=True,
            has_hardware_compatibility=False,
            can_strip_weights=False,
            captures_graphs=True,
        ),
    )
}
"""Name of a flavour -> its description."""


class Message(NamedTuple):
    """One line that the library logged."""

    severity: Severity
    text: str


class Library:
    """A flavour that is loaded into this process.

    Attributes:
        flavour: which library it is, and its abilities.
        api: the Python bindings, typed as far as this package uses them.
        version: such as ``10.13.0.35``; it has fewer parts if the library states fewer.
        major: the first part of the version.
        cuda_major: major version of the CUDA that the installed wheels are made for; None where
            their name does not tell it.
        logger: the only logger of this process; the library keeps the first one that it gets.
    """

    def __init__(self, flavour: Flavour, api: TensorRTModule) -> None:
        self.flavour = flavour
        self.api = api
        self.version = api.__version__.split("+")[0].split(".post")[0]
        self.major = int(self.version.split(".")[0])
        self.cuda_major = _cuda_major(flavour, api.__version__)
        self._sinks: list[tuple[int, list[Message]]] = []
        self._lock = threading.Lock()
        self.logger = _make_logger(api, self._receive)

    def __str__(self) -> str:
        return f"{self.flavour.title} {self.version}"

    @property
    def network_flags(self) -> int:
        """Flags for ``Builder.create_network``: the graph alone decides the precision.

        TensorRT 10 needs this flag. Later versions always work like this and still accept it.
        """
        return 1 << int(self.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    @contextlib.contextmanager
    def collecting(self, down_to: Severity = "warning") -> Iterator[list[Message]]:
        """Collect what the library logs during the block, down to the severity ``down_to``.

        The process has one logger, so builds that run at the same time also collect each
        other's messages.
        """
        messages: list[Message] = []
        sink = (_SEVERITIES.index(down_to), messages)
        with self._lock:
            self._sinks.append(sink)
        try:
            yield messages
        finally:
            with self._lock:
                self._sinks = [other for other in self._sinks if other is not sink]

    def _receive(self, severity: int, text: str) -> None:
        for limit, messages in self._sinks:
            if severity <= limit:
                messages.append(Message(_SEVERITIES[min(severity, len(_SEVERITIES) - 1)], text))


_loaded: dict[FlavourName, Library] = {}
_loading = threading.Lock()


def load_library(name: FlavourName) -> Library:
    """Import a flavour once for the process. This needs no GPU.

    Raises:
        UsageError: there is no flavour ``name``.
        BackendUnavailableError: the library is not installed, cannot be imported, or is too old.
    """
    if name not in FLAVOURS:
        raise UsageError(unknown_choice("TensorRT flavour", name, FLAVOURS))
    with _loading:
        if name not in _loaded:
            _loaded[name] = _load(FLAVOURS[name])
        return _loaded[name]


def _load(flavour: Flavour) -> Library:
    command = f"pip install 'swinir-deploy[{flavour.extra}]'"
    if not is_importable(flavour.module):
        raise BackendUnavailableError(
            f"{flavour.title} is not installed (no module {flavour.module}): {command}"
        )
    try:
        module = importlib.import_module(flavour.module)
    # Where its libraries are missing, it raises ImportError, OSError or RuntimeError.
    except Exception as error:
        raise BackendUnavailableError(
            f"{flavour.module} is installed and cannot be imported: {error}. Its libraries are a "
            f"separate package ({flavour.distribution}-cu13-libs or -cu12-libs, whichever fits "
            f"your driver). Install all of it again: {command}"
        ) from error
    api = cast("TensorRTModule", module)
    actual = tuple(int(part) for part in api.__version__.split(".")[:2])
    if actual < flavour.oldest:
        raise BackendUnavailableError(
            f"{flavour.title} {api.__version__} is installed; this needs "
            f"{'.'.join(map(str, flavour.oldest))} or newer: {command}"
        )
    return Library(flavour, api)


def _make_logger(api: TensorRTModule, receive: Any) -> ILogger:
    """Create a logger, a subclass of the library's ILogger, that passes messages to ``receive``."""
    base: Any = api.ILogger

    def initialise(self: Any) -> None:
        base.__init__(self)

    def log(self: Any, severity: Any, text: str) -> None:
        receive(int(severity), text)

    made = type("CollectingLogger", (base,), {"__init__": initialise, "log": log})
    return cast("ILogger", made())


def _cuda_major(flavour: Flavour, full_version: str) -> int | None:
    """Return the CUDA version from the suffix of the installed wheel, ``-cu12`` or ``-cu13``."""
    for major in (13, 12, 11, 14, 15):
        with contextlib.suppress(PackageNotFoundError):
            if version(f"{flavour.distribution}-cu{major}") == full_version:
                return major
    return None
