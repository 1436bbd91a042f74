"""Where two back ends part: the damaged block is named, whichever of them ran the damaged file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small_models import CONFIG, with_weight
from variants import SLOW_VARIANTS, SMALL, VARIANTS

from swinir_deploy import export_onnx, load_model
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network import SwinIR
from swinir_deploy.nvidia.gpu import find_gpu
from swinir_deploy.precision.plan import deployed_network
from swinir_deploy.runtimes import Backend
from swinir_deploy.verification.layers import compare_layers

pytest.importorskip("polygraphy", reason="polygraphy is not installed")

# Kinds of weights in several places, and the module that reads them.
DAMAGE = {
    "conv_first.weight": "conv_first",
    "layers.0.residual_group.blocks.0.attn.proj.weight": (
        "layers.0.residual_group.blocks.0.attn.proj"
    ),
    "layers.0.residual_group.blocks.1.norm2.weight": "layers.0.residual_group.blocks.1.norm2",
    "layers.1.residual_group.blocks.1.mlp.fc1.bias": "layers.1.residual_group.blocks.1.mlp.fc1",
    "layers.1.conv.bias": "layers.1.conv",
    "upsample.0.weight": "upsample.0",
}


def damaged(source: Path, folder: Path, name: str) -> Path:
    return with_weight(source, folder / "damaged.onnx", name, lambda weight: weight + 2)


def module_of(node: str) -> str:
    return node.rpartition("/")[0]


# ------------------------------------------------------------------------------------- OpenVINO


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", DAMAGE)
def test_openvino_on_a_damaged_file(fp32: Path, tmp_path: Path, name: str, precision: Any) -> None:
    pytest.importorskip("openvino")
    report = compare_layers(
        damaged(fp32, tmp_path, name), fp32, backend="openvino", precision=precision
    )
    assert report.first is not None
    assert module_of(report.first.node) == DAMAGE[name]
    assert report.against_ran_on == "ort cpu, fp32"
    before = [row for row in report.rows if row.position < report.first.position]
    assert all(row.passed for row in before)


def test_openvino_gives_every_tensor_of_a_sound_file(fp32: Path) -> None:
    pytest.importorskip("openvino")
    report = compare_layers(fp32, backend="openvino")
    assert report.passed
    assert report.ran_on == "openvino cpu, fp32"
    assert [row.node for row in report.rows] == [n.name for n in onnx.load(fp32).graph.node]
    assert report.worst(1)[0].limit == 1e-4


@pytest.mark.slow
def test_the_hint_reaches_openvino_and_its_answer_sets_the_limit(
    fp32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    asked = []
    real = openvino.Core.compile_model

    def compile_model(self: Any, model: Any, device: str, properties: dict[str, Any]) -> Any:
        asked.append(properties["INFERENCE_PRECISION_HINT"])
        return real(self, model, device, properties)

    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    for precision, hint in ((None, "f32"), ("bf16", "bf16"), ("fp16", "f16")):
        report = compare_layers(fp32, backend="openvino", precision=precision)  # type: ignore[arg-type]
        assert asked.pop() == hint
        answered = report.ran_on.rpartition(" ")[2]
        limits = {"fp32": 1e-4, "fp16": 4e-2, "bf16": 2.5e-1}
        assert {row.limit for row in report.rows if row.limit} == {limits[answered]}


def test_a_picture_in_bytes_passes_in_bf16(small_checkpoint: Path, tmp_path: Path) -> None:
    """BF16 moves it by more than one level."""
    pytest.importorskip("openvino")
    path = tmp_path / "image.onnx"
    export_onnx(small_checkpoint, path, io="image")
    assert compare_layers(path, backend="openvino", precision="bf16").passed
    assert compare_layers(path, backend="torch", network=load_model(small_checkpoint)).passed


def test_devices_and_precisions_of_openvino(fp32: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(UsageError, match="Unknown precision 'int4'"):
        compare_layers(fp32, backend="openvino", precision="int4")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Unknown device 'tpu'"):
        compare_layers(fp32, backend="openvino", device="tpu")


# -------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize("name", DAMAGE)
def test_the_network_beside_a_damaged_file(
    small_checkpoint: Path, fp32: Path, tmp_path: Path, name: str
) -> None:
    report = compare_layers(
        damaged(fp32, tmp_path, name), backend="torch", network=load_model(small_checkpoint)
    )
    assert report.first is not None
    assert module_of(report.first.node) == DAMAGE[name]


def test_a_damaged_network_beside_a_sound_file(small_checkpoint: Path, fp32: Path) -> None:
    loaded = load_model(small_checkpoint)
    fault = "layers.0.residual_group.blocks.1.mlp.fc2"
    with torch.no_grad():
        loaded.network.get_submodule(fault).weight *= -1  # type: ignore[operator]
    report = compare_layers(fp32, backend="torch", network=loaded)
    assert report.first is not None
    assert module_of(report.first.node) == fault


def test_a_bias_without_a_module_is_found_in_its_block(
    small_checkpoint: Path, fp32: Path, tmp_path: Path
) -> None:
    """The position bias is added between two modules; the next one shows it."""
    block = "layers.1.residual_group.blocks.0"
    path = with_weight(
        fp32,
        tmp_path / "damaged.onnx",
        f"{block}.attn.position_bias",
        lambda bias: bias + 8 * np.eye(bias.shape[-1], dtype=np.float32),
    )
    report = compare_layers(path, backend="torch", network=load_model(small_checkpoint))
    assert report.first is not None
    assert module_of(report.first.node) == f"{block}.attn.proj"


def test_every_module_with_weights_is_compared(small_checkpoint: Path, fp32: Path) -> None:
    report = compare_layers(fp32, backend="torch", network=load_model(small_checkpoint))
    assert report.passed
    assert report.ran_on == "torch cpu, fp32"
    modules = dict(deployed_network(SwinIR(CONFIG), get_recipe("any").rewrites).named_modules())
    leaves = {
        path
        for path, module in modules.items()
        if [*module.parameters(False)] and not [*module.children()]
    }
    assert "layers.0.residual_group.blocks.0.attn.query" in leaves
    compared = {module_of(row.node) for row in report.rows}
    assert leaves <= compared
    blocks = {f"layers.{i}.residual_group.blocks.{j}" for i in (0, 1) for j in (0, 1)}
    assert blocks | {"layers.0.junction", "layers.1.junction"} <= compared


@pytest.mark.slow
def test_the_recipe_of_the_file_is_the_networks(small_checkpoint: Path, tmp_path: Path) -> None:
    """Padded heads, a wider stream, tokens outermost: the tensors have other shapes."""
    path = tmp_path / "trt.onnx"
    export_onnx(small_checkpoint, path, target="tensorrt")
    report = compare_layers(path, backend="torch", network=load_model(small_checkpoint))
    assert report.passed
    assert not report.unpaired
    assert any(row.node.endswith("attn.query/Gemm") for row in report.rows)


EVERY_KIND = VARIANTS | SLOW_VARIANTS


@pytest.mark.slow
@pytest.mark.parametrize("variant", EVERY_KIND)
def test_modules_and_nodes_belong_together_in_every_configuration(
    tmp_path: Path, variant: str
) -> None:
    arguments: dict[str, Any] = {"config": SMALL, **EVERY_KIND[variant]}
    config = arguments.pop("config")
    torch.manual_seed(3)
    network = SwinIR(config)
    path = save_checkpoint(tmp_path / "a.safetensors", network.state_dict(), config, "a")
    export_onnx(path, tmp_path / "a.onnx", **arguments)
    report = compare_layers(tmp_path / "a.onnx", backend="torch", network=load_model(path))
    assert report.passed, report.first
    assert not report.unpaired
    convolutions = {
        name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)
    }
    assert convolutions <= {module_of(row.node) for row in report.rows}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_half_precision_in_pytorch(small_checkpoint: Path, fp16: Path, precision: Any) -> None:
    network = load_model(small_checkpoint)
    report = compare_layers(fp16, backend="torch", network=network, precision=precision)
    assert report.passed
    assert report.worst(1)[0].limit == (2.5e-1 if precision == "bf16" else 4e-2)


def test_what_pytorch_is_not_given_is_refused(small_checkpoint: Path, fp32: Path) -> None:
    loaded = load_model(small_checkpoint)
    with pytest.raises(UsageError, match=r"network=load_model"):
        compare_layers(fp32, backend="torch")
    with pytest.raises(UsageError, match="exported from a checkpoint with SHA-256"):
        compare_layers(fp32, backend="torch", network=replace(loaded, source_sha256="0" * 64))
    with pytest.raises(UsageError, match="Unknown precision 'int4'"):
        compare_layers(
            fp32,
            backend="torch",
            network=loaded,
            precision="int4",  # type: ignore[arg-type]
        )
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailableError, match="no usable device 'cuda'"):
            compare_layers(fp32, backend="torch", network=loaded, device="cuda")


# ------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "ort", "device": "cuda"}, "'ort' takes no device"),
        ({"backend": "ort", "precision": "bf16"}, "'ort' takes no precision"),
        ({"backend": "torch", "provider": "cuda"}, "'torch' takes no provider"),
        ({"backend": "openvino", "optimization": "all"}, "'openvino' takes no optimization"),
        ({"backend": "onnx"}, "Unknown back end 'onnx'"),
    ],
)
def test_options_that_a_back_end_lacks_are_refused(
    fp32: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        compare_layers(fp32, **options)


@pytest.mark.parametrize("backend", ["openvino", "torch", "tensorrt", "rtx"])
def test_a_back_end_that_is_not_installed_is_exit_code_3(
    fp32: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(Backend, "missing", lambda self: f"{self.name} needs something")
    with pytest.raises(BackendUnavailableError, match=f"{backend} needs something") as error:
        compare_layers(fp32, backend=backend)
    assert error.value.exit_code == 3


def test_an_engine_is_not_looked_into() -> None:
    with pytest.raises(UsageError, match=r"is an engine.*--backend tensorrt"):
        compare_layers("x4.engine", backend="tensorrt")


# -------------------------------------------------- TensorRT and TensorRT for RTX: up to the GPU


@pytest.mark.parametrize("backend", ["tensorrt", "rtx"])
def test_an_engine_without_a_gpu_is_exit_code_3(
    fp32: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    try:
        find_gpu()
    except BackendUnavailableError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(Backend, "missing", lambda _: None)
    with pytest.raises(BackendUnavailableError) as error:
        compare_layers(fp32, backend=backend)
    assert str(error.value) == reason
    with pytest.raises(UsageError, match="Unknown device 'cpu' for an engine"):
        compare_layers(fp32, backend=backend, device="cpu")


REAL_RTX = """
import sys
from swinir_deploy.verification.layers.marked import MarkedModel
from swinir_deploy.verification.layers.run_tensorrt import _config, _failing, marked_network
from swinir_deploy.verification.layers.run_tensorrt import select_flavour
from swinir_deploy.verification.inputs import layer_input
from swinir_deploy.nvidia.tensorrt_library import load_library
select_flavour("rtx")
from polygraphy.backend.trt import EngineBytesFromNetwork
marked = MarkedModel.read(sys.argv[1])
batch = layer_input(marked.metadata, None, None)
with _failing(marked, "RTX"):
    network, visible = marked_network(marked)
    config = _config(marked, batch, "rtx", compute_capabilities=[(8, 9)])
    made = config(network[0], network[1])
    assert not made.get_flag(load_library("rtx").api.BuilderFlag.TF32)
    plan = EngineBytesFromNetwork(network, config=config)()
print(len(bytes(plan)), network[1].num_outputs, *visible.values())
"""


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Polygraphy chooses its library when it is imported."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_rtx_itself_builds_an_engine_with_the_tensors_as_outputs(
    small_checkpoint: Path, tmp_path: Path, io: Any
) -> None:
    """By the real library, ahead of time; only running it needs a GPU."""
    pytest.importorskip("tensorrt_rtx")
    path = tmp_path / "small.onnx"
    export_onnx(small_checkpoint, path, io=io, target="tensorrt")
    done = run_python(REAL_RTX, path)
    assert done.returncode == 0, done.stderr
    size, outputs, *nodes = done.stdout.split()
    assert int(size) > 10_000
    assert int(outputs) == len(nodes)
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
    wanted = [n for n in graph.node if kinds.get(n.output[0]) == onnx.TensorProto.FLOAT]
    wanted += [n for n in graph.node if n.output[0] == graph.output[0].name]
    assert nodes == [node.name for node in wanted]


def test_what_rtx_says_about_a_graph_that_it_refuses_is_told(fp32: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = onnx.load(fp32)
    node = next(n for n in model.graph.node if n.name == "conv_first/Conv")
    node.op_type, node.domain = "NoSuchOperator", "nobody"
    del node.attribute[:]
    model.opset_import.append(onnx.helper.make_opsetid("nobody", 1))
    onnx.save(model, tmp_path / "broken.onnx")
    done = run_python(REAL_RTX, tmp_path / "broken.onnx")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "CheckFailedError" in last
    assert "NoSuchOperator" in last


@pytest.mark.parametrize(("chosen", "other"), [("tensorrt", "rtx"), ("rtx", "tensorrt")])
def test_polygraphy_serves_one_library_in_a_process(chosen: str, other: str) -> None:
    done = run_python(
        "import sys\n"
        "from swinir_deploy.verification.layers.run_tensorrt import select_flavour\n"
        "select_flavour(sys.argv[1]); select_flavour(sys.argv[1])\n"
        "import polygraphy.config; print(polygraphy.config.USE_TENSORRT_RTX)\n"
        "select_flavour(sys.argv[2])",
        *(chosen, other),
    )
    assert done.stdout.strip() == str(chosen == "rtx")
    assert "UsageError: Polygraphy supports one library in a process" in done.stderr


def test_the_cuda_runtime_is_shown_to_polygraphy(monkeypatch: pytest.MonkeyPatch) -> None:
    pathfinder = pytest.importorskip("cuda.pathfinder")
    from swinir_deploy.verification.layers.run_tensorrt import _load_cuda_runtime

    def absent(_name: str) -> None:
        raise RuntimeError("no libcudart")

    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    with monkeypatch.context() as patched:
        patched.setattr(pathfinder, "load_nvidia_dynamic_lib", absent)
        with pytest.raises(BackendUnavailableError, match=r"no libcudart\)\. Install it"):
            _load_cuda_runtime()
    try:
        pathfinder.load_nvidia_dynamic_lib("cudart")
    except Exception as error:
        pytest.skip(f"no CUDA runtime library here: {error}")
    _load_cuda_runtime()
    from polygraphy import cuda

    assert cuda.wrapper().handle
    assert os.environ["LD_LIBRARY_PATH"] == "/somewhere"


class FakeRunner:
    """In place of Polygraphy's TrtRunner: the marked graph, computed by ONNX Runtime."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __enter__(self) -> FakeRunner:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(self.engine, providers=["CPUExecutionProvider"])
        return self

    def __exit__(self, *_: object) -> None: ...

    def infer(self, feed_dict: dict[str, Any], check_inputs: bool = True) -> dict[str, Any]:
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feed_dict), strict=True))


@pytest.fixture
def fake_engines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A GPU and a library as far as this code goes; gives the names of the chosen GPUs."""
    import polygraphy.backend.trt as trt
    from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs
    from polygraphy.backend.trt import util

    from swinir_deploy.nvidia.gpu import Gpu
    from swinir_deploy.verification.layers import run_tensorrt as module

    def network(content: bytes, strongly_typed: bool) -> Callable[[], Any]:
        assert strongly_typed, "precision comes from the graph"
        return lambda: (None, content, None)

    def tensors(content: bytes) -> dict[str, object]:
        return {name: name for n in onnx.load_from_string(content).graph.node for name in n.output}

    def modified(network: tuple[Any, ...], outputs: list[str]) -> Callable[[], Any]:
        marked = ModifyOutputs(onnx.load_from_string(network[1]), outputs=outputs)
        return lambda: (None, BytesFromOnnx(marked)(), None)

    chosen: list[str] = []
    monkeypatch.setattr(Backend, "missing", lambda _: None)
    monkeypatch.setattr(module, "find_gpu", lambda index: Gpu(index, "Fake", "8.9", 1))
    monkeypatch.setattr(module, "choose_gpu", lambda gpu: chosen.append(gpu.name))
    monkeypatch.setattr(module, "_load_cuda_runtime", lambda: None)
    monkeypatch.setattr(module, "load_library", lambda flavour: flavour)
    monkeypatch.setattr(module, "_config", lambda *_: None)
    monkeypatch.setattr(trt, "NetworkFromOnnxBytes", network)
    monkeypatch.setattr(util, "get_all_tensors", tensors)
    monkeypatch.setattr(trt, "ModifyNetworkOutputs", modified)
    monkeypatch.setattr(trt, "EngineFromNetwork", lambda network, config: network[1])
    monkeypatch.setattr(trt, "TrtRunner", FakeRunner)
    return chosen


@pytest.mark.parametrize("name", DAMAGE)
def test_an_engine_of_a_damaged_file(
    fp32: Path, tmp_path: Path, fake_engines: list[str], name: str
) -> None:
    report = compare_layers(
        damaged(fp32, tmp_path, name), fp32, backend="tensorrt", device="cuda:1"
    )
    assert report.first is not None
    assert module_of(report.first.node) == DAMAGE[name]
    assert report.ran_on == "tensorrt cuda:1, fp32"
    assert fake_engines == ["Fake"]


def test_the_fakes_are_called_as_polygraphy_itself_is() -> None:
    """Every argument that this code gives is one that the real loaders take."""
    import inspect

    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX
    from polygraphy.backend.trt import (
        CreateConfig,
        EngineFromNetwork,
        ModifyNetworkOutputs,
        NetworkFromOnnxBytes,
        PostprocessConfig,
        Profile,
        TrtRunner,
    )

    def takes(function: Any, *names: str) -> None:
        known = inspect.signature(function).parameters
        assert set(names) <= set(known), function

    takes(NetworkFromOnnxBytes.__init__, "model_bytes", "strongly_typed")
    takes(ModifyNetworkOutputs.__init__, "network", "outputs")
    takes(EngineFromNetwork.__init__, "network", "config")
    takes(TrtRunner.__init__, "engine")
    takes(TrtRunner.infer, "feed_dict", "check_inputs")
    takes(PostprocessConfig.__init__, "config", "func")
    takes(CreateConfigRTX.__init__, "use_gpu", "compute_capabilities", "kwargs")
    takes(CreateConfig.__mro__[1].__init__, "profiles")
    takes(Profile.add, "name", "min", "opt", "max")
