"""ONNX Runtime and OpenVINO are loaded without their telemetry.

tests/program/test_nothing_leaves.py shows what that brings.
"""

from __future__ import annotations

import ast
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

import swinir_deploy
from swinir_deploy.system.telemetry import ORT_VARIABLE

PACKAGE = Path(swinir_deploy.__file__).parent


def imports(tree: ast.AST, names: tuple[str, ...]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        if any(module.split(".")[0] in names for module in modules):
            assert isinstance(node, ast.stmt)
            found.append(node)
    return found


SOURCES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.parent.glob("tools/*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_every_import_of_these_libraries_is_without_telemetry(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = ("onnxruntime", "openvino")
    allowed = [
        node
        for block in ast.walk(tree)
        if (isinstance(block, ast.With) and "without_telemetry()" in ast.unparse(block.items[-1]))
        or (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING")
        for node in imports(block, names)
    ]
    assert [n.lineno for n in imports(tree, names) if n not in allowed] == []


def test_a_program_keeps_its_own_choice() -> None:
    code = f"import os, swinir_deploy; print(os.environ[{ORT_VARIABLE!r}])"
    for given, kept in (("0", "0"), ("1", "1"), (None, "1")):
        environment = {k: v for k, v in os.environ.items() if k != ORT_VARIABLE}
        environment |= {} if given is None else {ORT_VARIABLE: given}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == kept


def test_the_variable_is_seen_by_libraries_of_c() -> None:
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    assert getenv(ORT_VARIABLE.encode()) in (b"0", b"1")


def test_openvinos_sender_stays_what_it_was() -> None:
    """Others in the same process may import it."""
    code = (
        "import sys, openvino_telemetry as before\n"
        "import swinir_deploy.runtimes.openvino_runtime\n"
        "import openvino_telemetry as after\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "assert before is after\n"
        "assert 'stub' in telemetry_utils.tm.__name__, telemetry_utils.tm"
    )
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
