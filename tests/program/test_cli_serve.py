"""``serve`` as a process: its bytes, its signals, its wrong arguments, a root without writing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Program
from isolation import unshared
from PIL import Image

pytest.importorskip("starlette", reason="the extra 'serve' is not installed")

READ_ONLY = """
set -e
mount --rbind / /mnt
mount -o remount,ro,bind /mnt
mount --bind "$HOME" "/mnt$HOME"
mount -o remount,ro,bind "/mnt$HOME"
mount -t tmpfs tmpfs /mnt/media
exec chroot /mnt sh -c 'cd "$0"; if touch "$HOME/x" 2>/dev/null; then exit 9; fi; exec "$@"' "$@"
"""


@contextlib.contextmanager
def served(
    arguments: Sequence[object], before: Sequence[str] = (), **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, once it listens."""
    words = [sys.executable, "-m", "swinir_deploy", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(
        [*before, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"Serving .* on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(lines))
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def post(url: str, body: bytes, **headers: str) -> bytes:
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def wait_until_ready(address: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=10):
                return
        except urllib.error.HTTPError:
            threading.Event().wait(0.1)
    pytest.fail("it never became ready")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(2).integers(0, 256, (50, 60, 4), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path, dpi=(72, 72))
    return path


def test_its_bytes_are_those_of_restore(
    swinir: Program, onnx_file: Path, photo: Path, tmp_path: Path
) -> None:
    for name in ("out.png", "out.tif", "out.webp"):
        swinir("restore", photo, tmp_path / name, "-m", onnx_file, "--tile", 32)
    with served([onnx_file]) as (process, address):
        wait_until_ready(address)
        for kind in ("png", "tif", "webp"):
            found = post(f"{address}/v1/restore?format={kind}&tile=32", photo.read_bytes())
            assert found == (tmp_path / f"out.{kind}").read_bytes(), kind
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.slow
def test_sigterm_finishes_what_was_taken(onnx_file: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    found: list[bytes] = []
    with served([onnx_file]) as (process, address):
        wait_until_ready(address)
        body = (tmp_path / "large.png").read_bytes()
        url = f"{address}/v1/restore?tile=32"
        thread = threading.Thread(target=lambda: found.append(post(url, body)))
        thread.start()
        while b"swinir_running 1.0" not in urllib.request.urlopen(f"{address}/metrics").read():
            pass
        process.send_signal(signal.SIGTERM)
        thread.join(120)
        assert process.wait(30) == 0
    (tmp_path / "found.png").write_bytes(found[0])
    assert Image.open(tmp_path / "found.png").size == (1400, 1400)


def test_a_token_file(onnx_file: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    with served([onnx_file, "--token-file", tmp_path / "token"]) as (_, address):
        wait_until_ready(address)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            post(f"{address}/v1/restore", photo.read_bytes())
        body = photo.read_bytes()
        assert post(f"{address}/v1/restore", body, Authorization="Bearer 0123456789abcdef")


@pytest.mark.slow
def test_on_a_root_that_cannot_be_written(onnx_file: Path, photo: Path, tmp_path: Path) -> None:
    """As a container with a read-only root: only /media is writable, and nothing is cached."""
    before = [*unshared("mount"), "sh", "-c", READ_ONLY, "sh", str(Path.cwd())]
    kept = {"HOME": str(tmp_path), "TMPDIR": "/media"}
    for backend in ("ort", "openvino"):
        with served([onnx_file, "--backend", backend], before, **kept) as (_, address):
            wait_until_ready(address)
            assert post(f"{address}/v1/restore", photo.read_bytes()).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "Missing model"),
        (("none.onnx",), 4, "none.onnx"),
        (("{onnx}", "{onnx}"), 2, "Two models are named"),
        (("{onnx}", "--token-file", "none"), 4, "Cannot read none"),
        (("{onnx}", "--token-file", "short"), 4, "at least 16"),
        (("{onnx}", "--work-folder", "none"), 4, "no folder"),
        (("{onnx}", "--port", "{port}"), 4, "Cannot listen on 127.0.0.1"),
        (("{onnx}", "--host", "999.1.1.1"), 4, "Cannot listen on 999.1.1.1"),
    ],
)
def test_wrong_arguments(
    swinir: Program, onnx_file: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    Path("short").write_text("abc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        filled = [option.format(onnx=onnx_file, port=port) for option in options]
        run = swinir("serve", *filled, code=code)
    assert words in run.stderr
