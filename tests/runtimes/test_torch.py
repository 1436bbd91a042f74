"""What only the PyTorch back end has: precisions, torch.compile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from swinir_deploy import open_runtime
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import InputError, UsageError
from swinir_deploy.loading import load_model
from swinir_deploy.runtimes import torch as module


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "psnr_db"), [("fp16", 55.0), ("bf16", 40.0)])
def test_half_precision_gives_the_official_output(
    models: dict[str, Path], official: nn.Module, precision: str, psnr_db: float
) -> None:
    picture = sample_picture(1, 3, 13, 18)
    with torch.no_grad():
        wanted = official(torch.from_numpy(picture)).numpy()
    with open_runtime(models["torch"], precision=precision) as runtime:
        assert runtime.spec.precision == precision
        found = compare(runtime.run(picture), wanted)
    # Not exact either: it is half precision that was computed.
    assert psnr_db <= found.psnr_db < 100


def test_a_precision_that_is_none_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="No precision 'fp8' for torch; there are fp32, fp16"):
        open_runtime(models["torch"], precision="fp8")


@pytest.mark.slow
def test_a_compiled_network_gives_the_official_output(
    models: dict[str, Path], official: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as for a GPU, and then run as it is: making kernels for a CPU takes minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    with open_runtime(models["torch"], compile=True) as runtime:
        for shape in [(1, 3, 16, 24), (2, 3, 19, 13)]:
            picture = sample_picture(*shape)
            with torch.no_grad():
                wanted = official(torch.from_numpy(picture)).numpy()
            assert np.abs(runtime.run(picture) - wanted).max() <= 1e-4


@pytest.mark.parametrize("backend", ["torch", "ort"])
def test_a_back_end_on_the_cpu_reads_no_gpu_memory(models: dict[str, Path], backend: str) -> None:
    class OnGpu:
        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError("nothing may be read")

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    path = models["torch" if backend == "torch" else "tensor"]
    with open_runtime(path, backend) as runtime:
        with pytest.raises(UsageError, match="reads host memory only"):
            runtime.run_on_gpu(OnGpu())
        with pytest.raises(InputError, match="not in CUDA memory"):
            runtime.run_on_gpu(np.zeros((1, 3, 8, 8), np.float32))


def test_a_rescaled_stream_is_told(models: dict[str, Path]) -> None:
    """A bias of 2**20 in the stream: only 2**-8 brings it below an eighth of FP16's 65504."""
    loaded = load_model(models["torch"])
    with torch.no_grad():
        loaded.network.get_parameter("layers.0.residual_group.blocks.0.mlp.fc2.bias")[0] = 2.0**20
    with module.TorchRuntime(loaded) as runtime:
        assert runtime.spec.residual_scale_log2 == 0
    with module.TorchRuntime(loaded, precision="fp16") as runtime:
        assert runtime.spec.residual_scale_log2 >= 8


class OnFakeGpu:
    """Says that its memory is CUDA's."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("only from_dlpack may be asked")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.fixture
def fake_gpu(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A runtime on the CPU that takes its memory for a GPU's."""
    stream = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(module, "from_dlpack", lambda fake: fake.tensor)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    with open_runtime(models["torch"]) as runtime:
        monkeypatch.setattr(runtime, "_describe_on_gpu", _as_if_cuda(runtime))
        yield runtime


def _as_if_cuda(runtime: Any) -> Any:
    def describe(tensor: Any) -> Any:
        own = runtime._device
        runtime._device = torch.device("cuda")
        try:
            return type(runtime)._describe_on_gpu(runtime, tensor)
        finally:
            runtime._device = own

    return describe


def test_a_tensor_on_the_own_device_is_taken(fake_gpu: Any, official: nn.Module) -> None:
    picture = torch.from_numpy(sample_picture(1, 3, 16, 24))
    with torch.no_grad():
        wanted = official(picture)
    assert (fake_gpu.run_on_gpu(OnFakeGpu(picture)) - wanted).abs().max() <= 1e-4


def test_a_tensor_elsewhere_is_refused(fake_gpu: Any) -> None:
    """It would be copied in silence."""
    elsewhere = torch.empty(1, 3, 16, 24, device="meta")
    with pytest.raises(InputError, match="is on meta, the network on cpu"):
        fake_gpu.run_on_gpu(OnFakeGpu(elsewhere))


def test_a_tensor_with_gaps_is_refused(fake_gpu: Any) -> None:
    turned = torch.zeros(1, 3, 24, 16).transpose(2, 3)
    with pytest.raises(InputError, match=r"strides .* must be contiguous"):
        fake_gpu.run_on_gpu(OnFakeGpu(turned))
