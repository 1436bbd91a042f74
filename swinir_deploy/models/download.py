"""Download one file into ``NAME.partial``, with resume and retries, over https only.

``NAME.partial.json`` beside it records the address and the version of the bytes. So a later
attempt, in this or another process, continues or starts again. The caller checks the content
(:mod:`swinir_deploy.models.weights_cache`).
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

from swinir_deploy._version import __version__
from swinir_deploy.errors import DownloadError

__all__ = ["Transfer", "read_json", "write_json"]

_TIMEOUT_S = 30.0
_ATTEMPTS = 6
_ATTEMPTS_WITHOUT_SERVER = 2
_FIRST_WAIT_S = 0.5
_CHUNK_BYTES = 1 << 18
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


class _CutError(Exception):
    """A failure that a retry may solve; ``reached`` tells whether a server answered."""

    def __init__(self, reason: str, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


class Transfer:
    """The download of one file, in up to six attempts.

    Attributes:
        partial: path that collects the bytes; complete once :meth:`run` has returned.
    """

    def __init__(
        self,
        url: str,
        target: Path,
        *,
        size_bytes: int | None,
        has_checksum: bool,
        by_hand: str,
        progress: bool,
    ) -> None:
        """Prepare the download without sending anything.

        Args:
            url: address of the file: https, or http on a loopback address.
            target: the file's final path, which this class does not touch.
            size_bytes: size that the file must have, if known.
            has_checksum: whether the caller can check the content. Then bytes may be joined
                even if the server does not identify their version.
            by_hand: sentence for messages that says how to get the file without this download.
            progress: show a progress bar if stderr is a terminal.

        Raises:
            DownloadError: the address is not allowed.
        """
        _check_url(url)
        self.url = url
        self.partial = target.with_name(target.name + ".partial")
        self._notes = target.with_name(target.name + ".partial.json")
        self._size_bytes = size_bytes
        self._has_checksum = has_checksum
        self._by_hand = by_hand
        self._progress = progress and sys.stderr.isatty()
        self._opener = _opener(url)

    def discard(self) -> None:
        """Remove the partial file and its record."""
        self.partial.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def run(self) -> None:
        """Download until the file is complete.

        Raises:
            DownloadError: the server refuses, has a file of another size, or the connection
                failed too often. The received bytes are kept for the next call.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._attempt()
                return
            except _CutError as error:
                limit = _ATTEMPTS if error.reached else _ATTEMPTS_WITHOUT_SERVER
                if attempt >= limit:
                    have = self.partial.stat().st_size if self.partial.exists() else 0
                    kept = f" {have:,} bytes are kept and will be resumed." if have else ""
                    raise DownloadError(
                        f"Cannot download {self.url}: {error} "
                        f"({attempt} attempts).{kept} Check the connection and try again; behind "
                        f"a proxy set HTTPS_PROXY. {self._by_hand}"
                    ) from error
            time.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))

    def _attempt(self) -> None:
        offset, validator = self._resume_point()
        if offset and offset == self._size_bytes:
            return
        headers = {"User-Agent": f"swinir-deploy/{__version__}", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        request = urllib.request.Request(self.url, headers=headers)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                self._receive(response, offset)
        except urllib.error.HTTPError as error:
            error.close()
            self._refused(error.code, error.reason)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise DownloadError(
                    f"The certificate of {self.url} cannot be verified: {error.reason}. Behind a "
                    "proxy that inspects TLS, set SSL_CERT_FILE to its certificate. "
                    f"{self._by_hand}"
                ) from error
            raise _CutError(str(error.reason), reached=False) from error
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise _CutError(f"the connection was cut ({error!r})") from error

    def _resume_point(self) -> tuple[int, str | None]:
        """Return how many bytes can be kept, and the validator that identifies their version."""
        if not self.partial.exists():
            return 0, None
        notes = read_json(self._notes)
        validator = notes.get("validator")
        offset = self.partial.stat().st_size
        known_version = validator is not None or self._has_checksum
        too_long = self._size_bytes is not None and offset > self._size_bytes
        if notes.get("url") != self.url or not known_version or too_long:
            self.discard()
            return 0, None
        return offset, validator

    def _receive(self, response: Any, offset: int) -> None:
        """Append the body to the partial file, or start the file again if the server does."""
        content_range = response.headers.get("Content-Range", "")
        resumed = response.status == 206 and content_range.startswith(f"bytes {offset}-")
        if response.status == 206 and not resumed:
            self.discard()
            raise _CutError(f"the server sent another range ({content_range!r}) than requested")
        start = offset if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        published = self._size_bytes
        if published is not None and total is not None and total != published:
            self.discard()
            raise DownloadError(
                f"{self.url} has the wrong size: {total:,} bytes; {published:,} are published. "
                "The file at the source has changed, or a proxy or login page answered instead. "
                f"{self._by_hand}"
            )
        if not resumed:
            write_json(self._notes, {"url": self.url, "validator": _validator(response.headers)})
        received = start + self._copy(response, start, total or published)
        expected = published if total is None else total
        if expected is not None and received < expected:
            raise _CutError(f"the connection was cut after {received:,} of {expected:,} bytes")

    def _copy(self, response: Any, start: int, total: int | None) -> int:
        from tqdm import tqdm

        received = 0
        with (
            open(self.partial, "ab" if start else "wb") as handle,
            tqdm(
                desc=self.partial.stem,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                disable=not self._progress,
            ) as bar,
        ):
            while chunk := _read(response):
                handle.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
                if total is not None and start + received > total:
                    break  # An endless answer must not fill the disk.
        return received

    def _refused(self, status: int, reason: str) -> NoReturn:
        if status == 416:
            self.discard()
            raise _CutError("the server cannot resume this file")
        if status in _RETRIED_STATUS:
            raise _CutError(f"the server answered {status} {reason}")
        raise DownloadError(
            f"{self.url} answered {status} {reason}. The file may have moved, "
            f"or a proxy forbids it. {self._by_hand}"
        )


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to places that :func:`_check_url` accepts."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_url(newurl, came_from=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(response: Any) -> bytes:
    """Read the next bytes; every failure of the connection raises :class:`_CutError`."""
    try:
        chunk: bytes = response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"the connection was cut ({error!r})") from error
    return chunk


def _opener(url: str) -> urllib.request.OpenerDirector:
    # A proxy from the environment cannot reach this machine's own loopback address.
    proxies = urllib.request.ProxyHandler({} if _is_loopback(url) else None)
    return urllib.request.build_opener(proxies, _CheckedRedirects())


def _check_url(url: str, came_from: str | None = None) -> None:
    """Refuse other addresses than https, and http on loopback, for tests and local mirrors."""
    scheme = urllib.parse.urlsplit(url).scheme
    is_local = scheme == "http" and _is_loopback(url) and _is_loopback(came_from or url)
    if scheme != "https" and not is_local:
        raise DownloadError(
            f"Refusing to download from {url}: only https is allowed (http on this machine's "
            "loopback address). Correct the address in models.yaml."
        )


def _is_loopback(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _validator(headers: Any) -> str | None:
    """Return the value for If-Range: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    changed: str | None = headers.get("Last-Modified")
    return changed


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one if the file is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object; a failure leaves the old file as it was."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
