"""Say what a file is that is not the model that its name promises.

The first bytes tell a pointer of Git LFS, a web page that was saved in place of a download, an
archive and so on. Readers of checkpoints and of ONNX files ask here before they call a file
damaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["Found", "what_file_is", "what_head_is"]

_HEAD_BYTES = 512

_DOWNLOAD = "Download the file itself."
_UNPACK = "Unpack it, and give the file inside."
_NO_MODEL = "Give the model's own file."


class Found(NamedTuple):
    """What a file is.

    Attributes:
        kind: ``checkpoint``, ``onnx`` or ``other``.
        what: the kind in words, such as ``a Git LFS pointer, not the weights``.
        advice: the next step, as a sentence.
    """

    kind: str
    what: str
    advice: str


_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras or MATLAB)", _NO_MODEL),
    (b"GGUF", "a GGUF file", _NO_MODEL),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)", _NO_MODEL),
    (b"\xff\xd8\xff", "a picture (JPEG)", _NO_MODEL),
    (b"%PDF", "a PDF document", _NO_MODEL),
    (b"\x7fELF", "a program", _NO_MODEL),
    (b"SQLite format 3", "a database", _NO_MODEL),
)

_ANSWERS = (b"Entry not found", b"Not Found", b"404: Not Found", b"Invalid username or password")
"""What servers send in place of a file that does not exist."""


def what_file_is(path: str | Path) -> Found | None:
    """Return what a file is by its first bytes; None if nothing is known about it.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as handle:
        return what_head_is(handle.read(_HEAD_BYTES))


def what_head_is(head: bytes) -> Found | None:
    """Return what a file with these first bytes (512 are enough) is; None if that is unknown."""
    if not head:
        return Found("other", "empty (0 bytes)", "Download or copy it again.")
    if head.startswith(b"version https://git-lfs"):
        return Found(
            "other",
            "a Git LFS pointer, not the file that it stands for",
            "Run 'git lfs pull' beside it.",
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<":
        return Found("other", f"a web page (it begins with {_beginning(text)})", _DOWNLOAD)
    if text.startswith(_ANSWERS) or text.startswith((b'{"error', b'{"message')):
        return Found(
            "other", f"the answer of a server ({_beginning(text)}), not its file", _DOWNLOAD
        )
    for signature, what, advice in _SIGNATURES:
        if head.startswith(signature):
            return Found("other", what, advice)
    if head[257:262] == b"ustar":
        return Found("other", "a tar archive", _UNPACK)
    if head.startswith(b"PK\x03\x04"):
        return Found("checkpoint", "a checkpoint of PyTorch or another zip archive", _NO_MODEL)
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return Found("checkpoint", "a checkpoint of PyTorch or another pickle", _NO_MODEL)
    if head[8:10] == b'{"':
        return Found("checkpoint", "a safetensors file", _NO_MODEL)
    if _looks_like_onnx(head):
        return Found("onnx", "an ONNX file", "Give it a name that ends in .onnx.")
    return None


def _looks_like_onnx(head: bytes) -> bool:
    """Return whether the file begins with an IR version and the producer's name, as ONNX does."""
    return (
        len(head) > 4
        and head[0] == 0x08
        and head[1] < 32
        and head[2] == 0x12
        and head[4 : 4 + head[3]].isascii()
    )


def _beginning(text: bytes) -> str:
    return repr(text[:20].decode("ascii", "replace"))
