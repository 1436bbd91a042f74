"""A service that listens on a port of this machine, in a thread, and a plain client for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from swinir_deploy.runtimes import Runtime
from swinir_deploy.serving.app import make_app
from swinir_deploy.serving.metrics import Metrics
from swinir_deploy.serving.service import Service
from swinir_deploy.serving.settings import Limits

__all__ = ["Answer", "Client", "serving"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    port: int
    service: Service
    headers: dict[str, str] = field(default_factory=dict)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def __call__(
        self, path: str, body: bytes | None = None, method: str = "", **headers: str
    ) -> Answer:
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body, {**self.headers, **named})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()

    def number(self, name: str) -> float:
        """One number of /metrics, 0 if it is not there."""
        for line in self("/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextlib.contextmanager
def serving(
    runtimes: Mapping[str, Runtime],
    folder: Path,
    limits: Limits | None = None,
    token: str | None = None,
    batch: int = 1,
    delay_s: float = 0.0,
) -> Iterator[Client]:
    """Serve until the end of the block; nothing may be left in the folder then."""
    service = Service(runtimes, limits, batch, delay_s)
    app = make_app(service, Metrics(), token=token, folder=folder)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        until = time.monotonic() + 30
        while not (server.started and service.is_ready):
            assert time.monotonic() < until and thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Client(port, service)
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()
    assert list(folder.iterdir()) == []
