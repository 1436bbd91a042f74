"""What only the PyTorch back end has: precisions, torch.compile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import fake_torch
import numpy as np
import pytest
import torch
from torch import nn

from swinir_deploy import open_runtime
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import InputError, UsageError
from swinir_deploy.models.load import load_model
from swinir_deploy.runtimes import torch_runtime as module


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
    with pytest.raises(UsageError, match=r"Unknown precision 'fp8'\. Choose fp32, fp16"):
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
        with pytest.raises(UsageError, match="reads host memory only"):
            runtime.copy_to_gpu(np.zeros((1, 3, 8, 8), np.float32))
        assert not runtime.takes_gpu_memory
        assert not runtime.time_device()
        runtime.run(np.zeros((1, 3, 8, 8), np.float32))
        assert runtime.stats.device_ms is None


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


FORWARD_MS = 7.0


@pytest.fixture
def fake_gpu(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A runtime on the CPU that takes its memory for a GPU's, on which it takes ``FORWARD_MS``."""
    monkeypatch.setattr(module, "from_dlpack", lambda fake: fake.tensor)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake_torch.Stream())
    monkeypatch.setattr(torch.cuda, "Event", fake_torch.Event)
    with open_runtime(models["torch"]) as runtime:
        monkeypatch.setattr(runtime, "_takes_gpu_memory", lambda: True)
        network = runtime._network

        def forward(batch: torch.Tensor) -> Any:
            fake_torch.CLOCK[0] += FORWARD_MS
            return network(batch)

        monkeypatch.setattr(runtime, "_network", forward)
        yield runtime


def test_the_gpu_s_time_is_told_when_asked_for(
    fake_gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = sample_picture(1, 3, 8, 8)
    fake_gpu.run(picture)
    assert fake_gpu.stats.device_ms is None
    assert fake_gpu.time_device()
    fake_gpu.run(picture)
    assert fake_gpu.stats.device_ms == FORWARD_MS
    assert fake_gpu.time_device() and fake_gpu.stats.device_ms is None
    fake_gpu.run_on_gpu(OnFakeGpu(fake_gpu.copy_to_gpu(picture)))
    assert fake_gpu.stats.device_ms == FORWARD_MS
    assert not fake_gpu.time_device(False)
    monkeypatch.delattr(torch.cuda, "Event")  # costs nothing
    fake_gpu.run(picture)
    assert fake_gpu.stats.device_ms is None


def test_a_batch_is_copied_to_the_gpu(fake_gpu: Any) -> None:
    picture = sample_picture(1, 3, 8, 8)
    copied = fake_gpu.copy_to_gpu(picture)
    picture[:] = 0
    np.testing.assert_array_equal(copied.numpy(), sample_picture(1, 3, 8, 8))
    with pytest.raises(InputError, match="dtype float64"):
        fake_gpu.copy_to_gpu(picture.astype(np.float64))


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
