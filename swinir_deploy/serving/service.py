"""The service without HTTP: models, workers, and what becomes of a picture."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swinir_deploy.errors import CatalogError, PictureError, SwinIRDeployError, UsageError
from swinir_deploy.pictures.formats import FORMATS, PICTURE_SUFFIXES, format_of, missing_package
from swinir_deploy.restoration.reports import RestoredFile
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.serving.problems import ProblemError, problem_of
from swinir_deploy.serving.settings import Limits
from swinir_deploy.serving.ticket import Ticket
from swinir_deploy.serving.tile_queue import RequestRuntime, TileQueue

__all__ = ["Order", "Service", "check_order", "suffixes_for"]

_WARM_SIDE = 64


@dataclass(frozen=True)
class Order:
    """What a client asks for beside the picture.

    Attributes:
        model: name of a model of the service; empty is the first.
        format: suffix of the result without its dot, such as ``png``; empty keeps that of the
            picture.
        quality: quality of formats with loss, 1 to 100, or None.
        tile: side of a tile in input pixels, or None.
        strip: whether metadata are left out.
    """

    model: str = ""
    format: str = ""
    quality: int | None = None
    tile: int | None = None
    strip: bool = False


@dataclass
class _Load:
    """How busy the service is."""

    held: int = 0  # places that are taken
    running: int = 0
    seconds: float = 1.0  # of a picture, a running mean
    lock: threading.Lock = field(default_factory=threading.Lock)


class Service:
    """Restores pictures for many clients with models that stay open.

    Args:
        runtimes: name -> an open runtime; the first is the default. They are not closed.
        limits: what is accepted.
        batch: the largest number of tiles in a run.
        delay_s: how long a batch that is not full waits for more tiles, in seconds.
        on_batch: called after each run with the model's name and the number of tiles.
    """

    def __init__(
        self,
        runtimes: Mapping[str, Runtime],
        limits: Limits | None = None,
        batch: int = 1,
        delay_s: float = 0.0,
        on_batch: Callable[[str, int], None] = lambda model, tiles: None,
    ) -> None:
        self.limits = limits or Limits()
        self.queues = {
            name: TileQueue(
                runtime, batch, delay_s, on_batch=lambda tiles, name=name: on_batch(name, tiles)
            )
            for name, runtime in runtimes.items()
        }
        self._pool = ThreadPoolExecutor(self.limits.workers, "swinir-request")
        self._load = _Load()
        self._is_ready = False
        self._is_stopping = False

    # -------------------------------------------------------------------------------------- state

    @property
    def is_ready(self) -> bool:
        """Return whether the models are warm and requests are taken."""
        return self._is_ready and not self._is_stopping

    @property
    def running(self) -> int:
        """Return how many pictures are worked on."""
        return self._load.running

    @property
    def waiting(self) -> int:
        """Return how many pictures wait for a worker."""
        return max(0, self._load.held - self._load.running)

    def warm_up(self) -> None:
        """Run each model once, so that the first request does not pay for what is made then."""
        for queue in self.queues.values():
            spec = queue.runtime.spec
            height = max(spec.min_side_px, spec.height or _WARM_SIDE)
            width = max(spec.min_side_px, spec.width or _WARM_SIDE)
            queue.runtime.warmup(height, width, spec.batch or spec.min_batch)
        self._is_ready = True

    def stop(self) -> None:
        """Take no more requests; those that were taken are finished."""
        self._is_stopping = True

    def close(self) -> None:
        """Stop, wait for what was taken, and end all threads."""
        self.stop()
        self._pool.shutdown(wait=True)
        for queue in self.queues.values():
            queue.close()

    # ------------------------------------------------------------------------------------ requests

    def check_room(self) -> None:
        """Check that a request could be taken now, before its body is read.

        Raises:
            ProblemError: the service is stopping (503), or too many requests wait (429).
        """
        if self._is_stopping:
            raise ProblemError(503, "The service is shutting down.", {"Retry-After": "5"})
        if not self._is_ready:
            raise ProblemError(503, "The service is starting.", {"Retry-After": "1"})
        if self._load.held >= self.limits.waiting + self.limits.workers:
            wait = max(1, round(self._load.seconds * self.waiting / self.limits.workers))
            raise ProblemError(
                429,
                f"{self.waiting} pictures are waiting already. Try again in {wait} s.",
                {"Retry-After": str(wait)},
            )

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue, from when a request's body is there to its result.

        Raises:
            ProblemError: as :meth:`check_room`.
        """
        with self._load.lock:
            self.check_room()
            self._load.held += 1
        try:
            yield
        finally:
            with self._load.lock:
                self._load.held -= 1

    def submit(self, source: Path, target: Path, order: Order, ticket: Ticket) -> Future[Any]:
        """Restore a picture in a worker thread.

        Args:
            source: the picture.
            target: the result, with the suffix of its format.
            order: what the client asks for.
            ticket: of the request.

        Returns:
            A future of a :class:`RestoredFile`. Its exception is a :class:`ProblemError`.
        """
        return self._pool.submit(self._restore, source, target, order, ticket)

    def _restore(self, source: Path, target: Path, order: Order, ticket: Ticket) -> RestoredFile:
        load = self._load
        with load.lock:
            load.running += 1
        began = time.perf_counter()
        try:
            ticket.check()
            queue = self.queue_of(order.model)
            with RequestRuntime(queue, ticket) as runtime:
                restorer = Restorer(runtime, order.tile, progress=False)
                return restorer.restore_file(
                    source,
                    target,
                    quality=order.quality,
                    max_pixels=self.limits.pixels,
                    max_memory_bytes=self.limits.memory_bytes,
                    strip=order.strip,
                )
        except SwinIRDeployError as error:
            folder = str(source.parent)
            shown = {str(source): "the picture", str(target): "the result", folder: "the service"}
            raise problem_of(error, shown) from error
        finally:
            with load.lock:
                load.running -= 1
                load.seconds += 0.1 * (time.perf_counter() - began - load.seconds)

    def queue_of(self, model: str) -> TileQueue:
        """Return the queue of a model by its name; the first for an empty name.

        Raises:
            CatalogError: the service does not have the model.
        """
        name = model or next(iter(self.queues))
        if name not in self.queues:
            raise CatalogError(
                f"There is no model {name!r} here; there are {', '.join(self.queues)}. Choose one."
            )
        return self.queues[name]


def suffixes_for(head: bytes, order: Order) -> tuple[str, str]:
    """Return the suffixes of a picture and of its result, such as ``(".jpg", ".png")``.

    Args:
        head: the first 64 bytes of the picture.
        order: what the client asks for.

    Raises:
        ProblemError: the picture (415) or the result (422) has a format that is not served.
    """
    try:
        kind = format_of(head, Path("the picture"))
    except PictureError as error:
        raise ProblemError(415, str(error)) from error
    missing = missing_package(kind)
    if missing:
        raise ProblemError(415, f"This service cannot read {kind} pictures. Send a PNG or JPEG.")
    source = FORMATS[kind].suffixes[0]
    target = f".{order.format.lower().lstrip('.')}" if order.format else source
    if target not in PICTURE_SUFFIXES:
        known = ", ".join(suffix[1:] for suffix in PICTURE_SUFFIXES)
        raise ProblemError(422, f"Unknown format {order.format!r}. Choose one of {known}.")
    return source, target


def check_order(order: Order) -> None:
    """Check the numbers of an order.

    Raises:
        UsageError: one of them is out of range.
    """
    if order.quality is not None and not 1 <= order.quality <= 100:
        raise UsageError(f"quality is {order.quality}; it must be from 1 to 100.")
    if order.tile is not None and order.tile < 0:
        raise UsageError(f"tile is {order.tile}; it must be 0 or a number of pixels.")
