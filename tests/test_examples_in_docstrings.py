"""The examples in the docstrings of the public names run and show what they give."""

from __future__ import annotations

import ast
import doctest
import inspect
from pathlib import Path

import pytest

import swinir_deploy
from swinir_deploy import SwinIRDeployError

PACKAGE = Path(swinir_deploy.__file__).parent

WITHOUT_EXAMPLE: set[str] = set()
"""Public functions that may still lack an example; a name leaves this set when it gets one."""


def definitions() -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Public name -> its definition, parsed without an import, because an extra may be missing."""
    public = {}
    for statement in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(statement, ast.ImportFrom) and statement.module is not None:
            home = PACKAGE.joinpath(*statement.module.split(".")).with_suffix(".py")
            names = {alias.name for alias in statement.names}
            for node in ast.parse(home.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names:
                    public[node.name] = node
    return public


def has_example(definition: ast.FunctionDef | ast.ClassDef) -> bool:
    """Return whether the docstring, or that of a method, has an example."""
    nodes = [definition, *definition.body]
    return any(
        ">>>" in (ast.get_docstring(node) or "")
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )


def run_example(test: doctest.DocTest) -> None:
    """Run one docstring; skip the test where an extra of this distribution is missing."""
    try:
        doctest.DebugRunner(optionflags=doctest.ELLIPSIS).run(test)
    except doctest.DocTestFailure as failure:
        pytest.fail(
            f"{test.name}: {failure.example.source}expected {failure.example.want!r}, "
            f"got {failure.got!r}"
        )
    except doctest.UnexpectedException as failure:
        error = failure.exc_info[1]
        if isinstance(error, SwinIRDeployError) and "swinir-deploy[" in str(error):
            pytest.skip(str(error))
        raise error from None


def test_every_public_name_is_found() -> None:
    assert {*definitions(), "__version__"} == set(swinir_deploy.__all__)


def test_every_public_function_has_an_example() -> None:
    functions = {k: v for k, v in definitions().items() if isinstance(v, ast.FunctionDef)}
    assert set(functions) >= WITHOUT_EXAMPLE
    missing = {name for name, definition in functions.items() if not has_example(definition)}
    assert missing <= WITHOUT_EXAMPLE


@pytest.mark.parametrize("name", [k for k, v in definitions().items() if has_example(v)])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        thing = getattr(swinir_deploy, name)
    except SwinIRDeployError as error:
        pytest.skip(str(error))
    # No globals: an example that a reader copies must import all that it uses.
    tests = doctest.DocTestFinder().find(thing, name, inspect.getmodule(thing), globs={})
    with_examples = [test for test in tests if test.examples]
    assert with_examples, f"doctest finds no example in the docstring of {name}"
    monkeypatch.chdir(tmp_path)
    for test in with_examples:
        for example in test.examples:  # Also those that are marked as skipped must be Python.
            compile(example.source, name, "exec")
        run_example(test)


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (">>> 1 + 1\n3\n", pytest.fail.Exception),
        (">>> undefined\n1\n", NameError),
        (
            ">>> from swinir_deploy.errors import BackendUnavailableError\n"
            ">>> raise BackendUnavailableError(\"pip install 'swinir-deploy[eval]'\")\n1\n",
            pytest.skip.Exception,
        ),
    ],
)
def test_a_wrong_example_fails_and_a_missing_extra_skips(
    source: str, outcome: type[BaseException]
) -> None:
    with pytest.raises(outcome):
        run_example(doctest.DocTestParser().get_doctest(source, {}, "example", None, 0))
