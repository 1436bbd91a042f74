"""The pages of the service in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import WAIT_MS, Browser, chromium
from fake_runtimes import FakeRuntime
from PIL import Image
from running import Client, serving

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(params=[None, TOKEN], ids=["open", "token"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "work").mkdir()
    with (
        FakeRuntime() as runtime,
        serving({"x2": runtime, "b": runtime}, tmp_path / "work", token=request.param) as found,
    ):
        found.headers = {"authorization": f"Bearer {request.param}"} if request.param else {}
        yield found


def test_a_picture_goes_through_the_page(
    browser: Browser, client: Client, photo: Path, tmp_path: Path
) -> None:
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    own = f"http://127.0.0.1:{client.port}/"
    page.on(
        "request",
        lambda r: None if r.url.startswith((own, "blob:", "data:")) else faults.append(r.url),
    )
    page.goto(own)
    if client.headers:
        page.get_by_text("asks for a token").wait_for()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_label("Token").blur()
    page.locator("#model option").nth(1).wait_for(state="attached")
    page.get_by_label("Model").select_option("b")
    page.get_by_label("Format").select_option("png")
    page.set_input_files("#file", photo)
    page.locator("#result").wait_for()
    assert re.match(r"Done in [\d.]+ s", page.get_by_role("status").inner_text())
    assert page.locator("#sizes").inner_text() == "120x80 pixels"
    slider = page.get_by_label("Before and after")
    slider.focus()
    slider.press("Home")
    assert page.locator("#compare").evaluate("e => e.style.getPropertyValue('--at')") == "0%"
    with page.expect_download() as download:
        page.get_by_text("Download").click()
    assert download.value.suggested_filename == "photo-restored.png"
    download.value.save_as(tmp_path / "got.png")
    wanted = np.asarray(Image.open(photo)).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "got.png")), wanted)
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"none"})
    page.get_by_text("which is not a PNG").wait_for()
    assert not faults
    page.close()


def test_the_description_is_shown(browser: Browser, client: Client) -> None:
    context = browser.new_context(extra_http_headers=client.headers)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{client.port}/docs")
    page.get_by_text("Restore a picture").first.wait_for()
    page.get_by_text("/v1/restore").first.click()
    page.get_by_text("Too many pictures wait").wait_for()
    assert not faults
    context.close()
