"""Receive the picture of a request into a file, whatever the client sends and however slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from swinir_deploy.serving.problems import ProblemError
from swinir_deploy.serving.settings import Limits

__all__ = ["receive_picture"]

_MULTIPART = "multipart/form-data"


async def receive_picture(request: Request, path: Path, limits: Limits) -> None:
    """Write the picture of a request into a file: its body, or the first file of a form.

    Args:
        request: the request; its body is read.
        path: the file to write.
        limits: of its size and time.

    Raises:
        ProblemError: the body is empty (400), too slow (408), too large (413) or no form (400).
        ClientDisconnect: the client has gone away.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.body_bytes:
        raise _too_large(limits)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    pieces = _pieces(request, limits)
    with open(path, "wb") as handle:
        try:
            async with asyncio.timeout(limits.body_seconds):
                if kind.decode("latin-1") == _MULTIPART:
                    await _first_file(pieces, options.get(b"boundary", b""), handle)
                else:
                    async for piece in pieces:
                        handle.write(piece)
        except TimeoutError:
            raise ProblemError(
                408, f"The body did not arrive within {limits.body_seconds:g} s. Send it again."
            ) from None
        if handle.tell() == 0:
            raise ProblemError(400, "There is no picture in this request. Send one as its body.")


def _too_large(limits: Limits) -> ProblemError:
    largest = limits.body_bytes / (1 << 20)
    return ProblemError(413, f"The body is larger than {largest:g} MiB. Send a smaller picture.")


async def _pieces(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    received = 0
    async for piece in request.stream():
        received += len(piece)
        if received > limits.body_bytes:
            raise _too_large(limits)
        yield piece


class _FirstFile:
    """Callbacks of the parser: bytes of the first part that has a file name."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._name, self._value = b"", b""
        self._is_file = self.is_found = self.is_complete = False

    def on_part_begin(self) -> None:
        self._is_file = False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_file = b"filename" in options and not self.is_found
        self._name, self._value = b"", b""

    def on_headers_finished(self) -> None:
        self.is_found |= self._is_file

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._handle.write(data[start:end])

    def on_end(self) -> None:
        self.is_complete = True


async def _first_file(pieces: AsyncIterator[bytes], boundary: bytes, handle: BinaryIO) -> None:
    if not boundary:
        raise ProblemError(400, "This form has no boundary. Send the picture as the body instead.")
    found = _FirstFile(handle)
    callbacks: Any = {name: getattr(found, name) for name in dir(found) if name.startswith("on_")}
    parser = MultipartParser(boundary, callbacks)
    try:
        async for piece in pieces:
            parser.write(piece)
        parser.finalize()
    except FormParserError:
        raise ProblemError(
            400, "This form is damaged. Send the picture as the body instead."
        ) from None
    if not found.is_complete:
        raise ProblemError(400, "This form ends too early. Send it again.")
    if not found.is_found:
        raise ProblemError(400, "This form holds no file. Add the picture as a file.")
