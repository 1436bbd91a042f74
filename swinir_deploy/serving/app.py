"""The HTTP application: an address for each thing that the service does."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swinir_deploy.errors import SwinIRDeployError
from swinir_deploy.pictures.formats import FORMATS, PICTURE_SUFFIXES
from swinir_deploy.restoration.reports import RestoredFile
from swinir_deploy.serving.metrics import CONTENT_TYPE, Metrics
from swinir_deploy.serving.openapi import openapi
from swinir_deploy.serving.problems import CLIENT_CLOSED, ProblemError, problem_of
from swinir_deploy.serving.service import (
    Order,
    Service,
    check_order,
    suffixes_for,
)
from swinir_deploy.serving.ticket import Ticket
from swinir_deploy.serving.uploads import receive_picture

__all__ = ["header_text", "make_app"]

ACCESS_LOG = logging.getLogger("swinir_deploy.access")
"""One line of JSON a request."""

_FILES = files("swinir_deploy.serving") / "pages"
_SWAGGER = ("swagger_ui_bundle", "vendor/swagger-ui-4.15.5")
_HEAD_BYTES = 64
_PIECE_BYTES = 1 << 18
_OPEN_WITHOUT_TOKEN = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")
_OPEN_FOLDERS = ("/static/", "/swagger/")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        b"frame-ancestors 'none'",
    ),
)


def make_app(
    service: Service,
    metrics: Metrics,
    *,
    token: str | None = None,
    folder: Path | None = None,
) -> ASGIApp:
    """Return the application for a service.

    Args:
        service: the service; it is closed when the application shuts down.
        metrics: what to count into.
        token: what clients must send as ``Authorization: Bearer TOKEN``; None asks for nothing.
        folder: where pictures lie while they are worked on; None takes the system's.
    """
    pages = _Pages(service, metrics, folder)
    metrics.watch(service)
    document = openapi(service, token is not None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        warm = asyncio.ensure_future(run_in_threadpool(_warm_up, service))
        try:
            yield
        finally:
            await warm
            await run_in_threadpool(service.close)

    app = Starlette(
        routes=[
            Route("/", pages.start),
            Route("/docs", pages.docs),
            Route("/openapi.json", lambda request: JSONResponse(document)),
            Route("/healthz", lambda request: PlainTextResponse("ok\n")),
            Route("/readyz", pages.ready),
            Route("/metrics", pages.numbers),
            Route("/v1/models", pages.models),
            Route("/v1/restore", pages.restore, methods=["POST"]),
            Mount("/static", StaticFiles(directory=str(_FILES))),
            Mount("/swagger", StaticFiles(packages=[_SWAGGER])),
        ],
        exception_handlers={
            ProblemError: _answer_problem,
            ClientDisconnect: _nobody,
            404: _not_found,
            405: _not_found,
        },
        lifespan=lifespan,
    )
    return _Gate(app, metrics, token)


def _warm_up(service: Service) -> None:
    try:
        service.warm_up()
    except SwinIRDeployError as error:  # /readyz says so for ever
        logging.getLogger(__name__).error("The models cannot run: %s", error)


class _Pages:
    """The answers."""

    def __init__(self, service: Service, metrics: Metrics, folder: Path | None) -> None:
        self._service, self._metrics, self._folder = service, metrics, folder

    async def start(self, request: Request) -> Response:
        return HTMLResponse(_page("index.html"))

    async def docs(self, request: Request) -> Response:
        return HTMLResponse(_page("docs.html"))

    async def ready(self, request: Request) -> Response:
        if self._service.is_ready:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503, {"Retry-After": "1"})

    async def numbers(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def models(self, request: Request) -> Response:
        listed = []
        for name, queue in self._service.queues.items():
            spec = queue.runtime.spec
            listed.append(
                {
                    "name": name,
                    "task": spec.task,
                    "scale": spec.scale,
                    "channels": spec.in_chans,
                    "precision": spec.precision,
                    "backend": spec.backend,
                    "device": spec.device,
                    "source_sha256": spec.source_sha256,
                }
            )
        limits = self._service.limits
        return JSONResponse(
            {"models": listed, "max_pixels": limits.pixels, "max_body_bytes": limits.body_bytes}
        )

    async def restore(self, request: Request) -> Response:
        service = self._service
        order = _order_of(request)
        service.check_room()
        try:
            check_order(order)
            service.queue_of(order.model)
        except SwinIRDeployError as error:
            raise problem_of(error, {}) from error
        request.scope["swinir_model"] = order.model or next(iter(service.queues))
        folder = Path(tempfile.mkdtemp(prefix="swinir-", dir=self._folder))
        try:
            source = folder / "picture"
            await receive_picture(request, source, service.limits)
            with open(source, "rb") as handle:
                suffix, result_suffix = suffixes_for(handle.read(_HEAD_BYTES), order)
            source = source.rename(source.with_suffix(suffix))
            target = folder / f"result{result_suffix}"
            with service.place():
                done = await self._worked(request, source, target, order)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._metrics.pixels.labels("in").inc(done.width * done.height)
        self._metrics.pixels.labels("out").inc(done.target_width * done.target_height)
        return _PictureResponse(done, folder)

    async def _worked(
        self, request: Request, source: Path, target: Path, order: Order
    ) -> RestoredFile:
        """Wait for the result; stop the work if the client goes away."""
        ticket = Ticket(self._service.limits.seconds)
        work = asyncio.wrap_future(self._service.submit(source, target, order, ticket))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                ticket.cancel()
                work.cancel()  # if no thread has begun it
                await asyncio.wait({work})
                raise ClientDisconnect
            done: RestoredFile = work.result()
            return done
        except asyncio.CancelledError:
            ticket.cancel()
            raise
        finally:
            gone.cancel()


class _PictureResponse(Response):
    """A result file, sent in pieces; its folder is removed at the end, whatever happens."""

    def __init__(self, done: RestoredFile, folder: Path) -> None:
        self._path, self._folder = done.target, folder
        kind = FORMATS[PICTURE_SUFFIXES[done.target.suffix]]
        super().__init__(media_type=kind.media_type)
        self.headers["content-length"] = str(done.target.stat().st_size)
        self.headers["content-disposition"] = f'inline; filename="restored{done.target.suffix}"'
        self.headers["x-size"] = f"{done.target_width}x{done.target_height}"
        if done.notes:
            self.headers["x-notes"] = header_text(done.notes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            with open(self._path, "rb") as handle:
                while piece := handle.read(_PIECE_BYTES):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def header_text(notes: Iterable[str]) -> str:
    """Return notes as the value of a header, which holds printable ASCII only."""
    return re.sub(r"[^ -~]", "?", " ".join(notes))


class _Gate:
    """Around the application: tokens, counting, the access log, headers of all answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str | None) -> None:
        self._app, self._metrics = app, metrics
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size = time.perf_counter(), CLIENT_CLOSED, 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            if self._is_refused(scope):
                problem = ProblemError(
                    401,
                    "Send the token as 'Authorization: Bearer TOKEN'.",
                    {"WWW-Authenticate": "Bearer"},
                )
                await _answer(problem)(scope, receive, counted)
            else:
                await self._app(scope, receive, counted)
        except ClientDisconnect:
            pass
        finally:
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(str(status)).inc()
            model = scope.get("swinir_model")
            if model is not None:
                self._metrics.seconds.labels(model).observe(seconds)
            client = scope.get("client") or ("", 0)
            ACCESS_LOG.info(
                json.dumps(
                    {
                        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                        "client": client[0],
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "bytes": size,
                        "seconds": round(seconds, 4),
                        **({"model": model} if model is not None else {}),
                    }
                )
            )

    def _is_refused(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._token is None or path in _OPEN_WITHOUT_TOKEN or path.startswith(_OPEN_FOLDERS):
            return False
        sent = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, value = sent.partition(b" ")
        return kind.lower() != b"bearer" or not hmac.compare_digest(value.strip(), self._token)


async def _disconnected(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _order_of(request: Request) -> Order:
    """Return what the query and the Accept header ask for.

    Raises:
        ProblemError: a parameter is unknown or no number.
    """
    values: dict[str, Any] = {}
    for name, value in request.query_params.items():
        if name in ("quality", "tile"):
            if not value.isdecimal() or len(value) > 6:
                raise ProblemError(422, f"{name} is {value[:40]!r}; it must be a whole number.")
            values[name] = int(value)
        elif name == "strip":
            values[name] = value.lower() in ("", "1", "true", "yes")
        elif name in ("model", "format"):
            values[name] = value[:200]
        else:
            known = "model, format, quality, tile and strip"
            raise ProblemError(422, f"Unknown parameter {name[:40]!r}. There are {known}.")
    if not values.get("format"):
        values["format"] = _accepted(request.headers.get("accept", ""))
    return Order(**values)


def _accepted(accept: str) -> str:
    """Return the suffix of the first kind of picture that an Accept header names, or nothing."""
    kinds = {kind.media_type: kind for kind in FORMATS.values()}
    for entry in accept.split(","):
        kind = kinds.get(entry.partition(";")[0].strip().lower())
        if kind is not None:
            return kind.suffixes[0][1:]
    return ""


def _page(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _answer(problem: ProblemError) -> Response:
    return JSONResponse(
        problem.to_dict(), problem.status, problem.headers, "application/problem+json"
    )


async def _answer_problem(request: Request, error: Any) -> Response:
    return _answer(error)


async def _nobody(request: Request, error: Any) -> Response:
    return Response(status_code=CLIENT_CLOSED)


async def _not_found(request: Request, error: Any) -> Response:
    words = {404: "There is nothing here. /docs lists what there is.", 405: "Use POST."}
    return _answer(
        ProblemError(error.status_code, words[error.status_code], dict(error.headers or {}))
    )
