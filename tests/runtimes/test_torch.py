"""What only the PyTorch back end has: precisions, torch.compile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from swinir_deploy import open_runtime
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import InputError, UsageError


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
