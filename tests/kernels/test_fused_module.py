"""A whole network as one operator of PyTorch, by Triton's interpreter on the CPU."""

from __future__ import annotations

import copy
import importlib
import io
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from interpreter import Interpreter, interpreter
from oracle import official_network
from torch.export import Dim

from swinir_deploy.errors import InputError
from swinir_deploy.kernels.fused import FusedSwinIR, fused_swinir
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

__all__ = ["interpreter"]

pytestmark = pytest.mark.skipif(
    torch.version.cuda is not None and torch.cuda.is_available(),
    reason="with a GPU, tests/gpu runs the kernels themselves",
)

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


def make(io_: Any = "tensor") -> tuple[FusedSwinIR, torch.nn.Module]:
    oracle = official_network(CONFIG, seed=5)
    ours = {name for name, _ in SwinIR(CONFIG).named_parameters()}
    state = {k: v for k, v in oracle.network.state_dict().items() if k in ours}
    network = SwinIR.from_state_dict(CONFIG, state).eval().requires_grad_(False)
    return FusedSwinIR(network, torch.float16, device="cpu", io=io_), oracle


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def psnr_db(found: torch.Tensor, wanted: torch.Tensor) -> float:
    error = (found.double() - wanted.double()).square().mean()
    span = wanted.max() - wanted.min()
    return float(20 * torch.log10(span) - 10 * torch.log10(error))


# --------------------------------------------------------------------------- in the other process


def check_compile() -> tuple[float, float]:
    """PSNR of a compiled module at two sizes; the second one compiles nothing.

    A batch of one would: PyTorch takes the sizes 0 and 1 for constants.
    """
    fused, oracle = make()
    graphs = []

    def count(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(fused, fullgraph=True, dynamic=True, backend=count)
    found = []
    with torch.no_grad():
        for shape in [(2, 3, 8, 11), (3, 3, 5, 8)]:
            x = picture(*shape)
            found.append(psnr_db(compiled(x), oracle(x)))
    assert len(graphs) == 1, f"{len(graphs)} graphs"
    calls = [node.target for node in graphs[0].graph.nodes if node.op == "call_function"]
    assert calls == [torch.ops.swinir_deploy.fused_swinir.default], calls
    return found[0], found[1]


def check_export() -> tuple[list[int], float]:
    """A program that was exported, saved and loaded, at another size and batch."""
    fused, oracle = make()
    sides = {0: Dim("batch"), 2: Dim("height", min=5), 3: Dim("width", min=5)}
    program = torch.export.export(fused, (picture(2, 3, 9, 16),), dynamic_shapes={"picture": sides})
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    x = picture(1, 3, 8, 12)
    with torch.no_grad():
        result = torch.export.load(file).module()(x)
        return list(result.shape), psnr_db(result, oracle(x))


def check_operator() -> dict[str, str]:
    """What PyTorch's own check of operators says."""
    fused, _ = make()
    arguments = (picture(1, 3, 8, 8), fused._tensors(), fused._recipe)
    found: dict[str, str] = torch.library.opcheck(
        torch.ops.swinir_deploy.fused_swinir.default, arguments
    )
    return found


def check_launch() -> tuple[bool, bool]:
    """Into memory of the caller's, larger than need be and full of NaN, from a copy."""
    fused, _ = make()
    fused = pickle.loads(pickle.dumps(copy.deepcopy(fused)))
    x = picture(1, 3, 8, 8)
    wanted = fused(x)
    plan = fused.plan(1, 8, 8)
    arena = torch.full((plan.arena_elements + 64,), torch.nan, dtype=fused.dtype)
    output = torch.full(plan.output_shape, torch.nan)
    fused.launch(x, arena, output)
    return torch.equal(output, wanted), tuple(wanted.shape) == plan.output_shape


def check_as_on_a_gpu(precision: str, layout: str) -> None:
    """The body of a test of tests/gpu, which a mistake would otherwise wait in."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "gpu"))
    suite = importlib.import_module("test_gpu_fused")
    suite.check_pixels(CONFIG, precision, layout, "cpu", [(1, 8, 8), (2, 5, 9)])


# ------------------------------------------------------------------------------------------ tests


@pytest.mark.slow
def test_compile_takes_it_as_one_operator_for_all_sizes(interpreter: Interpreter) -> None:
    assert min(interpreter(check_compile)) > 60


def test_an_exported_program_runs_at_other_sizes(interpreter: Interpreter) -> None:
    shape, found_db = interpreter(check_export)
    assert shape == [1, 3, 16, 24]
    assert found_db > 60


def test_pytorch_s_check_of_operators(interpreter: Interpreter) -> None:
    found = interpreter(check_operator)
    assert "test_faketensor" in found
    assert set(found.values()) == {"SUCCESS"}


def test_memory_of_the_caller_s(interpreter: Interpreter) -> None:
    assert interpreter(check_launch) == (True, True)


@pytest.mark.parametrize(("precision", "layout"), [("fp16", "tensor"), ("bf16", "image")])
def test_what_is_asserted_of_pixels_on_a_gpu_can_hold(
    interpreter: Interpreter, precision: str, layout: str
) -> None:
    interpreter(check_as_on_a_gpu, precision, layout)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 3, 4, 9), "9x4 pixels.*sides of at least 5"),
        (torch.zeros(1, 1, 9, 9), r"shape \[1, 1, 9, 9\]; this network takes \[batch, 3, height"),
        (torch.zeros(3, 9, 9), r"shape \[3, 9, 9\]"),
        (torch.zeros(1, 3, 9, 9).half(), "torch.float16; the kernels take torch.float32"),
        (torch.zeros(1, 3, 9, 8).transpose(2, 3), "not contiguous"),
        (torch.zeros(0, 3, 9, 9), "its batch is 0"),
        (torch.zeros(1, 3, 9, 9, device="meta"), None),
    ],
)
def test_what_the_kernels_cannot_read_is_refused(x: torch.Tensor, message: str | None) -> None:
    """Before any kernel runs, so that no interpreter is needed."""
    fused, _ = make()
    if message is None:  # a tensor without data gets a result without data
        assert fused(x).shape == (1, 3, 18, 18)
        return
    with pytest.raises(InputError, match=message):
        fused(x)


@pytest.mark.parametrize("layout", ["tensor", "image"])
def test_the_shape_of_the_result_is_known_without_computing(layout: Any) -> None:
    fused, _ = make(layout)
    shape = (2, 3, 9, 14) if layout == "tensor" else (2, 9, 14, 3)
    dtype = torch.float32 if layout == "tensor" else torch.uint8
    found = fused.to("meta")(torch.empty(shape, dtype=dtype, device="meta"))
    assert found.dtype == dtype
    assert found.shape == ((2, 3, 18, 28) if layout == "tensor" else (2, 18, 28, 3))
    assert tuple(found.shape) == fused.plan(2, 9, 14).output_shape


def test_the_operator_is_registered_once() -> None:
    assert fused_swinir._qualname == "swinir_deploy::fused_swinir"
