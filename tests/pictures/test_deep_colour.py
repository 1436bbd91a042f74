"""The 16-bit codecs against independent ones: tifffile, Pillow's high byte, hand-made files."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swinir_deploy.pictures.png16 import is_png16, read_png16
from swinir_deploy.pictures.png_writer import PngWriter
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.tiff16 import is_tiff16, read_tiff16, tiff_tags
from swinir_deploy.pictures.tiff_writer import TiffWriter

COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
ADAM7 = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2)]
ADAM7 += [(1, 2, 0, 1)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(np.uint16)


def filter_one_by_one(samples, kinds):
    """The specification's encoder, byte by byte: an oracle that shares no code."""
    channels = samples.shape[2]
    size = channels * 2
    lines = [list(row.astype(">u2").tobytes()) for row in samples]
    out = bytearray()
    for r, line in enumerate(lines):
        above = lines[r - 1] if r else [0] * len(line)
        kind = kinds[r % len(kinds)]
        out.append(kind)
        for i, value in enumerate(line):
            a = line[i - size] if i >= size else 0
            b = above[i]
            c = above[i - size] if i >= size else 0
            estimate = a + b - c
            paeth = min((abs(estimate - x), n, x) for n, x in enumerate((a, b, c)))[2]
            out.append((value - [0, a, b, (a + b) // 2, paeth][kind]) % 256)
    return bytes(out)


def png(samples, kinds, interlaced=False):
    height, width, channels = samples.shape
    if interlaced:
        parts = [samples[r::rs, c::cs] for r, rs, c, cs in ADAM7]
        raw = b"".join(filter_one_by_one(p, kinds) for p in parts if p.size)
    else:
        raw = filter_one_by_one(samples, kinds)
    header = struct.pack(
        ">IIBBBBB", width, height, 16, COLOUR_TYPE[channels], 0, 0, int(interlaced)
    )
    data = b"\x89PNG\r\n\x1a\n"
    packed = zlib.compress(raw)
    # The pixels in two chunks, which may be cut anywhere.
    for kind, body in ((b"IHDR", header), (b"IDAT", packed[:5]), (b"IDAT", packed[5:])):
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    return data + b"\0\0\0\0IEND\xaeB`\x82"


def joined(pixels, alpha):
    return pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.integers(1, 4),
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    interlaced=st.booleans(),
)
def test_every_filter_and_interlacing_is_undone(height, width, channels, kinds, interlaced):
    samples = noise(height, width, channels)
    data = png(samples, kinds, interlaced)
    assert is_png16(data)
    assert np.array_equal(joined(*read_png16(data)), samples)


@given(height=st.integers(1, 140), width=st.integers(1, 30), channels=st.integers(1, 4))
def test_what_is_written_is_read_again(height, width, channels):
    samples = noise(height, width, channels)
    handle = io.BytesIO()
    with PngWriter(handle, width, height, channels, np.uint16) as writer:
        for top in range(0, height, 50):
            writer.write_rows(samples[top : top + 50])
    assert np.array_equal(joined(*read_png16(handle.getvalue())), samples)
    with Image.open(handle) as image:
        image.load()
        high_bytes = np.asarray(image.convert("RGBA") if channels in (2, 4) else image)
    if channels == 3:
        assert np.array_equal(high_bytes, samples >> 8)
    if channels == 4:
        assert np.array_equal(high_bytes, samples >> 8)
    if channels == 1:
        assert np.array_equal(high_bytes, samples[..., 0])


def test_a_smooth_picture_is_packed_well():
    y, x = np.mgrid[:256, :256]
    samples = np.stack([x * 200, y * 200, (x + y) * 100], axis=2).astype(np.uint16)
    handle = io.BytesIO()
    with PngWriter(handle, 256, 256, 3, np.uint16) as writer:
        writer.write_rows(samples)
    assert len(handle.getvalue()) < samples.nbytes / 20


def test_too_few_or_wrong_rows_are_noticed():
    with (
        pytest.raises(ValueError, match="1 rows were written"),
        PngWriter(io.BytesIO(), 4, 2, 3, np.uint16) as writer,
    ):
        writer.write_rows(noise(1, 4, 3))
    with pytest.raises(ValueError, match="do not fit"):
        PngWriter(io.BytesIO(), 4, 2, 3, np.uint16).write_rows(noise(1, 5, 3))


@pytest.mark.parametrize("cut", [10, 30, 60, -100])
def test_a_png_that_is_cut_short_is_an_error(cut):
    data = png(noise(40, 40, 3), [4])
    with pytest.raises((ValueError, struct.error)):
        read_png16(data[:cut])


def test_a_png_that_unpacks_to_more_than_it_says_is_not_unpacked():
    data = png(noise(2, 2, 3), [0])
    bomb = zlib.compress(bytes(50_000_000))
    start = data.index(b"IDAT") - 4
    data = data[:start] + struct.pack(">I", len(bomb)) + b"IDAT" + bomb + b"\0\0\0\0"
    pixels, _ = read_png16(data)
    assert pixels.shape == (2, 2, 3)


# ------------------------------------------------------------------------------------------ TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 32)},
        {"compression": "zlib", "predictor": True, "tile": (32, 16)},
    ],
    ids=str,
)
def test_tiffs_of_tifffile_keep_16_bits(tmp_path, options, channels, order):
    samples = noise(50, 41, channels)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, samples, photometric="rgb", byteorder=order, **options, **extra)
    picture = read_picture(path)
    assert picture.notes == ()
    assert np.array_equal(joined(picture.pixels, picture.alpha), samples)


def tiff(packed, width, height, bits, samples, compression, photometric):
    """A little-endian TIFF of one strip, put together by hand."""
    data = b"II*\0" + struct.pack("<I", 16 + len(packed)) + struct.pack("<4H", *[bits] * 4)
    data += packed
    entries = [(256, 4, 1, width), (257, 4, 1, height)]
    entries.append((258, 3, samples, 8) if samples > 2 else (258, 3, 1, bits))
    entries += [(259, 3, 1, compression), (262, 3, 1, photometric), (273, 4, 1, 16)]
    entries += [(277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(packed))]
    data += struct.pack("<H", len(entries))
    return data + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)


def test_lzw_is_decoded_too(tmp_path):
    samples = noise(20, 30, 3)
    handle = io.BytesIO()  # Pillow packs gray of three times the width: the same bytes
    Image.fromarray(samples.reshape(20, 90)).save(handle, "TIFF", compression="tiff_lzw")
    with tifffile.TiffFile(io.BytesIO(handle.getvalue())) as file:
        page = file.pages[0]
        (start,), (length,) = page.dataoffsets, page.databytecounts
    packed = handle.getvalue()[start : start + length]
    (tmp_path / "a.tif").write_bytes(tiff(packed, 30, 20, 16, 3, 5, 2))
    assert np.array_equal(read_picture(tmp_path / "a.tif").pixels, samples)


@given(height=st.integers(1, 140), width=st.integers(1, 30), channels=st.integers(1, 4))
def test_tifffile_reads_what_is_written(height, width, channels):
    samples = noise(height, width, channels)
    handle = io.BytesIO()
    with TiffWriter(handle, width, height, channels, np.uint16) as writer:
        for top in range(0, height, 50):
            writer.write_rows(samples[top : top + 50])
    oracle = tifffile.imread(io.BytesIO(handle.getvalue()))
    assert np.array_equal(oracle.reshape(samples.shape), samples)
    tags = tiff_tags(io.BytesIO(handle.getvalue()))
    assert is_tiff16(len(handle.getvalue()), tags)
    assert np.array_equal(read_tiff16(handle.getvalue(), tags), samples)


def test_premultiplied_colours_are_divided(tmp_path):
    alpha = np.full((4, 4, 1), 32768, np.uint16)
    samples = np.concatenate([np.full((4, 4, 3), 16384, np.uint16), alpha], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert np.abs(picture.pixels.astype(int) - 32768).max() <= 1
    assert (picture.alpha == 32768).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_zero_and_other_gray_depths(tmp_path, order):
    samples = noise(6, 7)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="miniswhite", byteorder=order)
    assert np.array_equal(read_picture(tmp_path / "a.tif").pixels[..., 0], 65535 - samples)
    tifffile.imwrite(tmp_path / "b.tif", samples, photometric="minisblack", byteorder=order)
    assert np.array_equal(read_picture(tmp_path / "b.tif").pixels[..., 0], samples)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}], ids=str)
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_separate_planes_keep_16_bits(tmp_path, tile, options, order):
    samples = noise(70, 41, 3)
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    tifffile.imwrite(
        tmp_path / "a.tif",
        planes,
        photometric="rgb",
        planarconfig="separate",
        rowsperstrip=None if tile else 30,
        tile=tile,
        byteorder=order,
        **options,
    )
    assert np.array_equal(read_picture(tmp_path / "a.tif").pixels, samples)


def test_bigtiff_keeps_16_bits(tmp_path):
    samples = noise(70, 41, 3)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", bigtiff=True)
    assert np.array_equal(read_picture(tmp_path / "a.tif").pixels, samples)


def test_the_first_of_several_pages_is_used_and_said(tmp_path):
    samples = noise(2, 9, 8, 3)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, samples[0])
    assert "several frames" in picture.notes[0]


def test_12_bit_gray_is_spread_over_the_range(tmp_path):
    packed = bytes.fromhex("000fff800001") * 2  # 0, 4095, 2048 and 1, twice
    (tmp_path / "a.tif").write_bytes(tiff(packed, 4, 2, 12, 1, 1, 1))
    assert read_picture(tmp_path / "a.tif").pixels[..., 0].tolist() == [[0, 65535, 32776, 16]] * 2


def test_16_bit_cmyk_is_reduced_to_8_bits_and_that_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(9, 8, 4), photometric="separated")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.bit_depth == 8
    assert any("16 bits a sample were reduced to 8" in note for note in picture.notes)
