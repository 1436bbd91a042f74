"""Find ONNX Runtime's execution providers, and make sessions that really run on them.

If the libraries of a provider are missing, ONNX Runtime logs a line and computes on the CPU. Here
the session runs on the requested provider, or an error is raised.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.system.choices import did_you_mean
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.packages import is_importable
from swinir_deploy.system.telemetry import without_telemetry

with without_telemetry():
    import onnxruntime

__all__ = ["PROVIDERS", "Provider", "create_session", "find_provider", "first_line"]

_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """One execution provider.

    Attributes:
        short: its short name, for ``--provider``.
        name: its name in ONNX Runtime.
        device: where it computes: ``cpu``, ``cuda``, or empty for others.
        install: the command that installs it.
        plugin: module of the wheel that contains it as a plug-in; empty if it is built in.
        helpers: names of providers that compute the nodes which it cannot, before the CPU does.
        libraries: what else it needs, for messages.
    """

    short: str
    name: str
    device: str
    install: str
    plugin: str = ""
    helpers: tuple[str, ...] = ()
    libraries: str = ""


_GPU_WHEEL = "pip uninstall onnxruntime, then pip install 'swinir-deploy[ort-gpu]'"

PROVIDERS: dict[str, Provider] = {
    provider.short: provider
    for provider in (
        Provider("cpu", "CPUExecutionProvider", "cpu", "pip install 'swinir-deploy[ort]'"),
        Provider(
            "cuda",
            "CUDAExecutionProvider",
            "cuda",
            _GPU_WHEEL,
            libraries="an NVIDIA driver, the CUDA libraries and cuDNN 9",
        ),
        Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            "cuda",
            _GPU_WHEEL,
            helpers=("CUDAExecutionProvider",),
            libraries="an NVIDIA driver, the CUDA libraries, cuDNN 9 and TensorRT 10 "
            "(libnvinfer.so.10: pip install 'tensorrt<11')",
        ),
        Provider(
            "rtx",
            "NvTensorRTRTXExecutionProvider",
            "cuda",
            "pip install 'swinir-deploy[ort-rtx]' (beside onnxruntime, not onnxruntime-gpu)",
            plugin="onnxruntime_ep_nv_tensorrt_rtx",
            libraries="an NVIDIA driver and an RTX GPU, Ampere or newer",
        ),
    )
}
"""The providers by short name. Other providers have only their names in ONNX Runtime."""

_SESSION_PREFIXES = ("ep.", "session.", "optimization.", "mlas.")
"""Beginnings of options of the session, such as ``ep.context_enable`` for EPContext files."""


def find_provider(name: str) -> Provider:
    """Return the provider with this name.

    Args:
        name: its short name or its name in ONNX Runtime, in upper or lower case.

    Raises:
        BackendUnavailableError: this onnxruntime does not have it.
    """
    lower = library_name(name.lower())
    builtin: list[str] = onnxruntime.get_available_providers()
    for provider in PROVIDERS.values():
        if lower in (provider.short, provider.name.lower()):
            _require_installed(provider, builtin)
            return provider
    by_name = {own.removesuffix(_SUFFIX).lower(): own for own in builtin}
    own = by_name.get(lower.removesuffix(_SUFFIX.lower()))
    if own is not None:
        return Provider(lower, own, "", "")
    known = [*PROVIDERS, *(own for own in builtin if own not in _KNOWN_NAMES)]
    hint = did_you_mean(lower, known)
    raise BackendUnavailableError(
        f"This onnxruntime {onnxruntime.__version__} has no {name}; it has {', '.join(builtin)}. "
        f"--provider takes one of them, or {', '.join(PROVIDERS)}.{hint}"
    )


_KNOWN_NAMES = {provider.name for provider in PROVIDERS.values()}


def create_session(
    model: str | bytes,
    provider: Provider,
    *,
    device_index: int = 0,
    options: onnxruntime.SessionOptions | None = None,
    provider_options: Mapping[str, Any] | None = None,
) -> onnxruntime.InferenceSession:
    """Make a session that runs on a provider; the CPU computes the nodes that the provider cannot.

    Args:
        model: path or bytes of the ONNX file.
        provider: the provider, from :func:`find_provider`.
        device_index: number of the GPU.
        options: options of the session; keys of the session in ``provider_options`` are added.
        provider_options: options of the provider, such as ``trt_engine_cache_enable`` or
            ``nv_runtime_cache_path``. Keys of the session (``ep.context_enable``,
            ``ep.context_file_path``, ``session.…``) go to its configuration.

    Raises:
        BackendUnavailableError: the provider is installed and cannot start. ONNX Runtime would
            have used the CPU instead.
        UsageError: there is no GPU with this number.
    """
    options = options or onnxruntime.SessionOptions()
    own: dict[str, str] = {}
    for key, value in (provider_options or {}).items():
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if key.startswith(_SESSION_PREFIXES):
            options.add_session_config_entry(key, text)
        else:
            own[key] = text
    if provider.plugin:
        _add_plugin(provider, options, own, device_index)
        chain: list[Any] | None = None
    else:
        if provider.device == "cuda":
            _preload_cuda_libraries()
            own.setdefault("device_id", str(device_index))
        available = onnxruntime.get_available_providers()
        chain = [(provider.name, own)]
        chain += [
            (name, {"device_id": str(device_index)})
            for name in provider.helpers
            if name in available
        ]
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=chain, enable_fallback=False
        )
    except Exception as error:  # onnxruntime's exceptions have no public base class
        if provider.device != "cpu" and _loads_on_the_cpu(model):
            raise BackendUnavailableError(_cannot_start(provider, first_line(error))) from error
        raise
    session.disable_fallback()
    running = session.get_providers()
    if provider.name not in running:
        raise BackendUnavailableError(
            _cannot_start(provider, f"ONNX Runtime took {', '.join(running)} instead")
        )
    return session


def first_line(error: Exception) -> str:
    """Return the first line of the text of an exception, without the full stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _cannot_start(provider: Provider, reason: str) -> str:
    needs = f" It needs {provider.libraries}." if provider.libraries else ""
    return (
        f"{provider.name} of onnxruntime {onnxruntime.__version__} is installed and could not "
        f"start ({reason}).{needs} Install what is missing, or give --provider cpu."
    )


def _loads_on_the_cpu(model: str | bytes) -> bool:
    """Return whether the CPU can load the file; then the provider is the cause of an error."""
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    quiet.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnxruntime.InferenceSession(model, quiet, providers=["CPUExecutionProvider"])
    except Exception:
        return False
    return True


def _require_installed(provider: Provider, builtin: list[str]) -> None:
    # Some builds of onnxruntime contain a provider that other builds get as a plug-in.
    if provider.name in builtin or (provider.plugin and is_importable(provider.plugin)):
        return
    raise BackendUnavailableError(
        f"This onnxruntime {onnxruntime.__version__} has no {provider.name}; it has "
        f"{', '.join(builtin)}. Next step: {provider.install}."
    )


def _add_plugin(
    provider: Provider,
    options: onnxruntime.SessionOptions,
    own: dict[str, str],
    device_index: int,
) -> None:
    """Register the library of the plug-in once, and add its device to the options.

    Raises:
        BackendUnavailableError: the plug-in cannot be loaded, or finds no device.
        UsageError: there is no device with this number.
    """
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise BackendUnavailableError(
            f"onnxruntime {onnxruntime.__version__} knows no plug-ins; {provider.name} needs 1.24 "
            "or newer: pip install --upgrade onnxruntime"
        )
    if not _plugin_devices(provider):
        try:
            plugin = importlib.import_module(provider.plugin)
            onnxruntime.register_execution_provider_library(
                plugin.get_ep_name(), plugin.get_library_path()
            )
        except Exception as error:  # ctypes and ONNX Runtime raise many classes
            raise BackendUnavailableError(
                f"The plug-in of {provider.name} cannot be loaded: "
                f"{first_line(error)}. It needs {provider.libraries}."
            ) from error
    devices = _plugin_devices(provider)
    if not devices:
        raise BackendUnavailableError(
            f"{provider.name} is installed and finds no device. It needs {provider.libraries}; "
            "nvidia-smi shows what is there."
        )
    if device_index >= len(devices):
        raise UsageError(
            f"There is no device {device_index} for {provider.name}; it has {len(devices)}, "
            "counted from 0."
        )
    options.add_provider_for_devices([devices[device_index]], own)


def _plugin_devices(provider: Provider) -> list[Any]:
    return [d for d in onnxruntime.get_ep_devices() if d.ep_name == provider.name]


def _preload_cuda_libraries() -> None:
    """Load CUDA and cuDNN from their wheels or from torch, if they are not on the search path."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        with contextlib.suppress(Exception), contextlib.redirect_stdout(None):
            preload()
