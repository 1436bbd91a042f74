"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from swinir_deploy.serving.service import Service

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TILES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The numbers of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "swinir_requests", "Requests by status.", ["code"], registry=self.registry
        )
        self.seconds = Histogram(
            "swinir_request_seconds",
            "Seconds from the request to the last byte of its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.pixels = Counter(
            "swinir_pixels", "Pixels of restored pictures.", ["side"], registry=self.registry
        )
        self.tiles = Histogram(
            "swinir_batch_tiles",
            "Tiles in a run.",
            ["model"],
            buckets=_TILES,
            registry=self.registry,
        )
        self._waiting = Gauge("swinir_waiting", "Pictures that wait.", registry=self.registry)
        self._running = Gauge(
            "swinir_running", "Pictures that are worked on.", registry=self.registry
        )
        self._queued = Gauge(
            "swinir_queued_tiles", "Tiles that wait.", ["model"], registry=self.registry
        )

    def watch(self, service: Service) -> None:
        """Read the gauges from a service whenever they are asked for."""
        self._waiting.set_function(lambda: service.waiting)
        self._running.set_function(lambda: service.running)
        for name, queue in service.queues.items():
            self._queued.labels(name).set_function(queue.__len__)

    def text(self) -> bytes:
        """Return all numbers in the format that Prometheus reads."""
        return generate_latest(self.registry)
