"""One name for each library, and the others that people give it."""

import tomllib
from pathlib import Path

import pytest

from swinir_deploy.bundling import TARGETS
from swinir_deploy.exporters.onnx.recipes import RECIPES, get_recipe
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS
from swinir_deploy.runtimes import BACKENDS
from swinir_deploy.runtimes.providers import PROVIDERS
from swinir_deploy.system.library_names import library_name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("trt", "tensorrt"),
        ("TensorRT", "tensorrt"),
        ("trt-rtx", "rtx"),
        ("TensorRT_RTX", "rtx"),
        ("nv-tensorrt-rtx", "rtx"),
        ("onnxruntime", "ort"),
        ("pytorch", "torch"),
        ("ov", "openvino"),
        ("rtx", "rtx"),
        ("CUDAExecutionProvider", "CUDAExecutionProvider"),
        ("quantum", "quantum"),
    ],
)
def test_other_names_mean_the_library(given, name):
    assert library_name(given) == name


def test_every_table_has_the_same_names():
    engines = {backend.name for backend in BACKENDS.values() if backend.flavour} - {"cuda"}
    assert engines == set(FLAVOURS) == {flavour.extra for flavour in FLAVOURS.values()}
    assert set(TARGETS) == set(BACKENDS) - {"torch"}
    assert set(RECIPES) - {"any"} <= set(BACKENDS)
    assert {"tensorrt", "rtx"} <= set(PROVIDERS)
    # The names are the final ones: no other name of a library leads away from them.
    assert all(library_name(name) == name for name in (*BACKENDS, *TARGETS, *RECIPES, *PROVIDERS))


def test_targets_and_recipes_take_other_names():
    assert str(Target.parse("trt")) == "tensorrt"
    assert str(Target.parse("TRT-RTX:sm89")) == "rtx:sm89"
    assert get_recipe("trt").name == get_recipe("rtx").name == "tensorrt"
    assert get_recipe("onnxruntime").name == "ort"


def test_the_extras_of_before_are_the_extras_of_now():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    assert extras["trt"] == ["swinir-deploy[tensorrt]"]
    assert extras["trt-rtx"] == ["swinir-deploy[rtx]"]
