"""Run the PyTorch network and return the outputs of its modules under the names of ONNX nodes.

A node's name begins with the path of the module that it was traced from, so a module's output is
that of the last of its nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import ArtifactMetadata, Precision
from swinir_deploy.errors import InferenceError, UsageError
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.pictures.values import nchw_values
from swinir_deploy.precision.plan import DTYPES, PrecisionPlan, deployed_network
from swinir_deploy.precision.prepare import prepare_precision
from swinir_deploy.runtimes.torch_runtime import find_device
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.verification.layers.marked import MarkedModel, Tensors

__all__ = ["run_on_torch"]


def run_on_torch(
    marked: MarkedModel,
    network: LoadedModel,
    batch: NDArray[Any],
    *,
    device: str | None = None,
    precision: Precision | None = None,
) -> Tensors:
    """Run the network that a file was exported from, and return the outputs of its modules.

    The network gets the rewrites of the file's recipe, so its tensors have the file's shapes.

    Args:
        marked: the ONNX file, whose nodes name the tensors.
        network: the network that the file was exported from.
        batch: the input, in the file's layout.
        device: ``cpu`` (default), ``cuda``, ...
        precision: ``fp32`` (default), ``fp16`` or ``bf16``. In the file's own precision, the
            network is rescaled and typed as the file is.

    Raises:
        BackendUnavailableError: PyTorch finds no such device.
        InferenceError: PyTorch failed.
        UsageError: the device or the precision is unknown.
    """
    selected = precision or "fp32"
    if selected not in DTYPES:
        raise UsageError(unknown_choice("precision", selected, DTYPES))
    place = find_device(device or "cpu")
    plan = _plan(marked.metadata, network, selected)
    recipe, metadata = get_recipe(marked.metadata.target), marked.metadata
    rewrites = recipe.rewrites_for(metadata.precision, metadata.opset)
    deployed = deployed_network(network.network, rewrites, plan).to(place)
    captured: dict[str, NDArray[Any]] = {}

    def keep(node: str) -> Callable[[Any, Any, torch.Tensor], None]:
        def hook(_module: Any, _arguments: Any, output: torch.Tensor) -> None:
            tensor = output.detach()
            if tensor.dtype == torch.bfloat16:  # NumPy has no BF16
                tensor = tensor.float()
            captured[node] = tensor.cpu().numpy().copy()

        return hook

    for path, node in _module_nodes(marked, deployed).items():
        deployed.get_submodule(path).register_forward_hook(keep(node))
    try:
        with torch.inference_mode():
            deployed(_picture(batch, marked.metadata).to(place))
    except RuntimeError as error:
        raise InferenceError(
            f"PyTorch failed on an input of {list(batch.shape)} ({str(error).splitlines()[0]}). "
            "Give a smaller shape or another device."
        ) from error
    return Tensors(
        values=captured,
        ran_on=f"torch {place}, {selected}",
        precision=selected,
        residual_scale_log2=plan.residual_scale_log2,
        of_modules=True,
    )


def _module_nodes(marked: MarkedModel, network: SwinIR) -> dict[str, str]:
    """Return path of a module -> name of the node that makes its output.

    The last node of a module makes its output, unless that node belongs to a module inside it. The
    output of an attention, for example, is that of its projection, which has its own path.
    """
    last: dict[str, str] = {}
    for node in sorted(marked.positions, key=marked.positions.__getitem__):
        parts = node.partition("/")[0].split(".")
        for depth in range(1, len(parts) + 1):
            last[".".join(parts[:depth])] = node
    nodes = {}
    for path, _ in network.named_modules():
        node = last.get(path, "")
        # The residual addition that ends an RSTB was traced as a unit of its own, not a module.
        if node.partition("/")[0] in (path, f"{path}.junction") and path:
            nodes[path] = node
    return nodes


def _plan(metadata: ArtifactMetadata, network: LoadedModel, precision: Precision) -> PrecisionPlan:
    if precision == "fp32":
        return PrecisionPlan()
    if precision != metadata.precision:
        return prepare_precision(network, precision).plan
    calibration = metadata.precision_report.get("calibration", {})
    return PrecisionPlan(
        precision, metadata.residual_scale_log2, tuple(calibration.get("kept_fp32", {}))
    )


def _picture(batch: NDArray[Any], metadata: ArtifactMetadata) -> torch.Tensor:
    """Return a batch in the file's layout as [N, C, H, W] float32 in 0..1."""
    if metadata.io == "image":
        batch = nchw_values(batch)
    return torch.from_numpy(batch.copy())
