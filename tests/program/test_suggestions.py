"""Every command and option that a message, a help text or a document names can be given."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from cli_runs import Exported, Program
from suggestions import (
    PACKAGE,
    all_options,
    filled,
    leaf,
    suggestions_in,
    texts_of_documents,
    texts_of_package,
)

TEXTS = [*texts_of_package(), *texts_of_documents()]
SUGGESTIONS = [suggestion for text in TEXTS for suggestion in suggestions_in(text)]

# Options of other programs that messages and documents name.
_OF_OTHERS = {
    *("--force-reinstall", "--constraint", "--extra-index-url", "--index-url", "--gpus"),
    *("--group", "--editable", "--check", "--target", "--user", "--upgrade", "--no-deps"),
    *("--query-gpu", "--data-binary"),
}


def test_there_are_suggestions_of_all_commands() -> None:
    named = {suggestion.words[0] for suggestion in SUGGESTIONS}
    assert len(SUGGESTIONS) > 100
    assert {"export", "build", "verify", "restore", "bench", "info", "inspect", "cache"} <= named


@pytest.mark.parametrize(
    "suggestion",
    SUGGESTIONS,
    ids=[f"{s.place} {' '.join(s.words)}"[:100] for s in SUGGESTIONS],
)
def test_a_suggested_command_can_be_given(suggestion: object) -> None:
    words = suggestion.words  # type: ignore[attr-defined]
    command, rest = leaf(words)
    if not rest:
        return  # the name of a command, in a sentence about it
    arguments = filled(command, rest)
    command.make_context(words[0], arguments)  # raises for what the command does not take


def test_options_in_messages_exist() -> None:
    known, unknown = all_options() | _OF_OTHERS, []
    for text in texts_of_package():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text.text):
            if option.rstrip("-") not in known:
                unknown.append(f"{text.place}: {option}")
    assert unknown == []


def test_extras_in_messages_exist() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    named = {
        extra.strip()
        for text in TEXTS
        for extras in re.findall(r"swinir-deploy\[([a-z-]+(?:,[a-z-]+)*)\]", text.text)
        for extra in extras.split(",")
    }
    assert named - {"□"} <= set(project["optional-dependencies"])
    assert {"ort", "cuda", "eval"} <= named


def test_the_readme_installs_what_is_not_published_yet() -> None:
    """Each line names a clone or a wheel, and extras that exist."""
    root = PACKAGE.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    install = (root / "README.md").read_text().partition("## Install")[2].partition("\n## ")[0]
    lines = re.findall(r"^pip install (.*)$", install, re.MULTILINE)
    assert len(lines) > 4
    for line in lines:
        (extras,) = re.findall(r"^'\.\[([a-z,-]+)\]'", line)
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
        assert ("[cpu]" in line) == ("--extra-index-url" in line)


def test_the_extra_for_the_cpu_names_the_build_of_the_constraints() -> None:
    root = PACKAGE.parent
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (torch,) = [e for e in extras["optional-dependencies"]["cpu"] if e.startswith("torch")]
    build = torch.partition(";")[0].strip()
    assert build.endswith("+cpu")  # which PyPI has not, so that CUDA cannot come in its place
    assert build in (root / "constraints.txt").read_text()
    assert build.removeprefix("torch==") in (root / "README.md").read_text()


def test_no_argument_of_python_is_asked_for_on_the_command_line() -> None:
    for text in texts_of_package():
        assert not re.search(r"[Gg]ive (it|one of them) as [a-z]", text.text), text.place


def suggested(message: str, command: str) -> list[str]:
    """Return the words of the suggested command line in a message, behind the program's name."""
    quoted = re.findall(rf"'swinir-deploy ({command} [^']*)'", message)
    plain = re.findall(rf"[^']swinir-deploy ({command} .*?)(?: \(|\. |$)", message, re.MULTILINE)
    return shlex.split((quoted + plain)[0].rstrip("."))


def test_an_export_for_another_back_end_names_the_checkpoint(
    swinir: Program, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    moved = tmp_path / "my run" / "net_g_500.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(checkpoint.read_bytes())
    swinir("export", moved, "-o", "mine.onnx")
    error = swinir("build", "mine.onnx", "--target", "rtx:sm89", code=4).stderr
    words = suggested(error, "export")
    assert words[1] == str(moved)
    assert swinir(*words).stdout.startswith("Exported ")
    # verify knows the checkpoint, too; and says how to name it when it is gone.
    swinir("verify", "mine.onnx", "--shape", "8x8")
    moved.unlink()
    assert "--model FILE" in swinir("verify", "mine.onnx", code=2).stderr
    assert (
        "export CHECKPOINT.pth"
        in swinir("build", "mine.onnx", "--target", "rtx:sm89", code=4).stderr
    )


def test_a_file_on_another_back_end_names_what_to_export(
    swinir: Program, exported: Exported, checkpoint: Path
) -> None:
    swinir("export", checkpoint, "--for", "ort", "-o", "for-ort.onnx")
    run = swinir("bench", "for-ort.onnx", "--backend", "openvino", "--runs", 1, "--shape", "8x8")
    words = suggested(run.stderr, "export")
    assert words[1:] == [str(checkpoint), "--for", "openvino"]
    swinir(*words)


def test_a_missing_model_is_answered_by_a_command_that_works(swinir: Program) -> None:
    words = suggested(swinir("export", code=2).stderr, "export")
    assert swinir(*words).stdout.startswith("Exported tiny-sr-x4")


def test_an_engine_says_what_can_be_done_with_it(swinir: Program, checkpoint: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    tile = ("--tile", "16", "--batch", "1")
    built = swinir("build", checkpoint, "--target", "rtx:sm89", "--precision", "fp16", *tile)
    assert built.stdout.startswith("Built small.safetensors -> small.engine (rtx:sm89")
    error = swinir("inspect", "small.engine", code=2).stderr
    assert "is an engine" in error
    info = swinir(*suggested(error, "info")).stdout
    assert "fp16" in info
    again = suggested(error, "inspect")
    assert again[1:] == ["small.safetensors", "--target", "rtx:sm89"]
    Path("small.safetensors").write_bytes(checkpoint.read_bytes())
    assert " in 2 blocks" in swinir(*again, "--tile", "16").stdout


def test_click_itself_takes_no_unknown_option() -> None:
    """The checks above can fail: what does not exist raises."""
    command, _ = leaf(("export",))
    with pytest.raises(click.UsageError):
        command.make_context("export", ["--modle", "x"])
    with pytest.raises(AssertionError):
        leaf(("exprot", "x"))
