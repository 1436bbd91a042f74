"""Photograph a report for the documentation, in Debian's chromium.

    python tools/report_picture.py proof.html docs/images/report.png

The picture has 256 colours and is reduced, so that it stays small.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

_WITHOUT_MACHINE = """() => {
    const machine = ["Processor", "System", "Memory"];
    for (const name of document.querySelectorAll("dt"))
        if (machine.includes(name.textContent)) name.parentElement.remove();
}"""
"""What describes the machine is of no interest in the documentation."""


def photograph(page_file: Path, width: int, height: int) -> Image.Image:
    """Return a whole page as chromium shows it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no chromium. Install it: apt-get install chromium")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=root)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(page_file.resolve().as_uri())
        page.evaluate(_WITHOUT_MACHINE)
        shown = page.screenshot(full_page=True)
        browser.close()
    return Image.open(io.BytesIO(shown)).convert("RGB")


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1000, help="of the window, in pixels")
    parser.add_argument("--shown", type=int, default=720, help="width of the picture, in pixels")
    options = parser.parse_args()
    shown = photograph(options.page, options.width, 900)
    height = round(shown.height * options.shown / shown.width)
    small = shown.resize((options.shown, height), Image.Resampling.LANCZOS)
    # By coverage: by frequency, the photograph would leave no green for the verdict.
    few = small.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(options.picture, optimize=True)


if __name__ == "__main__":
    main()
