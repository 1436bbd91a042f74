"""Files written row by row against independent readers, and against files written whole."""

import io
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import swinir_deploy
from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.png_writer import PngWriter
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.tiff_writer import TiffWriter
from swinir_deploy.pictures.write import stream_picture, write_picture


def noise(*shape, dtype=np.uint8, seed=0):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype, endpoint=True)


def smooth(height, width, colours, dtype=np.uint8):
    y, x = np.mgrid[:height, :width]
    levels = np.stack([x + y, 2 * x, 255 - y][:colours], axis=2) % 256
    return (levels * (np.iinfo(dtype).max // 255)).astype(dtype)


def stream(path, picture, quality=95, step=50):
    samples = picture.pixels
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    with stream_picture(path, picture.layout, quality) as sink:
        for top in range(0, picture.height, step):
            sink.write_rows(samples[top : top + step])


@given(
    height=st.integers(1, 140),
    width=st.integers(1, 30),
    channels=st.integers(1, 4),
    step=st.sampled_from([1, 50, 64, 200]),
)
def test_pillow_and_tifffile_read_8_bit_rows(height, width, channels, step):
    samples = noise(height, width, channels)
    png, tiff = io.BytesIO(), io.BytesIO()
    with (
        PngWriter(png, width, height, channels, np.uint8) as png_writer,
        TiffWriter(tiff, width, height, channels, np.uint8) as tiff_writer,
    ):
        for top in range(0, height, step):
            png_writer.write_rows(samples[top : top + step])
            tiff_writer.write_rows(samples[top : top + step])
    for handle in (png, tiff):
        with Image.open(handle) as image:
            assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
            assert np.array_equal(np.asarray(image).reshape(samples.shape), samples)
    oracle = tifffile.imread(io.BytesIO(tiff.getvalue()))
    assert np.array_equal(oracle.reshape(samples.shape), samples)


def png_stream(data):
    """The joined IDAT chunks, their checksums compared."""
    position, found = 8, []
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", data, position + 8 + length)[0] == zlib.crc32(kind + body)
        found += [body] if kind == b"IDAT" else []
        position += 12 + length
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["smooth", "noise", "black"])
def test_bands_of_a_large_png_are_one_stream(dtype, kind):
    """zlib itself looks at the checksum over all bands (RFC 1950)."""
    make = {"smooth": smooth, "noise": noise, "black": lambda *a, dtype: np.zeros(a, dtype)}[kind]
    samples = make(700, 500, 3, dtype=dtype)
    png = io.BytesIO()
    with PngWriter(png, 500, 700, 3, dtype) as writer:
        for top in range(0, 700, 37):
            writer.write_rows(samples[top : top + 37])
    parts = png_stream(png.getvalue())
    assert len(parts) > 4
    raw = zlib.decompress(b"".join(parts))
    assert len(raw) == 700 * (1 + 500 * 3 * np.dtype(dtype).itemsize)
    if dtype == np.uint8:
        with Image.open(png) as image:
            assert np.array_equal(np.asarray(image), samples)
    else:
        shown = cv2.imdecode(np.frombuffer(png.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(shown[..., ::-1], samples)


def test_bands_cost_little_space():
    """Beside one stream of the same rows, filters and level, whose bytes Pillow makes."""
    with Image.open(Path(swinir_deploy.__file__).parent / "demo" / "chelsea.png") as image:
        picture = image.convert("RGB").resize((1200, 900), Image.Resampling.BICUBIC)
    whole, bands = io.BytesIO(), io.BytesIO()
    picture.save(whole, "PNG", compress_level=4)
    with PngWriter(bands, 1200, 900, 3, np.uint8) as writer:
        writer.write_rows(np.asarray(picture))
    assert len(bands.getvalue()) < 1.02 * len(whole.getvalue())


def test_a_writer_that_is_left_by_an_error_leaves_no_thread():
    before = threading.active_count()
    with pytest.raises(KeyError), PngWriter(io.BytesIO(), 900, 900, 3, np.uint8) as writer:
        writer.write_rows(noise(600, 900, 3))
        raise KeyError
    assert threading.active_count() == before


@pytest.mark.parametrize("writer", [PngWriter, TiffWriter])
def test_too_few_or_wrong_rows_are_noticed(writer):
    with (
        pytest.raises(ValueError, match="1 rows were written"),
        writer(io.BytesIO(), 4, 2, 3, np.uint8) as rows,
    ):
        rows.write_rows(noise(1, 4, 3))
    for wrong in (noise(1, 5, 3), noise(1, 4, 1), noise(1, 4, 3, dtype=np.uint16)):
        with pytest.raises(ValueError, match="do not fit"):
            writer(io.BytesIO(), 4, 2, 3, np.uint8).write_rows(wrong)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_streamed_files_hold_what_whole_ones_hold(tmp_path, dtype, colours, has_alpha, suffix):
    alpha = noise(130, 70, dtype=dtype, seed=1) if has_alpha else None
    picture = Picture(noise(130, 70, colours, dtype=dtype), alpha, b"profile" * 40, (300.0, 150.0))
    stream(tmp_path / f"a{suffix}", picture)
    write_picture(tmp_path / f"b{suffix}", picture)
    found, wanted = read_picture(tmp_path / f"a{suffix}"), read_picture(tmp_path / f"b{suffix}")
    assert np.array_equal(found.pixels, picture.pixels)
    assert (found.alpha is None) == (wanted.alpha is None)
    if alpha is not None:
        assert np.array_equal(found.alpha, alpha)
    assert found.icc_profile == wanted.icc_profile == picture.icc_profile
    assert found.dpi == pytest.approx(picture.dpi, rel=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("quality", [75, 95])
def test_a_streamed_jpeg_is_the_whole_one_byte_by_byte(tmp_path, dtype, colours, quality):
    picture = Picture(smooth(130, 70, colours, dtype), None, b"profile" * 40, (300.0, 150.0))
    stream(tmp_path / "a.jpg", picture, quality)
    write_picture(tmp_path / "b.jpg", picture, quality)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        shown = smooth(130, 70, colours).astype(int)
        assert np.abs(np.asarray(image).reshape(shown.shape) - shown)[:, 8:60].mean() < 4


def test_opaque_alpha_is_left_out_of_a_jpeg(tmp_path):
    pixels = smooth(20, 30, 3)
    stream(tmp_path / "a.jpg", Picture(pixels, np.full((20, 30), 255, np.uint8)))
    write_picture(tmp_path / "b.jpg", Picture(pixels))
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_stream_that_breaks_off_leaves_the_old_file(tmp_path, suffix):
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")
    picture = Picture(noise(30, 20, 3))
    with (
        pytest.raises(KeyboardInterrupt),
        stream_picture(target, picture.layout) as sink,
    ):
        sink.write_rows(picture.pixels[:10])
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_full_disk_while_streaming_leaves_the_old_file(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # No file may grow beyond 4 kB: the same path through the code as a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(PictureError, match=f"Cannot write .*a{suffix}"):
            stream(target, Picture(noise(300, 300, 3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"old"


def test_what_cannot_be_streamed_is_refused_at_once(tmp_path):
    layout = Picture(noise(3, 4, 3)).layout
    for name, quality, error, says in (
        ("a.webp", 95, PictureError, r"WEBP can only be written as a whole. Write a .png"),
        ("a.bmp", 95, PictureError, "BMP can only be written as a whole"),
        ("a.png", 0, UsageError, "quality is 0"),
        ("none/a.png", 95, PictureError, "there is no folder"),
    ):
        with pytest.raises(error, match=says), stream_picture(tmp_path / name, layout, quality):
            pytest.fail("a sink was given")
    assert list(tmp_path.iterdir()) == []


def test_a_tiff_beyond_4_gb_is_an_error_that_names_a_way_out():
    class AlmostFull(io.BytesIO):
        def tell(self):
            return super().tell() + 2**32 - 2**26 - 100

    with (
        pytest.raises(PictureError, match=r"take more than 4 GB.*\.png"),
        TiffWriter(AlmostFull(), 300, 64, 3, np.uint8) as writer,
    ):
        writer.write_rows(noise(64, 300, 3))
