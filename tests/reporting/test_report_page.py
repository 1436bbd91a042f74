"""The page: one file that loads nothing, in which names are names and nothing else."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sample_reports import ALL, gallery, identified

from swinir_deploy.reporting.documents import document_of
from swinir_deploy.reporting.page import render_page, write_page
from swinir_deploy.reporting.plots import Axis, Series, bar_plot, dot_plot
from swinir_deploy.reporting.svg import COLOURS

HOSTILE = "<script>alert(1)</script>\"'&$x^2$]]>\x1b[2J\u202egnp.exe\ud800{{ 7*7 }}"


class Page(HTMLParser):
    """Elements, addresses and texts of a page; a page that is not balanced fails."""

    VOID = {"meta", "img", "link", "br", "input"}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def everything(name: str = "x4.onnx") -> str:
    documents = [document_of(with_name(identified(kind), name), kind) for kind in ALL]
    return render_page(documents, {0: gallery(name).pictures})


def with_name(value: Any, name: str) -> Any:
    """The same values with another name wherever a name stands."""
    if isinstance(value, dict):
        return {key: with_name(entry, name) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_name(entry, name) for entry in value]
    names = ("x4.onnx", "my-model", "photo.png", "ort", "baby.png", "noise", "rtx:sm89", "Set5")
    return name if value in names else value


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(everything())


def test_a_page_loads_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action", "xlink:href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/webp;base64,", "#"))
    (policy,) = [a["content"] for t, a in page.elements if "http-equiv" in a and t == "meta"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert re.search("script-src 'sha256-[A-Za-z0-9+/=]{44}'", policy)


def test_a_page_says_first_what_was_proved(page: Page) -> None:
    text = " ".join(page.text.split())
    assert text.index("What was proved") < text.index("Identity") < text.index("Parity, input by")
    for word in ("Passed", "Checked", "Measured", "Slower", "Compiled", "Failed"):
        assert word in text
    for fact in ("a" * 64, "b" * 64, "7 (the stream is multiplied by 2^-7)", "A processor"):
        assert fact in text
    assert "swinir-deploy verify x4.onnx" in text
    assert "65504" in text
    assert "limit 55.0 dB" in text


def test_headings_and_ids_are_in_order(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_names_are_text_wherever_they_stand() -> None:
    text = everything(HOSTILE)
    found = Page(text)
    scripts = [tag for tag, _ in found.elements if tag == "script"]
    assert scripts == ["script"], "a name became an element"
    assert not any(name.startswith("on") for _, a in found.elements for name in a)
    assert "alert(1)</script>\"'&$x^2$]]>\ufffd[2J\ufffdgnp.exe\ufffd{{ 7*7 }}" in found.text
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    "name", [HOSTILE.replace("\ud800", "").replace("\x1b", ""), "a\nb", "", "\u4e2d"]
)
def test_plots_take_any_label(name: str) -> None:
    plot = dot_plot("t", [name, "b"], [Series(name, [1.0, 2.0])], Axis(name), "")
    for drawn in (plot.wide, plot.narrow):
        assert Page(drawn).elements[0][0] == "svg"
        assert not any(colour in drawn for colour in COLOURS.values())


@pytest.mark.parametrize("value", [0.0, float("inf"), float("-inf"), float("nan"), 1e-300, 1e300])
@pytest.mark.parametrize("log", [True, False])
def test_plots_take_any_value(value: float, log: bool) -> None:
    limits = {1e-4: "limit"}
    plot = dot_plot("t", ["a", "b"], [Series("s", [value, 1e-6])], Axis("x", log, limits), "")
    assert "nan" not in plot.wide.lower()
    assert "inf" not in re.sub("<text.*?</text>", "", plot.wide).lower()


def test_plots_are_small() -> None:
    labels = [f"kernel {n}" for n in range(20)]
    plot = bar_plot("t", labels, [float(n) for n in range(20)], Axis("kernels"), "")
    assert len(plot.wide) + len(plot.narrow) < 40_000


def test_a_page_is_complete_or_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    write_page(path, [document_of(identified("verify"), "a")])
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_page(path, [document_of(identified("verify"), "a")], {0: [None]})  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]
