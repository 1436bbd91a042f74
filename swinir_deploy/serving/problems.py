"""Every way a request can fail: its status, and a sentence in JSON (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from swinir_deploy.errors import (
    BackendUnavailableError,
    CatalogError,
    CheckFailedError,
    DeviceMemoryError,
    InputError,
    PictureError,
    RuntimeClosedError,
    SwinIRDeployError,
    UsageError,
)
from swinir_deploy.serving.ticket import DeadlineError, GoneError

__all__ = ["ProblemError", "problem_of"]

CLIENT_CLOSED = 499
"""Nobody sees it but the log and the metrics."""

_STATUS: tuple[tuple[type[SwinIRDeployError], int], ...] = (
    (GoneError, CLIENT_CLOSED),
    (DeadlineError, 504),
    (DeviceMemoryError, 503),
    (RuntimeClosedError, 503),
    (BackendUnavailableError, 503),
    (CatalogError, 404),
    (UsageError, 422),
    (PictureError, 422),
    (InputError, 422),
    (CheckFailedError, 422),
)
_TITLES = {CLIENT_CLOSED: "Client Closed Request", 422: "Unprocessable Content"}


class ProblemError(Exception):
    """A request that cannot be served.

    Attributes:
        status: the HTTP status.
        detail: a sentence that says what is wrong and what to do; it holds no path of the server.
        headers: further headers, such as ``Retry-After``.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def to_dict(self) -> dict[str, Any]:
        """Return the document of ``application/problem+json``."""
        title = _TITLES.get(self.status) or HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}


def problem_of(error: SwinIRDeployError, shown: dict[str, str]) -> ProblemError:
    """Return what a client gets for an error of this package.

    Args:
        error: the error.
        shown: path of the server -> the words that take its place in the sentence.
    """
    detail = str(error)
    for path in sorted(shown, key=len, reverse=True):
        detail = detail.replace(path, shown[path])
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    headers = {"Retry-After": "5"} if status == 503 else {}
    return ProblemError(status, detail, headers)
