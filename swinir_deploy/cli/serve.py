"""``swinir-deploy serve``."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.cli.options import (
    MemorySize,
    ModelRequest,
    common_options,
    given,
    model_options,
    runtime_options,
)
from swinir_deploy.cli.output import Output
from swinir_deploy.cli.selection import select_model
from swinir_deploy.errors import InputError, UsageError
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.models.find import FoundModel

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy serve --task sr --scale 4
  swinir-deploy serve x2.onnx x4.onnx --port 8080 --workers 8
  swinir-deploy serve x4.engine --host 0.0.0.0 --batch 8 --batch-delay-ms 5 --token-file token.txt
  curl --data-binary @photo.jpg 'http://127.0.0.1:8000/v1/restore?format=png' -o photo-x4.png

http://127.0.0.1:8000/ is a page to drop a picture on, /docs describes all addresses.
"""


@click.command("serve", epilog=EPILOG)
@click.argument("named", metavar="[MODEL]..", nargs=-1, type=click.Path())
@model_options
@runtime_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Pictures that are worked on at the same time.  [default: 4]",
)
@click.option(
    "--queue",
    "waiting",
    type=click.IntRange(0),
    metavar="N",
    help="Pictures that may wait for a worker; further requests get 429.  [default: 64]",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Most tiles in a run, of all requests together.  [default: 1]",
)
@click.option(
    "--batch-delay-ms",
    type=click.FloatRange(0),
    default=0.0,
    metavar="MS",
    help="How long a batch that is not full waits for more tiles.  [default: 0]",
)
@click.option(
    "--max-body", type=MemorySize(), metavar="SIZE", help="Largest body.  [default: 64MiB]"
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    help="Largest picture, in pixels.  [default: 50000000]",
)
@click.option(
    "--max-memory",
    type=MemorySize(),
    metavar="SIZE",
    help="Most memory of one picture, without the model.  [default: no limit]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Longest time for a picture, in seconds; then the answer is 504.  [default: 300]",
)
@click.option(
    "--body-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Longest time for a body to arrive, in seconds.  [default: 60]",
)
@click.option(
    "--token-file",
    type=click.Path(),
    metavar="FILE",
    help="Ask clients for the token in this file ('Authorization: Bearer TOKEN').",
)
@click.option(
    "--work-folder",
    type=click.Path(),
    metavar="DIR",
    help="Where pictures lie while they are worked on.  [default: the system's temporary folder]",
)
@common_options
def command(
    out: Output,
    named: tuple[str, ...],
    request: ModelRequest,
    host: str,
    port: int,
    workers: int | None,
    waiting: int | None,
    batch: int,
    batch_delay_ms: float,
    max_body: int | None,
    max_pixels: int | None,
    max_memory: int | None,
    timeout: float | None,
    body_timeout: float | None,
    token_file: str | None,
    work_folder: str | None,
    backend: str | None,
    device: str | None,
    **options: Any,
) -> None:
    """Restore pictures for others over HTTP.

    Answers with what 'restore' writes, byte by byte. The models stay open, and tiles of all
    requests share one queue. SIGTERM finishes what was taken and takes no more.
    """
    require("serve", "Serving")
    token = None if token_file is None else _token(token_file)
    folder = None if work_folder is None else _folder(work_folder)
    found = _models(named, request, out)
    from swinir_deploy.exports.open import open_model
    from swinir_deploy.serving.metrics import Metrics
    from swinir_deploy.serving.server import run_server
    from swinir_deploy.serving.service import Service
    from swinir_deploy.serving.settings import Limits

    limits = Limits(
        **given(
            workers=workers,
            waiting=waiting,
            body_bytes=max_body,
            pixels=max_pixels,
            memory_bytes=max_memory,
            seconds=timeout,
            body_seconds=body_timeout,
        )
    )
    loading = {"load_options": request.weights, **out.loading}
    with ExitStack() as stack:
        runtimes = {
            name: stack.enter_context(
                open_model(model, backend, device, **loading, **given(**options))
            )
            for name, model in found.items()
        }
        metrics = Metrics()
        service = Service(
            runtimes,
            limits,
            batch,
            batch_delay_ms / 1e3,
            lambda model, tiles: metrics.tiles.labels(model).observe(tiles),
        )
        _log_to_stderr(out.quiet)

        def started(address: str) -> None:
            out.say(f"Serving {', '.join(runtimes)} on {address} (Ctrl-C stops)")

        run_server(service, metrics, host, port, token=token, folder=folder, on_start=started)


def _models(named: tuple[str, ...], request: ModelRequest, out: Output) -> dict[str, FoundModel]:
    """Return the models by the names that clients use: ids, or names of files without suffix."""
    names = [name for name in (request.model, *named) if name is not None]
    requests = [replace(request, model=name) for name in names] or [request]
    found: dict[str, FoundModel] = {}
    for one in requests:
        model = select_model(one, out, "serve --task sr --scale 4")
        name = model.card.id if model.card is not None else Path(model.name).stem
        if name in found:
            raise UsageError(f"Two models are named {name}. Rename one of the files.")
        found[name] = model
    return found


def _token(path: str) -> str:
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Cannot read {path}: {error}. Give a file that holds the token."
        ) from error
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{path} holds no token: it must be one word of at least 16 letters, digits or signs. "
            "Make one with 'openssl rand -hex 32'."
        )
    return token


def _folder(path: str) -> Path:
    if not Path(path).is_dir():
        raise InputError(f"{path} is no folder. Make it first (mkdir -p {path}).")
    return Path(path)


def _log_to_stderr(quiet: bool) -> None:
    log = logging.getLogger("swinir_deploy.access")
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.propagate = False
    log.setLevel(logging.WARNING if quiet else logging.INFO)
