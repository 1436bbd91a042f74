"""Debian's chromium, driven by playwright; tests are skipped where one of them is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["WAIT_MS", "Browser", "chromium"]

Browser = Any
WAIT_MS = 60_000
"""For one step; a loaded machine takes its time."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser that has been started."""
    pytest.importorskip(
        "playwright", reason="playwright is not installed (pip install --group test)"
    )
    from playwright.sync_api import Error, sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        try:
            launched = driver.chromium.launch(
                executable_path=program, args=arguments, timeout=3 * WAIT_MS
            )
        except Error as error:
            pytest.skip(f"chromium does not start: {str(error).splitlines()[0]}")
        yield launched
        launched.close()
