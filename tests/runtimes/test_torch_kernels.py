"""Which kernels the PyTorch back end runs, and what it says of it.

There is no GPU here: Triton's interpreter stands in for it where the kernels themselves matter, and
a network that computes in PyTorch where only the choice does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_torch
import numpy as np
import pytest
import torch
from grown import grown_model, grown_network
from interpreter import Interpreter, interpreter
from oracle import official_network
from torch import Tensor

from swinir_deploy import open_runtime
from swinir_deploy.artifacts.launch_program import Plan
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.models.load import LoadedModel, load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import PrecisionPlan
from swinir_deploy.runtimes import torch_runtime as module

__all__ = ["interpreter"]

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    oracle = official_network(CONFIG, seed=3)
    names = {name for name, _ in SwinIR(CONFIG).named_parameters()}
    state = {k: v for k, v in oracle.network.state_dict().items() if k in names}
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return load_model(save_checkpoint(path, state, CONFIG, "small"))


class InPyTorch:
    """What FusedSwinIR offers, computed by the network that it is given, in FP32."""

    made: list[InPyTorch]
    failure: Exception | None = None

    def __init__(
        self, network: SwinIR, dtype: torch.dtype, scale_log2: int, *, device: Any
    ) -> None:
        self.network, self.dtype, self.scale_log2 = network, dtype, scale_log2
        self.device = torch.device(device)
        self.made.append(self)

    def plan(self, batch: int, height: int, width: int) -> Plan:
        return Plan((), 8, (batch, 3, 2 * height, 2 * width))

    def launch(self, picture: Tensor, arena: Tensor, output: Tensor) -> None:
        if self.failure is not None:
            raise self.failure
        picture = picture.clone()
        work: Callable[[], object] = lambda: output.copy_(self.network(picture))  # noqa: E731
        if fake_torch.CAPTURING:
            raise RuntimeError("this fake cannot be recorded")
        work()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[InPyTorch]:
    """A card that the kernels serve; the networks that were made for it."""
    made: list[InPyTorch] = []
    monkeypatch.setattr(InPyTorch, "made", made, raising=False)
    monkeypatch.setattr(InPyTorch, "failure", None)
    monkeypatch.setattr(module, "FusedSwinIR", InPyTorch)
    monkeypatch.setattr(module, "_describe_gpu", lambda _: "NVIDIA H100 (sm90)")
    monkeypatch.setattr(module, "triton_version", lambda: "3.9.0")
    monkeypatch.setattr(
        module,
        "why_not_fused",
        lambda config, precision, device, *, keep_fp32=(), spare_channels=0: (
            "Some modules stay in FP32." if keep_fp32 else None
        ),
    )
    for name in ("CUDAGraph", "Stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake_torch, name))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake_torch.Stream())
    return made


def test_here_the_plain_form_runs_and_says_why(loaded: LoadedModel) -> None:
    with module.TorchRuntime(loaded) as runtime:
        assert runtime.spec.kernels == "plain"
        assert runtime.spec.kernels_reason.startswith(
            "The device is cpu; the kernels run on NVIDIA"
        )
        assert (runtime.captured_graphs, runtime.graph_errors) == (0, ())
    with module.TorchRuntime(loaded, kernels="plain") as runtime:
        assert runtime.spec.kernels_reason == "Plain kernels were asked for."


def test_by_name_it_is_an_error_that_names_the_reason(loaded: LoadedModel) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        module.TorchRuntime(loaded, kernels="fused", precision="fp16")
    message = str(caught.value)
    assert message.startswith("kernels='fused' cannot be had for small: The device is cpu; ")
    assert "kernels='plain'" in message


def test_options_are_checked(loaded: LoadedModel) -> None:
    with pytest.raises(UsageError, match=r"Unknown kind of kernels 'fast'\. Choose auto, fused or"):
        module.TorchRuntime(loaded, kernels="fast")  # type: ignore[arg-type]
    for option in ("compile", "as_trained"):
        with pytest.raises(UsageError, match=f"'fused' and {option} exclude each other"):
            module.TorchRuntime(loaded, kernels="fused", **{option: True})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cuda_graphs is -1; it must be at least 0"):
        module.TorchRuntime(loaded, cuda_graphs=-1)
    with pytest.raises(UsageError, match="'ort' has no option kernels"):
        open_runtime("any.onnx", kernels="fused")


@pytest.mark.parametrize("kernels", ["auto", "fused"])
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.half), ("bf16", torch.bfloat16)])
def test_where_they_are_served_they_run(
    served: list[InPyTorch], loaded: LoadedModel, kernels: Any, precision: Any, dtype: torch.dtype
) -> None:
    picture = sample_picture(2, 3, 9, 13)
    with module.TorchRuntime(loaded, kernels=kernels, precision=precision) as runtime:
        assert runtime.spec.kernels == "fused"
        assert runtime.spec.kernels_reason == "NVIDIA H100 (sm90), Triton 3.9.0."
        assert runtime.spec.precision == precision
        found = runtime.run(picture)
    wanted = loaded.network(torch.from_numpy(picture)).numpy()
    np.testing.assert_array_equal(found, wanted)
    (made,) = served
    assert made.dtype == dtype


def test_the_network_is_packed_as_trained_and_its_scale_beside_it(
    served: list[InPyTorch], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packing rescales by itself: a rescaled copy would be rescaled twice."""
    plan = PrecisionPlan("fp16", residual_scale_log2=5)
    monkeypatch.setattr(module.TorchRuntime, "_plan", lambda *_: plan)
    with module.TorchRuntime(loaded, precision="fp16") as runtime:
        assert runtime.spec.residual_scale_log2 == 5
    (made,) = served
    assert made.network is loaded.network
    assert made.scale_log2 == 5


def test_a_plan_that_keeps_modules_in_fp32_runs_plain(
    served: list[InPyTorch], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = PrecisionPlan("fp16", keep_fp32=("conv_first",))
    monkeypatch.setattr(module.TorchRuntime, "_plan", lambda *_: plan)
    with module.TorchRuntime(loaded, precision="fp16") as runtime:
        assert runtime.spec.kernels == "plain"
        assert runtime.spec.kernels_reason == "Some modules stay in FP32."
        runtime.run(sample_picture(1, 3, 8, 8))
    with pytest.raises(BackendUnavailableError, match="Some modules stay in FP32"):
        module.TorchRuntime(loaded, precision="fp16", kernels="fused")
    assert served == []


def test_kernels_that_do_not_compile_are_found_out_at_once(
    served: list[InPyTorch], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By running them once on one window: not on a user's first picture."""
    monkeypatch.setattr(InPyTorch, "failure", ValueError("ptxas failed\nwith much more"))
    with module.TorchRuntime(loaded, precision="bf16") as runtime:
        assert runtime.spec.kernels == "plain"
        assert runtime.spec.kernels_reason == "The fused kernels do not run here: ptxas failed."
        assert runtime.run(sample_picture(1, 3, 8, 8)).shape == (1, 3, 16, 16)
    with pytest.raises(BackendUnavailableError, match="do not run here: ptxas failed"):
        module.TorchRuntime(loaded, precision="bf16", kernels="fused")


def test_memory_that_runs_out_is_no_reason_for_plain_kernels(
    served: list[InPyTorch], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would need more of it."""
    monkeypatch.setattr(InPyTorch, "failure", RuntimeError("CUDA out of memory."))
    with pytest.raises(RuntimeError, match="out of memory"):
        module.TorchRuntime(loaded, precision="bf16")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"as_trained": True}, "The network computes as it was trained."),
        ({"compile": True}, "torch.compile makes the kernels."),
        ({"kernels": "plain"}, "Plain kernels were asked for."),
    ],
)
def test_what_else_runs_plain_on_a_card(
    served: list[InPyTorch], loaded: LoadedModel, options: dict[str, Any], reason: str
) -> None:
    with module.TorchRuntime(loaded, precision="bf16", **options) as runtime:
        assert runtime.spec.kernels_reason == reason
    assert served == []


def test_a_back_end_whose_graphs_fail_says_so(served: list[InPyTorch], loaded: LoadedModel) -> None:
    picture = sample_picture(1, 3, 8, 8)
    with module.TorchRuntime(loaded, precision="bf16") as runtime:
        first = runtime.run(picture)
        np.testing.assert_array_equal(runtime.run(picture), first)
        assert runtime.graph_errors == ("this fake cannot be recorded",)
        assert runtime.captured_graphs == 0
    with module.TorchRuntime(loaded, precision="bf16", cuda_graphs=0) as runtime:
        runtime.run(picture)
        runtime.run(picture)
        assert runtime.graph_errors == ()


# --------------------------------------------------------------------------- by the interpreter


def through_the_runtime(scale_at_least: int) -> list[float]:
    """PSNR against FP32 of a network whose stream passes what FP16 holds; run by run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "why_not_fused", lambda *_, **__: None)
    patch.setattr(module, "_describe_gpu", lambda _: "Triton's interpreter")
    patch.setattr(torch.cuda, "current_stream", lambda device: fake_torch.Stream())
    picture = sample_picture(1, 3, 9, 13)
    oracle = grown_network(CONFIG)
    with torch.no_grad():
        wanted = oracle(torch.from_numpy(picture)).numpy()
    grown = grown_model(oracle)
    with module.TorchRuntime(grown, precision="fp16", kernels="fused", cuda_graphs=0) as runtime:
        assert runtime.spec.kernels == "fused"
        assert runtime.spec.residual_scale_log2 >= scale_at_least
        return [compare(runtime.run(picture), wanted).psnr_db for _ in range(2)]


@pytest.mark.slow
def test_a_grown_stream_through_the_back_end(interpreter: Interpreter) -> None:
    found = interpreter(through_the_runtime, 5)
    assert min(found) >= 60
    assert found[0] == found[1]


def test_the_checkpoint_s_file_does_as_well(loaded: LoadedModel, tmp_path: Path) -> None:
    with open_runtime(loaded.path, "torch", kernels="auto") as runtime:
        assert runtime.spec.kernels == "plain"
