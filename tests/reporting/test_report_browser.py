"""A page in a real browser: Debian's chromium, driven by playwright; axe-core looks for faults."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import WAIT_MS, Browser, chromium
from sample_reports import ALL, gallery, identified

from swinir_deploy.reporting.documents import document_of
from swinir_deploy.reporting.page import write_page

pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    documents = [document_of(identified(kind), kind) for kind in ALL]
    write_page(path, documents, {0: gallery().pictures})
    return path


class Opened:
    """A page that is open, and what it did that it should not."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(WAIT_MS)
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", functools.partial(self._note, path.as_uri()))
        self.page.goto(path.as_uri())

    def _note(self, own: str, request: Any) -> None:
        if request.url != own and not request.url.startswith("data:"):
            self.faults.append(f"asks for {request.url}")

    def line(self) -> float:
        """Where the line of the first picture is, as a share of its width."""
        place: float = self.page.evaluate(
            "() => { const v = document.querySelector('.view').getBoundingClientRect();"
            " const l = document.querySelector('.line').getBoundingClientRect();"
            " return (l.x + l.width / 2 - v.x) / v.width; }"
        )
        return place


@pytest.fixture
def opened(browser: Browser, page_file: Path) -> Iterator[Opened]:
    found = Opened(browser, page_file, viewport={"width": 1100, "height": 900})
    yield found
    assert found.faults == []
    found.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_axe_finds_no_fault(browser: Browser, page_file: Path, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    found = Opened(browser, page_file, **options)
    found.page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    violations = Axe().run(found.page).response["violations"]
    assert [(v["id"], v["impact"], v["nodes"][0]["html"][:200]) for v in violations] == []
    assert found.faults == []
    wide, shown = found.page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= shown, "the page is wider than its window"
    found.page.close()


def test_the_line_moves_by_pointer(opened: Opened) -> None:
    view = opened.page.locator(".view").first
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.2, middle, steps=3)
    opened.page.mouse.up()
    assert opened.line() == pytest.approx(0.2, abs=0.01)
    opened.page.mouse.move(box["x"] + box["width"] * 0.7, middle)  # not held any more
    assert opened.line() == pytest.approx(0.2, abs=0.01)
    shown = opened.page.evaluate("() => document.querySelector('.over').style.clipPath")
    assert shown.startswith("inset(0px 0px 0px")


def test_the_line_moves_by_keys(opened: Opened) -> None:
    slide = opened.page.locator(".slide").first
    slide.focus()
    opened.page.keyboard.press("Home")
    assert opened.line() == pytest.approx(0, abs=0.01)
    for _ in range(3):
        opened.page.keyboard.press("ArrowRight")
    assert opened.line() == pytest.approx(0.03, abs=0.01)
    opened.page.keyboard.press("End")
    assert opened.line() == pytest.approx(1, abs=0.01)
    assert "100 % degraded" in (slide.get_attribute("aria-valuetext") or "")


def test_the_line_moves_by_touch(browser: Browser, page_file: Path) -> None:
    options = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    found = Opened(browser, page_file, **options)
    view = found.page.locator(".view").first
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box is not None
    found.page.touchscreen.tap(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    found.page.wait_for_function(
        "() => Math.abs(parseFloat(document.querySelector('.line').style.left) - 80) < 2"
    )
    assert found.faults == []
    found.page.close()


@pytest.mark.parametrize("ratio", [1, 2])
def test_zoom_shows_whole_pixels(browser: Browser, page_file: Path, ratio: int) -> None:
    found = Opened(browser, page_file, device_scale_factor=ratio)
    page = found.page
    page.get_by_role("button", name="Zoom 8, pixel by pixel").first.click()
    size = "() => document.querySelector('.both').getBoundingClientRect().width"
    assert page.evaluate(size) * ratio == 8 * 96
    page.keyboard.press("-")
    assert page.evaluate(size) * ratio == 4 * 96
    pressed = page.locator(".zooms button[aria-pressed=true]").first
    assert pressed.inner_text() == "4\u00d7"
    page.keyboard.press("0")
    assert page.locator(".view").first.evaluate("v => v.classList.contains('zoomed')") is False
    assert found.faults == []
    page.close()


def test_a_zoomed_picture_is_moved_and_the_line_stays(opened: Opened) -> None:
    page = opened.page
    page.get_by_role("button", name="Zoom 8, pixel by pixel").nth(1).click()
    page.locator(".pan").nth(1).evaluate("pan => { pan.style.width = '200px'; }")
    page.get_by_role("button", name="Zoom 8, pixel by pixel").first.click()
    pan = page.locator(".pan").first
    assert pan.get_attribute("tabindex") == "0"
    pan.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.pan').scrollTop > 0")
    assert opened.line() == pytest.approx(0.5, abs=0.01)


def test_other_states_can_be_chosen(opened: Opened) -> None:
    opened.page.get_by_label("Right").first.select_option(label="difference \u00d7 8")
    over = opened.page.locator(".over").first
    assert over.get_attribute("alt") == "photo.png, right of the line: difference \u00d7 8"
    wanted = opened.page.locator(".panels img").nth(3).get_attribute("src")
    assert over.get_attribute("src") == wanted


def test_print_shows_all_states_and_all_tables(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert not opened.page.locator(".compare").first.is_visible()
    assert opened.page.locator(".panels img").count() == 8
    assert opened.page.locator(".panels img").first.is_visible()
    opened.page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert opened.page.locator("details:not([open])").count() == 0
    opened.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    assert opened.page.locator("details[open]").count() == 0


def test_without_scripts_the_pictures_stand_side_by_side(browser: Browser, page_file: Path) -> None:
    found = Opened(browser, page_file, java_script_enabled=False)
    assert found.page.locator(".panels img").nth(3).is_visible()
    assert found.faults == []
    found.page.close()
