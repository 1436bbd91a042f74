"""Downloads against a small server on this machine that can misbehave."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from swinir_deploy.errors import CheckpointError, DownloadError
from swinir_deploy.models import download as transfer
from swinir_deploy.models.catalog import ModelCard, load_catalog
from swinir_deploy.models.weights_cache import ensure_local
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER_SHA256 = hashlib.sha256(b"other").hexdigest()

DOWNLOAD = f"""
import sys
from dataclasses import replace
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.weights_cache import ensure_local
card = replace(load_catalog().get("light-sr-x2"), file="model.pth", url=sys.argv[1],
               size_bytes={len(BODY)}, sha256="{SHA256}")
print(ensure_local(card, sys.argv[2]))
"""


@dataclass
class Behaviour:
    """What the server does with the next requests, and what it saw."""

    body: bytes = BODY
    ranges: bool = True
    etag: str | None = '"v1"'
    cut_after: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    redirect_to: str | None = None
    no_length: bool = False
    hold: threading.Event | None = None
    hold_after: int = 0
    seen: list[dict[str, str]] = field(default_factory=list)


class Server:
    """A server whose behaviour a test can change at any time."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        do = self.behaviour
        do.seen.append(dict(handler.headers.items()))
        if do.status:
            handler.send_error(do.status.pop(0))
            return
        if do.redirect_to and handler.path != "/moved":
            handler.send_response(302)
            handler.send_header("Location", do.redirect_to)
            handler.end_headers()
            return
        start = 0
        wanted = handler.headers.get("Range")
        condition = handler.headers.get("If-Range")
        if do.ranges and wanted and condition in (None, do.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(do.body):
                handler.send_error(416)
                return
            handler.send_response(206)
            last = len(do.body) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(do.body)}")
        else:
            handler.send_response(200)
        body = do.body[start:]
        if do.etag:
            handler.send_header("ETag", do.etag)
        if not do.no_length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if do.hold:
            handler.wfile.write(body[: do.hold_after])
            body = body[do.hold_after :]
            do.hold.wait(10)
        if do.cut_after:
            body = body[: do.cut_after.pop(0)]
        handler.wfile.write(body)

    def url(self, path: str = "/model.pth") -> str:
        return f"http://127.0.0.1:{self.httpd.server_address[1]}{path}"

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(transfer, "_CHUNK_BYTES", 1 << 14)


@pytest.fixture
def card(server: Server) -> ModelCard:
    base = load_catalog().get("light-sr-x2")
    return replace(base, file="model.pth", url=server.url(), size_bytes=len(BODY), sha256=SHA256)


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"model.pth", ".model.pth.lock"}


def test_good(card: ModelCard, server: Server, tmp_path: Path) -> None:
    path = ensure_local(card, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "model.pth"
    assert path.read_bytes() == BODY
    assert leftovers(path.parent) == set()
    assert server.behaviour.seen[0]["User-Agent"].startswith("swinir-deploy/")


def test_the_second_call_uses_no_network(card: ModelCard, server: Server, tmp_path: Path) -> None:
    first = ensure_local(card, tmp_path)
    changed = first.stat().st_mtime_ns
    assert ensure_local(card, tmp_path) == first
    assert ensure_local(card, tmp_path, offline=True) == first
    assert first.stat().st_mtime_ns == changed
    assert len(server.behaviour.seen) == 1


def test_cut_connections_are_resumed(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after = [100_000, 200_000]
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    ranges = [seen.get("Range") for seen in server.behaviour.seen]
    assert ranges == [None, "bytes=100000-", "bytes=300000-"]
    assert server.behaviour.seen[1]["If-Range"] == '"v1"'
    assert leftovers(tmp_path) == set()


def test_a_later_call_resumes(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after = [1000] * 6
    with pytest.raises(DownloadError, match="6,000 bytes are kept") as caught:
        ensure_local(card, tmp_path)
    assert "6,000 of 1,048,576" in str(caught.value)
    assert str(tmp_path / "model.pth") in str(caught.value)
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert server.behaviour.seen[-1]["Range"] == "bytes=6000-"


def test_a_server_without_range_starts_again(
    card: ModelCard, server: Server, tmp_path: Path
) -> None:
    server.behaviour.ranges = False
    server.behaviour.cut_after = [100_000, 200_000]
    assert ensure_local(card, tmp_path).read_bytes() == BODY


def test_another_version_starts_again(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.body = b"x" * len(BODY)
    server.behaviour.cut_after = [1000] * 6
    with pytest.raises(DownloadError):
        ensure_local(card, tmp_path)
    server.behaviour.body = BODY
    server.behaviour.etag = '"v2"'
    assert ensure_local(card, tmp_path).read_bytes() == BODY


def test_a_finished_partial_file_is_taken(card: ModelCard, server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.pth.partial").write_bytes(BODY)
    notes = {"url": card.url, "validator": '"v1"'}
    (tmp_path / "model.pth.partial.json").write_text(json.dumps(notes))
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert server.behaviour.seen == []


@pytest.mark.parametrize("notes", ["", "{}", '{"url": "https://elsewhere.example/x"}', "[1]"])
def test_a_partial_file_of_unknown_origin_is_not_joined(
    card: ModelCard, server: Server, tmp_path: Path, notes: str
) -> None:
    (tmp_path / "model.pth.partial").write_bytes(b"something else")
    (tmp_path / "model.pth.partial.json").write_text(notes)
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert "Range" not in server.behaviour.seen[0]


def test_a_refused_range_starts_again(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after = [1000]
    server.behaviour.status = []
    original = server.answer

    def refuse_ranges(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Range"):
            server.behaviour.seen.append({})
            handler.send_error(416)
        else:
            original(handler)

    server.answer = refuse_ranges  # type: ignore[method-assign]
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert len(server.behaviour.seen) == 3


def test_wrong_hash(card: ModelCard, server: Server, tmp_path: Path) -> None:
    wrong = replace(card, sha256=OTHER_SHA256)
    with pytest.raises(DownloadError) as caught:
        ensure_local(wrong, tmp_path)
    for part in (SHA256, OTHER_SHA256, "was deleted", card.url, str(tmp_path / "model.pth")):
        assert part is not None
        assert part in str(caught.value)
    assert leftovers(tmp_path) == set()
    assert not (tmp_path / "model.pth").exists()
    assert ensure_local(card, tmp_path).read_bytes() == BODY


def test_wrong_size(card: ModelCard, server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        ensure_local(replace(card, size_bytes=5), tmp_path)
    assert "1,048,576 bytes; 5 are published" in str(caught.value)
    assert leftovers(tmp_path) == set()
    assert len(server.behaviour.seen) == 1


@pytest.mark.parametrize("extra", [b"", b"more than that" * 5000])
def test_an_answer_without_length(
    card: ModelCard, server: Server, tmp_path: Path, extra: bytes
) -> None:
    server.behaviour.no_length = True
    server.behaviour.body = BODY + extra
    if extra:
        with pytest.raises(DownloadError, match="wrong size"):
            ensure_local(card, tmp_path)
        assert leftovers(tmp_path) == set()
    else:
        assert ensure_local(card, tmp_path).read_bytes() == BODY


def test_404_is_not_tried_again(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.status = [404] * 9
    with pytest.raises(DownloadError, match="404") as caught:
        ensure_local(card, tmp_path)
    assert "place it at" in str(caught.value)
    assert len(server.behaviour.seen) == 1


def test_a_busy_server_is_tried_again(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.status = [503, 429, 500]
    assert ensure_local(card, tmp_path).read_bytes() == BODY


def test_server_down(card: ModelCard, server: Server, tmp_path: Path) -> None:
    down = Server()
    url = down.url()
    down.close()
    with pytest.raises(DownloadError, match="2 attempts") as caught:
        ensure_local(replace(card, url=url), tmp_path)
    for part in (url, "HTTPS_PROXY", "place it at"):
        assert part in str(caught.value)


def test_redirects_are_followed_with_their_range(
    card: ModelCard, server: Server, tmp_path: Path
) -> None:
    server.behaviour.redirect_to = server.url("/moved")
    server.behaviour.cut_after = [1000]
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert server.behaviour.seen[-1]["Range"] == "bytes=1000-"


@pytest.mark.parametrize("place", ["http://models.example/x", "ftp://127.0.0.1/x"])
def test_a_redirect_to_an_open_line_is_refused(
    card: ModelCard, server: Server, tmp_path: Path, place: str
) -> None:
    server.behaviour.redirect_to = place
    with pytest.raises(DownloadError):
        ensure_local(card, tmp_path)
    assert not (tmp_path / "model.pth").exists()


@pytest.mark.parametrize("url", ["http://models.example/x", "file:///etc/passwd", "ftp://h/x"])
def test_only_https(card: ModelCard, tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only https"):
        ensure_local(replace(card, url=url), tmp_path)


def test_a_redirect_from_outside_may_not_enter_this_machine() -> None:
    with pytest.raises(DownloadError, match="only https"):
        transfer._check_url("http://127.0.0.1/x", came_from="https://models.example/x")


def test_no_published_checksum(
    card: ModelCard, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_card = replace(card, sha256=None, size_bytes=None)
    with caplog.at_level(logging.WARNING):
        path = ensure_local(open_card, tmp_path)
    assert "no published checksum" in caplog.text
    assert SHA256 in caplog.text
    assert json.loads((tmp_path / "model.pth.seen.json").read_text())["sha256"] == SHA256

    caplog.clear()
    assert ensure_local(open_card, tmp_path) == path
    assert caplog.text == ""

    path.unlink()
    server.behaviour.body = b"something else"
    with pytest.raises(DownloadError) as caught:
        ensure_local(open_card, tmp_path)
    for part in (SHA256, hashlib.sha256(b"something else").hexdigest(), "seen.json"):
        assert part in str(caught.value)
    assert not path.exists()


def test_without_any_validator_or_hash_bytes_are_not_joined(
    card: ModelCard, server: Server, tmp_path: Path
) -> None:
    server.behaviour.etag = None
    server.behaviour.cut_after = [1000]
    assert ensure_local(replace(card, sha256=None), tmp_path).read_bytes() == BODY
    assert all("Range" not in seen for seen in server.behaviour.seen)


def test_concurrent_downloads_fetch_once(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.hold = threading.Event()
    results: list[Path] = []
    threads = [
        threading.Thread(target=lambda: results.append(ensure_local(card, tmp_path)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    server.behaviour.hold.set()
    for thread in threads:
        thread.join(20)
    assert [path.read_bytes() for path in results] == [BODY] * 3
    assert len(server.behaviour.seen) == 1


def test_two_processes_fetch_once(card: ModelCard, server: Server, tmp_path: Path) -> None:
    server.behaviour.hold = threading.Event()
    command = [sys.executable, "-c", DOWNLOAD, server.url(), str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    while not server.behaviour.seen:
        assert all(process.poll() is None for process in running)
    server.behaviour.hold.set()
    outputs = [process.communicate(timeout=30)[0].strip() for process in running]
    assert outputs == [str(tmp_path / "model.pth")] * 2
    assert len(server.behaviour.seen) == 1


def test_a_killed_download_leaves_no_half_file(
    card: ModelCard, server: Server, tmp_path: Path
) -> None:
    server.behaviour.hold = threading.Event()
    server.behaviour.hold_after = 1 << 19
    process = subprocess.Popen([sys.executable, "-c", DOWNLOAD, server.url(), str(tmp_path)])
    partial = tmp_path / "model.pth.partial"
    deadline = time.monotonic() + 30
    while not partial.exists() or partial.stat().st_size < 1 << 18:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "model.pth").exists()
    server.behaviour.hold.set()
    server.behaviour.hold_after = 0
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert server.behaviour.seen[-1]["Range"] != "bytes=0-"
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("damage", [b"cut", b"x" * len(BODY)])
def test_a_damaged_cached_file_is_set_aside(
    card: ModelCard,
    server: Server,
    tmp_path: Path,
    damage: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "model.pth").write_bytes(damage)
    with pytest.raises(DownloadError, match="offline"):
        ensure_local(card, tmp_path, offline=True)
    assert (tmp_path / "model.pth").read_bytes() == damage
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert (tmp_path / "model.pth.mismatch").read_bytes() == damage
    assert "downloading again" in caplog.text


def test_offline_without_the_file(card: ModelCard, server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        ensure_local(card, tmp_path, offline=True)
    for part in ("offline", "not there", card.url, SHA256, str(tmp_path / "model.pth")):
        assert part is not None
        assert part in str(caught.value)
    assert server.behaviour.seen == []


def test_a_file_placed_by_hand_is_taken(card: ModelCard, server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(BODY)
    assert ensure_local(card, tmp_path).read_bytes() == BODY
    assert server.behaviour.seen == []


def test_a_cache_that_cannot_be_written(card: ModelCard, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DownloadError, match=CACHE_VARIABLE):
        ensure_local(card, tmp_path / "file" / "cache")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "env"))
    assert cache_folder() == tmp_path / "env"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name in ("swinir-deploy", "Cache")


def test_a_built_in_model_needs_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = load_catalog().get("tiny-sr-x4")
    with pytest.raises(CheckpointError, match="Install swinir-deploy again"):
        ensure_local(replace(tiny, file="missing.safetensors"), offline=True)
    weights = Path(transfer.__file__).with_name("weights") / tiny.file
    if not weights.is_file():
        pytest.skip("tiny-sr-x4 is not trained yet")
    assert ensure_local(tiny, offline=True) == weights


def test_no_bar_unless_stderr_is_a_terminal(
    card: ModelCard, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ensure_local(card, tmp_path, progress=True)
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_a_terminal(
    card: ModelCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ensure_local(card, tmp_path, progress=True)
    assert "model.pth" in capsys.readouterr().err
