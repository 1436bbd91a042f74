"""The README is pasted as it stands, and what it lists is what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swinir_deploy import errors, load_catalog

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    path
    for folder in ("", "docs", "docs/models", "changelog.d")
    for path in (ROOT / folder).glob("*.md")
)


def tour(language: str) -> str:
    blocks = re.findall(rf"<!-- tour.*?-->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def environment() -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        # No network: a download would fail at once.
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }


@pytest.mark.slow
def test_the_tour_works_offline_as_pasted(tmp_path: Path) -> None:
    script = "set -e\n" + tour("sh")
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in ("tiny-sr-x4.onnx", "chelsea-x4.png", "restored/chelsea-lr.png"):
        assert (tmp_path / name).is_file(), name


@pytest.mark.slow
def test_the_python_tour_works_as_pasted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", tour("python")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "(2, 3, 148, 200)" in done.stdout
    assert "(2400, 1600, 3)" in done.stdout


def test_every_exit_code_is_listed() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    codes = {c.exit_code for c in classes if issubclass(c, errors.SwinIRDeployError)}
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert listed == codes | {0, 130}


def test_ids_in_the_readme_exist() -> None:
    catalog = load_catalog()
    ids = re.findall(r"`((?:tiny|light|medium|large)-[a-z0-9-]+)`", README)
    assert len(ids) > 10
    for name in ids:
        assert catalog.get(name).id == name
    assert f"all {sum(not card.builtin for card in catalog.all())} official" in README


def test_the_built_in_models_size_is_right() -> None:
    card = load_catalog().get("tiny-sr-x4")
    if card.parameters is None:
        pytest.skip("the catalogue does not state the parameters yet")
    assert f"{card.parameters:,} parameters" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not target.startswith(("https://", "http://")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
