"""Imports run one way (docs/architecture.md), and what is optional stays optional."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import swinir_deploy

PACKAGE = Path(swinir_deploy.__file__).parent

LAYERS = [
    {"cli", "__main__"},
    {"demo", "bundling"},
    {"evaluation"},
    {"imaging"},
    {"runtimes", "exporters"},
    {"calibration"},
    {"loading"},
    {"checkpoint", "download", "engine_cache"},
    {"checkpoint_files", "hyperparameters", "catalog", "transfer"},
    {"network"},
    {"engine_files"},
    {"gpu", "tensorrt_library"},
    {"json_files", "onnx_files"},
    {
        "artifact",
        "atomic",
        "comparison",
        "extras",
        "hashing",
        "locking",
        "process_memory",
        "tensorrt_api",
    },
    {"errors"},
]
"""From the top of the house to its foundation; a module imports from its own layer downwards."""

NEVER = {("runtimes", "exporters"), ("exporters", "runtimes")}
"""Neighbours that do not know each other: a file with its metadata passes between them."""

DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def unit_of(module: str) -> str | None:
    """``swinir_deploy.network.config`` -> ``network``; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def imports_of(source: str) -> set[str]:
    """Modules of this package that a source imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            assert node.module is not None
            if node.module == "swinir_deploy":
                found |= {f"swinir_deploy.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return {name for name in found if name.split(".")[0] == "swinir_deploy"}


def violations(unit: str, source: str) -> list[str]:
    """What a source of ``unit`` imports against the rule."""
    found = []
    for module in imports_of(source):
        other = unit_of(module)
        if other in (None, "__version__", unit):
            continue
        if other not in DEPTH:
            found.append(f"{module}: through the package's front door")
        elif DEPTH[unit] > DEPTH[other] or (unit, other) in NEVER:
            found.append(f"{unit} must not import {other}")
    return found


def files_of_the_package() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_every_unit_has_a_layer() -> None:
    units = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in files_of_the_package()}
    assert units == set(DEPTH), "a new unit needs its place in LAYERS and docs/architecture.md"


@pytest.mark.parametrize("path", files_of_the_package(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert violations(unit, path.read_text()) == []


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("network", "from swinir_deploy.cli import main"),
        ("exporters", "import swinir_deploy.runtimes.base"),
        ("runtimes", "def f():\n    from swinir_deploy.exporters.onnx import export_onnx"),
        ("errors", "import swinir_deploy.catalog"),
        ("imaging", "from swinir_deploy import restore"),
    ],
)
def test_a_forbidden_import_is_seen(unit: str, source: str) -> None:
    assert len(violations(unit, source)) == 1


def imported_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "onnxsim",
    "onnxscript",
    "tensorrt",
    "tensorrt_rtx",
    "openvino",
}


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = imported_by("import swinir_deploy")
    assert not loaded & (HEAVY | {"numpy", "PIL", "yaml", "click"})


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import swinir_deploy.imaging", set()),
        ("import swinir_deploy.runtimes", set()),
        ("import swinir_deploy.catalog", set()),
        ("from swinir_deploy import restore", set()),
        ("import swinir_deploy.runtimes.onnxruntime", {"onnxruntime"}),
        ("import swinir_deploy.evaluation.benchmark", set()),
        ("import swinir_deploy.evaluation.parity", set()),
    ],
)
def test_running_an_exported_file_needs_no_torch(statement: str, allowed: set[str]) -> None:
    assert imported_by(statement) & HEAVY <= allowed
