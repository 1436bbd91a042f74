"""The front door: names, signatures, documentation, and what is said where an extra is missing."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import swinir_deploy

STUB = Path(swinir_deploy.__file__).with_suffix(".pyi")

PARAMETERS = {
    "adopt_onnx": "source output * reference value_range bgr shape say",
    "benchmark": "contenders * shapes batch runs duration_s threads transfers isolate go_on "
    "progress",
    "build_engine": "model target output * shapes options any_graph cache device progress on_wait "
    "built_from",
    "compare_layers": "model against * backend device precision network provider optimization "
    "against_optimization picture shape limit",
    "evaluate": "model data * lr task noise quality backend device tile self_ensemble reference "
    "offline progress say show **options",
    "export_onnx": "model output * io target shape opset precision calibrate stages",
    "info": "model * key prefix img_range mean",
    "inspect_model": "model target * shapes options progress named",
    "load_catalog": "",
    "load_model": "name_or_path * img_range mean key prefix task cache_dir progress offline",
    "make_bundle": "model folder target",
    "open_runtime": "model backend device **options",
    "restore": "source target * model backend device tile overlap_px batch max_pixels "
    "max_memory_bytes resume strip pages progress **options",
    "restore_video": "source target * model backend device tile overlap_px batch codec crf bitrate "
    "pix_fmt codec_options decoder matrix deinterlace start_s duration_s frames every_nth dedupe "
    "on_error drop_unsupported resume progress **options",
    "verify": "model * reference backend device shapes pictures limit show **options",
}
"""Every public function; callers rely on these names."""


def homes() -> dict[str, str]:
    """Name -> module, as the stub has it."""
    found = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, f"{alias.name} is not exported by the stub"
                found[alias.name] = f"swinir_deploy.{node.module}"
    return found


def test_all_holds_what_the_stub_lists() -> None:
    assert set(swinir_deploy.__all__) == {*homes(), "__version__"}
    assert len(swinir_deploy.__all__) == len(set(swinir_deploy.__all__))
    assert set(swinir_deploy.__all__) <= set(dir(swinir_deploy))


@pytest.mark.parametrize(("name", "home"), homes().items())
def test_every_name_lives_where_the_stub_says(name: str, home: str) -> None:
    thing = getattr(swinir_deploy, name)
    assert thing is getattr(importlib.import_module(home), name)
    assert thing.__module__ == home, f"{name} is defined in {thing.__module__}"
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_every_public_function_is_listed_here() -> None:
    functions = {n for n in homes() if inspect.isfunction(getattr(swinir_deploy, n))}
    assert functions == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_keep_their_names_and_order(name: str) -> None:
    words = []
    for parameter in inspect.signature(getattr(swinir_deploy, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(f"{'**' if parameter.kind is parameter.VAR_KEYWORD else ''}{parameter.name}")
    assert " ".join(words) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_argument_and_result_is_annotated(name: str) -> None:
    signature = inspect.signature(getattr(swinir_deploy, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="upscale"):
        _ = swinir_deploy.upscale  # type: ignore[attr-defined]


EXPORTERS = ("torch", "onnx", "onnxscript", "onnxsim", "safetensors")


@pytest.mark.parametrize(
    ("call", "missing", "extra"),
    [
        ("export_onnx('tiny-sr-x2', 'x.onnx')", EXPORTERS, "export"),
        ("export_onnx('tiny-sr-x2', 'x.onnx')", ("onnxsim",), "export"),
        ("export_onnx('tiny-sr-x2', 'x.onnx')", ("ml_dtypes",), "export"),
        ("export_onnx('tiny-sr-x2', 'x.onnx')", ("onnx_ir",), "export"),
        ("load_model('tiny-sr-x2')", EXPORTERS, "export"),
        ("SwinIR", EXPORTERS, "export"),
        ("restore('a.png', 'b.png', model='a.safetensors')", EXPORTERS, "export"),
        ("open_runtime('a.onnx')", ("onnxruntime",), "ort"),
        ("open_runtime('a.onnx', 'openvino')", ("openvino",), "openvino"),
        ("verify('a.onnx', reference='tiny-sr-x2')", EXPORTERS, "export"),
        ("compare_layers('a.onnx')", ("polygraphy",), "layers"),
        ("evaluate('tiny-sr-x2', '.')", EXPORTERS, "export"),
        ("benchmark([Contender('tiny-sr-x2', 'torch')], runs=1)", EXPORTERS, "export"),
        ("build_engine('a.onnx', 'rtx:sm89')", ("onnx",), "export"),
        ("inspect_model('a.onnx', 'rtx:sm89')", ("onnx",), "export"),
        ("info('a.safetensors')", EXPORTERS, "export"),
        ("info('a.onnx')", ("onnx", "onnxruntime"), "ort"),
        ("make_bundle('a.onnx', 'b')", ("onnx", "onnxruntime"), "ort"),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, call: str, missing: tuple[str, ...], extra: str
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"none is read without its package")
    (tmp_path / "a.safetensors").write_bytes(b"likewise")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    code = f"""
import sys
for name in {missing!r}:
    sys.modules[name] = None
import swinir_deploy
from swinir_deploy.errors import BackendUnavailableError
try:
    eval({call!r}, {{name: getattr(swinir_deploy, name) for name in {names_in(call)!r}}})
except BackendUnavailableError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert f"pip install 'swinir-deploy[{extra}]'" in done.stdout, done.stdout + done.stderr
    assert any(name in done.stdout for name in missing)


def names_in(call: str) -> list[str]:
    return [n.id for n in ast.walk(ast.parse(call)) if isinstance(n, ast.Name)]
