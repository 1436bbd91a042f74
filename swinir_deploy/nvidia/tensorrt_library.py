"""TensorRT in its flavours: one table of how they differ, loading, versions and messages.

TensorRT 10.x, 11.x and TensorRT for RTX have nearly the same API under two module names. What
differs stands in :data:`FLAVOURS`; everything else works on a :class:`Library` and does not ask
which one it has.
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
"""From the worst down, numbered as the library numbers them."""


@dataclass(frozen=True)
class Flavour:
    """One of the libraries, and what it can.

    Attributes:
        name: as targets and sidecars have it.
        title: for people.
        module: import name.
        distribution: on package indexes, without the suffix for the CUDA version.
        extra: of this distribution, which installs it.
        oldest: first version that this package works with.
        architectures: GPUs that it can compile for without having one, such as ``sm89``; empty
            if it needs the GPU that the engine is for.
        has_timing_cache: measurements of kernels can be kept from one build to the next.
        has_runtime_cache: kernels are compiled where the engine runs, and can be kept.
        has_hardware_compatibility: an engine can be made to run on other GPUs, too.
        can_strip_weights: an engine can be made without its weights.
        captures_graphs: execution contexts capture CUDA graphs by themselves.
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
            extra="trt",
            oldest=(10, 3),  # of JetPack 6.2
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
            extra="trt-rtx",
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
"""Name -> flavour."""


class Message(NamedTuple):
    """One line that the library logged."""

    severity: Severity
    text: str


class Library:
    """A flavour that is loaded.

    Attributes:
        flavour: which one, and what it can.
        api: its bindings, typed as far as this package uses them.
        version: four parts, such as ``10.13.0.35``; fewer if the library gives fewer.
        major: the first part.
        cuda_major: of the CUDA that the installed wheels are for; None if they do not say.
        logger: the one logger of this process; the library keeps the first that it is given.
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
        """For ``Builder.create_network``: precision comes from the graph, always.

        TensorRT 10 wants a flag for it; later ones know nothing else and have kept the name.
        """
        return 1 << int(self.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    @contextlib.contextmanager
    def collecting(self, down_to: Severity = "warning") -> Iterator[list[Message]]:
        """Collect what the library logs during the block, from the worst to ``down_to``.

        The logger belongs to the process: builds that run at the same time see each other's
        messages.
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
    """Import a flavour once for the process; no GPU is needed for that.

    Raises:
        UsageError: no such flavour.
        BackendUnavailableError: it is not installed, cannot be imported, or is too old.
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
    except Exception as error:  # its libraries are missing: ImportError, OSError, RuntimeError
        raise BackendUnavailableError(
            f"{flavour.module} is installed and cannot be imported: {error}. Its libraries are a "
            f"package of their own ({flavour.distribution}-cu13-libs or -cu12-libs, as your "
            f"driver has it). Install all of it again: {command}"
        ) from error
    api = cast("TensorRTModule", module)
    found = tuple(int(part) for part in api.__version__.split(".")[:2])
    if found < flavour.oldest:
        raise BackendUnavailableError(
            f"{flavour.title} {api.__version__} is installed; this needs "
            f"{'.'.join(map(str, flavour.oldest))} or newer: {command}"
        )
    return Library(flavour, api)


def _make_logger(api: TensorRTModule, receive: Any) -> ILogger:
    """An instance of a subclass of the library's ILogger that hands messages on."""
    base: Any = api.ILogger

    def initialise(self: Any) -> None:
        base.__init__(self)

    def log(self: Any, severity: Any, text: str) -> None:
        receive(int(severity), text)

    made = type("CollectingLogger", (base,), {"__init__": initialise, "log": log})
    return cast("ILogger", made())


def _cuda_major(flavour: Flavour, full_version: str) -> int | None:
    """From the wheel whose version it is: their names end in ``-cu12`` or ``-cu13``."""
    for major in (13, 12, 11, 14, 15):
        with contextlib.suppress(PackageNotFoundError):
            if version(f"{flavour.distribution}-cu{major}") == full_version:
                return major
    return None
