"""Run the application with uvicorn, and stop it in order."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from swinir_deploy.errors import InputError
from swinir_deploy.serving.app import make_app
from swinir_deploy.serving.metrics import Metrics
from swinir_deploy.serving.service import Service
from swinir_deploy.system.termination import left_to_others

__all__ = ["run_server"]

_GRACE_S = 330
"""How long requests that were taken may still run after SIGTERM, in seconds."""

_KEEP_ALIVE_S = 30


class _Server(uvicorn.Server):
    """Tells the service at once that it is to stop, and says when it listens."""

    def __init__(self, config: uvicorn.Config, service: Service, on_start: Callable[[], None]):
        super().__init__(config)
        self._service, self._on_start = service, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again at the end; the program ends with exit code 0 instead.
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def run_server(
    service: Service,
    metrics: Metrics,
    host: str,
    port: int,
    *,
    token: str | None = None,
    folder: Path | None = None,
    on_start: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve until SIGTERM, SIGINT; then finish what was taken, and return.

    Args:
        service: the service; it is closed at the end.
        metrics: what to count into.
        host: name or address to listen on.
        port: its port; 0 takes a free one.
        token: what clients must send, or None.
        folder: where pictures lie while they are worked on; None takes the system's.
        on_start: called with the address once requests are taken.

    Raises:
        InputError: the address cannot be listened on.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        service.close()
        raise InputError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another --port or "
            "--host."
        ) from error
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        make_app(service, metrics, token=token, folder=folder),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    with listener, left_to_others():
        _Server(config, service, lambda: on_start(address)).run(sockets=[listener])
