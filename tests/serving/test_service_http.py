"""The addresses of the service, over a real socket."""

from __future__ import annotations

import io
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runtimes import FakeRuntime
from PIL import Image
from running import Client, serving

from swinir_deploy.serving.app import header_text
from swinir_deploy.serving.settings import Limits

LIMITS = Limits(body_bytes=1 << 20, pixels=200 * 200, waiting=2, workers=2, body_seconds=2.0)


def encoded(side: int = 20, kind: str = "PNG", seed: int = 0, **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 3, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def doubled(picture: bytes) -> Any:
    pixels = np.asarray(Image.open(io.BytesIO(picture)))
    return pixels.repeat(2, 0).repeat(2, 1)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


class SlowRuntime(FakeRuntime):
    """Waits in each run until it is told to go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs = 0
        super().__init__()

    def _infer(self, batch: Any) -> Any:
        self.runs += 1
        if self.runs > 1:  # the first is to warm up
            assert self.go.wait(30)
        return super()._infer(batch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with FakeRuntime() as runtime, serving({"x2": runtime, "b": runtime}, folder, LIMITS) as found:
        yield found


# ----------------------------------------------------------------------------------- what works


def test_a_picture_as_the_body(client: Client) -> None:
    picture = encoded()
    answer = client("/v1/restore", picture)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["x-size"] == "46x40"
    assert np.array_equal(np.asarray(opened(answer.body)), doubled(picture))


def test_a_picture_in_a_form(client: Client) -> None:
    picture = encoded(kind="TIFF")
    head = (
        b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nnot the picture\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="a"; filename="a.tif"\r\n\r\n'
    )
    other = b'\r\n--xyz\r\nContent-Disposition: form-data; name="b"; filename="b"\r\n\r\nnone'
    body = head + picture + other + b"\r\n--xyz--\r\n"
    answer = client("/v1/restore", body, content_type="multipart/form-data; boundary=xyz")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/tiff")
    assert np.array_equal(np.asarray(opened(answer.body)), doubled(picture))


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "", "JPEG"),
        ("?format=png", "", "PNG"),
        ("?format=.TIF", "image/webp", "TIFF"),
        ("", "image/webp", "WEBP"),
        ("", "text/html, image/png;q=0.5, */*", "PNG"),
        ("", "image/*", "JPEG"),
    ],
)
def test_the_format_of_the_result(client: Client, query: str, accept: str, kind: str) -> None:
    answer = client(f"/v1/restore{query}", encoded(kind="JPEG"), accept=accept)
    assert answer.status == 200
    assert opened(answer.body).format == kind


def test_quality_tile_and_strip(client: Client) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    picture = encoded(60, "JPEG", exif=exif)
    plain = client("/v1/restore", picture)
    small = client("/v1/restore?quality=10&tile=16&strip=1", picture)
    assert len(small.body) < len(plain.body) / 2
    assert opened(plain.body).getexif()[0x010E] == "a description"
    assert 0x010E not in opened(small.body).getexif()


def test_what_was_converted_is_said(client: Client) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(stream, "PNG")
    answer = client("/v1/restore", stream.getvalue())
    assert "luma" in answer.headers["x-notes"]


def test_a_note_cannot_add_a_header() -> None:
    assert header_text(["a\r\nSet-Cookie: x", "b\u202e\xe9"]) == "a??Set-Cookie: x b??"


def test_models_health_and_the_pages(client: Client) -> None:
    document = client("/v1/models").json
    assert [model["name"] for model in document["models"]] == ["x2", "b"]
    assert document["models"][0]["scale"] == 2
    assert client("/healthz").status == client("/readyz").status == 200
    start = client("/")
    assert b"<title>Restore a picture" in start.body
    assert "default-src 'self'" in start.headers["content-security-policy"]
    for path in ("/static/start.js", "/static/start.css", "/swagger/swagger-ui-bundle.js", "/docs"):
        assert client(path).status == 200, path
    for page in ("/", "/docs"):
        assert b"http" not in client(page).body.replace(b"https://", b"http://"), page
    document = client("/openapi.json").json
    parameters = document["paths"]["/v1/restore"]["post"]["parameters"]
    assert parameters[0]["schema"]["enum"] == ["x2", "b"]
    assert document["openapi"].startswith("3.0")


def test_what_is_counted(client: Client) -> None:
    client("/v1/restore?model=b", encoded(20))
    client("/v1/restore", b"nothing")
    assert client.number('swinir_requests_total{code="200"}') >= 1
    assert client.number('swinir_requests_total{code="415"}') == 1
    assert client.number('swinir_request_seconds_count{model="b"}') == 1
    assert client.number('swinir_pixels_total{side="in"}') == 20 * 23
    assert client.number('swinir_pixels_total{side="out"}') == 4 * 20 * 23
    assert client.number("swinir_running") == client.number("swinir_waiting") == 0


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("query", "body", "status", "words"),
    [
        ("", b"", 400, "no picture"),
        ("", b"#!/bin/sh", 415, "which is not a PNG"),
        ("", b"%PDF-1.7", 415, "a PDF"),
        ("", encoded()[:200], 422, "damaged or cut"),
        ("", encoded(240), 422, "pixels"),
        ("?model=none", encoded(), 404, "x2, b"),
        ("?format=psd", encoded(), 422, "psd"),
        ("?quality=0", encoded(), 422, "1 to 100"),
        ("?quality=high", encoded(), 422, "whole number"),
        ("?tile=-1", encoded(), 422, "whole number"),
        ("?scale=4", encoded(), 422, "scale"),
        ("?format=gif&model=x2", encoded(), 200, ""),
    ],
)
def test_each_fault_has_its_status_and_a_sentence(
    client: Client, folder: Path, query: str, body: bytes, status: int, words: str
) -> None:
    answer = client(f"/v1/restore{query}", body)
    assert answer.status == status
    if status == 200:
        return
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status and answer.json["title"]
    assert words in answer.json["detail"]
    assert str(folder) not in answer.json["detail"]
    assert "/tmp" not in answer.json["detail"]


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("multipart/form-data", b"x", "no boundary"),
        ("multipart/form-data; boundary=xyz", b"x" * 100, "damaged"),
        ("multipart/form-data; boundary=xyz", b'--xyz\r\nContent-Disposition: form-data; name="a"'
         b"\r\n\r\nb\r\n--xyz--\r\n", "no file"),
        ("multipart/form-data; boundary=xyz", b'--xyz\r\nContent-Disposition: form-data; name="a";'
         b' filename="a"\r\n\r\nabc', "too early"),
    ],
)  # fmt: skip
def test_broken_forms(client: Client, kind: str, body: bytes, words: str) -> None:
    answer = client("/v1/restore", body, content_type=kind)
    assert answer.status == 400 and words in answer.json["detail"]


def test_other_addresses_and_methods(client: Client) -> None:
    assert client("/nothing").status == 404
    assert client("/v1/restore", method="GET").status == 405
    assert client("/static/../app.py").status == 404


def test_a_large_body_is_refused_with_and_without_its_length(client: Client) -> None:
    assert client("/v1/restore", bytes(LIMITS.body_bytes + 1)).status == 413
    connection = client.connect()
    pieces = (bytes(1 << 16) for _ in range(40))
    try:
        connection.request("POST", "/v1/restore", pieces, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # the service does not read what it refused
    connection.close()


def test_a_slow_sender_gets_408(client: Client) -> None:
    connection = client.connect()
    connection.putrequest("POST", "/v1/restore")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b"\x89PNG")
    answer = connection.getresponse()
    assert answer.status == 408 and b"did not arrive" in answer.read()
    connection.close()


def test_a_token(folder: Path) -> None:
    token = "correct-horse-battery"
    with FakeRuntime() as runtime, serving({"x2": runtime}, folder, LIMITS, token) as client:
        assert client("/healthz").status == client("/readyz").status == 200
        for wrong in ("", "Bearer", f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}"):
            answer = client("/v1/restore", encoded(), authorization=wrong)
            assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert token not in answer.body.decode()
        for path in ("/metrics", "/v1/models", "/staticx", "/static"):
            assert client(path).status == 401, path
        for path in ("/", "/docs", "/static/start.js"):
            assert client(path).status == 200, path
        assert "x2" not in client("/openapi.json").body.decode()
        answer = client("/v1/restore", encoded(), authorization=f"Bearer {token}")
        assert answer.status == 200


# -------------------------------------------------------------------------------- under pressure


def test_a_full_queue_says_when_to_come_again(folder: Path) -> None:
    with SlowRuntime() as runtime, serving({"x2": runtime}, folder, LIMITS) as client:
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(client("/v1/restore", encoded()).status))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while client.service.running + client.service.waiting < 4:
            time.sleep(0.01)
        answer = client("/v1/restore", encoded())
        assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
        assert client("/healthz").status == 200
        runtime.go.set()
        for thread in threads:
            thread.join(30)
        assert found == [200] * 4
        assert client("/v1/restore", encoded()).status == 200


def test_a_client_that_goes_away_stops_its_work(folder: Path) -> None:
    with SlowRuntime() as runtime, serving({"x2": runtime}, folder, LIMITS) as client:
        picture = encoded(150)
        gone = socket.create_connection(("127.0.0.1", client.port))
        request = f"POST /v1/restore?tile=16 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(picture)}"
        gone.sendall(f"{request}\r\n\r\n".encode() + picture)
        while client.service.running < 1:
            time.sleep(0.01)
        gone.close()
        while client.service.queues["x2"].runtime is runtime and client.service.running:
            runtime.go.set()
            time.sleep(0.01)
        assert runtime.runs < 20, "a picture of 100 tiles was not computed to its end"
        assert client("/v1/restore", encoded()).status == 200
        assert client.number('swinir_requests_total{code="499"}') == 1


def test_a_deadline_gives_504(folder: Path) -> None:
    limits = Limits(seconds=0.3)
    with SlowRuntime() as runtime, serving({"x2": runtime}, folder, limits) as client:
        answer = client("/v1/restore", encoded())
        assert answer.status == 504 and "in time" in answer.json["detail"]
        runtime.go.set()
        assert client("/v1/restore", encoded()).status == 200


def test_stopping_finishes_what_runs_and_takes_no_more(folder: Path) -> None:
    with SlowRuntime() as runtime, serving({"x2": runtime}, folder, LIMITS) as client:
        found: list[int] = []
        thread = threading.Thread(
            target=lambda: found.append(client("/v1/restore", encoded()).status)
        )
        thread.start()
        while client.service.running < 1:
            time.sleep(0.01)
        client.service.stop()
        answer = client("/v1/restore", encoded())
        assert answer.status == 503 and answer.headers["retry-after"]
        assert client("/readyz").status == 503
        runtime.go.set()
        thread.join(30)
        assert found == [200]


@pytest.mark.slow
def test_mutated_bodies_crash_nothing(client: Client) -> None:
    """1,000 of them: no answer but those of the table, and the service goes on."""
    chance = random.Random(3)
    seeds = [encoded(12, kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")]
    statuses: dict[int, int] = {}
    for turn in range(1000):
        body = bytearray(seeds[turn % len(seeds)])
        for _ in range(chance.randint(1, 8)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        if chance.random() < 0.3:
            del body[chance.randrange(len(body)) :]
        status = client("/v1/restore?format=png", bytes(body)).status
        statuses[status] = statuses.get(status, 0) + 1
    assert set(statuses) <= {200, 400, 415, 422}, statuses
    assert statuses[200] > 50 and statuses[422] > 300
    assert client("/v1/restore", encoded()).status == 200


def test_the_log_names_no_picture_and_no_path(
    client: Client, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "swinir_deploy.access"):
        client("/v1/restore?model=b", encoded())
        until = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < until:
            time.sleep(0.01)
    entry = json.loads(caplog.messages[-1])
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/restore", 200)
    assert entry["model"] == "b" and entry["bytes"] > 0 and str(folder) not in caplog.text
