"""The front door: names, types, documentation."""

from __future__ import annotations

import importlib
import inspect

import pytest

import swinir_deploy


@pytest.mark.parametrize("name", [n for n in swinir_deploy.__all__ if n != "__version__"])
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(swinir_deploy, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_the_names_the_readme_promises() -> None:
    promised = {"load_model", "export_onnx", "open_runtime", "restore", "verify", "benchmark"}
    assert promised <= set(swinir_deploy.__all__)
    assert set(dir(swinir_deploy)) == set(swinir_deploy.__all__)


def test_lazy_homes_and_type_checking_imports_agree() -> None:
    source = inspect.getsource(swinir_deploy)
    for name, home in swinir_deploy._HOMES.items():
        assert hasattr(importlib.import_module(home), name)
        line = next(x for x in source.splitlines() if x.strip().startswith(f"from {home} import"))
        assert name in line, f"{name} is typed from another module than it is loaded from"


@pytest.mark.parametrize(
    "name",
    ["load_model", "export_onnx", "open_runtime", "restore", "verify", "benchmark", "evaluate"],
)
def test_every_argument_and_result_is_annotated(name: str) -> None:
    signature = inspect.signature(getattr(swinir_deploy, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'upscale'"):
        _ = swinir_deploy.upscale
