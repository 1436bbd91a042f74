"""Picture files made byte by byte, so that a test knows what is in them."""

from __future__ import annotations

import struct
import zlib

import numpy as np

COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, body, checksum=None):
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png(samples, before=b"", after=b"", bits=None, kind=None, middle=b"", palette=b"", end=True):
    """A PNG of [height, width, channels] samples without filters; chunks before and after IDAT."""
    height, width, channels = samples.shape
    bits = bits or samples.dtype.itemsize * 8
    kind = COLOUR_TYPE[channels] if kind is None else kind
    if bits < 8:
        per_byte = 8 // bits
        flat = np.pad(samples[..., 0], ((0, 0), (0, -width % per_byte)))
        rows = np.zeros((height, flat.shape[1] // per_byte), np.uint8)
        for index in range(per_byte):
            rows |= flat[:, index::per_byte] << (8 - bits * (index + 1))
        lines = [row.tobytes() for row in rows]
    else:
        lines = [row.astype(">u2" if bits == 16 else "u1").tobytes() for row in samples]
    packed = zlib.compress(b"".join(b"\0" + line for line in lines))
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    half = len(packed) // 2
    data = SIGNATURE + chunk(b"IHDR", header) + palette + before
    data += chunk(b"IDAT", packed[:half]) + middle + chunk(b"IDAT", packed[half:]) + after
    return data + (chunk(b"IEND", b"") if end else b"")


def exif(entries, order="<", next_ifd=0, behind=b""):
    """An EXIF block of one directory; entries are (tag, type, count, four bytes or a number)."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        code = {1: "B3x", 3: "H2x", 8: "h2x", 9: "i"}.get(kind, "I")
        packed = value if isinstance(value, bytes) else struct.pack(order + code, value)
        body += struct.pack(order + "HHI", tag, kind, count) + packed
    return head + body + struct.pack(order + "I", next_ifd) + behind


def with_segment(jpeg, code, body):
    """A JPEG with one more segment at its head."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, code, len(body) + 2) + body + jpeg[2:]


def segments(jpeg):
    """The segments before the pixels of a JPEG: (code, body)."""
    found, position = [], 2
    while jpeg[position + 1] != 0xDA:
        code, length = jpeg[position + 1], struct.unpack_from(">H", jpeg, position + 2)[0]
        found.append((code, jpeg[position + 4 : position + 2 + length]))
        position += 2 + length
    return found


def chunks(data):
    """The chunks of a PNG: (kind, body); their checksums are compared."""
    found, position = [], 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", data, position + 8 + length)[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        position += 12 + length
    return found


def riff(*parts):
    """A WebP of chunks: (kind, body)."""
    body = b"".join(
        kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for kind, content in parts
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff(strip, tags, order="<", next_ifd=0):
    """A TIFF of one strip; tags are (tag, type, [values])."""
    tags = sorted([*tags, (273, 4, [8]), (279, 4, [len(strip)])])
    strip += bytes(len(strip) % 2)
    place = 8 + len(strip)
    behind = place + 2 + 12 * len(tags) + 4
    rows, values = b"", b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            values += packed
            packed = struct.pack(order + "I", behind + len(values) - len(packed))
        rows += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, place)
    directory = struct.pack(order + "H", len(tags)) + rows + struct.pack(order + "I", next_ifd)
    return head + strip + directory + values
