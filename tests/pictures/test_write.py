"""Files written row by row against independent readers, and against files written whole."""

import threading

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import check_picture_fits, stream_picture, write_picture


def noise(*shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape).astype(np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height, width, colours, dtype=np.uint8):
    y, x = np.mgrid[:height, :width]
    levels = np.stack([x + y, 2 * x, 255 - y][:colours], axis=2) % 256
    return (levels * (np.iinfo(dtype).max // 255)).astype(dtype)


def stream(path, picture, quality=None, step=50):
    samples = picture.pixels
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    with stream_picture(path, picture.layout, quality) as sink:
        for top in range(0, picture.height, step):
            sink.write_rows(samples[top : top + step])


def split(samples):
    """A picture of samples whose last one may be opacity."""
    if samples.shape[2] in (2, 4):
        return Picture(samples[..., :-1].copy(), samples[..., -1].copy())
    return Picture(samples)


@settings(deadline=None)  # the first example loads libvips
@given(
    height=st.integers(1, 140),
    width=st.integers(1, 30),
    channels=st.integers(1, 4),
    step=st.sampled_from([1, 50, 64, 200]),
)
def test_pillow_and_tifffile_read_8_bit_rows(tmp_path_factory, height, width, channels, step):
    samples = noise(height, width, channels)
    folder = tmp_path_factory.mktemp("rows")
    for name in ("a.png", "a.tif"):
        stream(folder / name, split(samples), step=step)
        with Image.open(folder / name) as image:
            assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
            assert np.array_equal(np.asarray(image).reshape(samples.shape), samples)
    oracle = tifffile.imread(folder / "a.tif")
    assert np.array_equal(oracle.reshape(samples.shape), samples)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_opencv_and_tifffile_read_deep_rows(tmp_path, channels, dtype):
    samples = noise(130, 70, channels, dtype=dtype)
    stream(tmp_path / "a.tif", split(samples))
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif").reshape(samples.shape), samples)
    if dtype == np.uint16:
        stream(tmp_path / "a.png", split(samples))
        found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
        found = found.reshape(130, 70, -1)[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]]
        assert np.array_equal(found, samples)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_file_written_in_rows_is_the_one_written_whole(tmp_path, suffix):
    for number, (dtype, colours) in enumerate(
        [(np.uint8, 3), (np.uint8, 1), (np.uint16, 3), (np.uint16, 1)]
    ):
        picture = Picture(smooth(130, 70, colours, dtype), None, None, (300.0, 150.0))
        stream(tmp_path / f"a{number}{suffix}", picture)
        write_picture(tmp_path / f"b{number}{suffix}", picture)
        a, b = (read_picture(tmp_path / f"{n}{number}{suffix}") for n in "ab")
        assert np.array_equal(a.pixels, b.pixels) and a.dpi == b.dpi
        if suffix != ".tif":  # strips of a TIFF may be grouped in another way
            first, second = ((tmp_path / f"{n}{number}{suffix}").read_bytes() for n in "ab")
            assert first == second


def test_a_large_picture_passes_through(tmp_path):
    """Several megabytes, so that the writer of rows has to wait for the encoder."""
    samples = smooth(1500, 1200, 3)
    stream(tmp_path / "a.png", Picture(samples), step=16)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), samples)


def test_opaque_alpha_is_left_out_of_a_jpeg(tmp_path):
    pixels = smooth(20, 30, 3)
    opaque = Picture(pixels, np.full((20, 30), 255, np.uint8))
    stream(tmp_path / "a.jpg", opaque)
    write_picture(tmp_path / "b.jpg", opaque)
    write_picture(tmp_path / "c.jpg", Picture(pixels))
    assert len({(tmp_path / f"{n}.jpg").read_bytes() for n in "abc"}) == 1


# ------------------------------------------------------------------------------- what goes wrong


def test_too_few_or_wrong_rows_are_noticed(tmp_path):
    layout = Picture(noise(2, 4, 3)).layout
    for suffix in (".png", ".tif", ".jpg"):
        target = tmp_path / f"a{suffix}"
        with (
            pytest.raises(ValueError, match="1 rows were written"),
            stream_picture(target, layout) as sink,
        ):
            sink.write_rows(noise(1, 4, 3))
        for wrong in (noise(1, 5, 3), noise(1, 4, 1)):
            with (
                pytest.raises(ValueError, match="do not fit"),
                stream_picture(target, layout) as sink,
            ):
                sink.write_rows(wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [0, 10, 30])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_stream_that_breaks_off_leaves_the_old_file_and_no_thread(tmp_path, suffix, rows):
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")
    picture = Picture(noise(30, 20, 3))
    with (
        pytest.raises(KeyboardInterrupt),
        stream_picture(target, picture.layout) as sink,
    ):
        sink.write_rows(picture.pixels[:rows])
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"old"
    # Threads of libvips that have called back stay in Python's list, as dummies.
    assert "swinir-encode" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_full_disk_while_streaming_leaves_the_old_file(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # No file may grow beyond 4 kB: the same path through the code as a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(PictureError, match=f"Cannot write .*a{suffix}: File too large"):
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


@pytest.mark.parametrize(
    ("suffix", "side"), [(".webp", 16_383), (".jpg", 65_500), (".gif", 65_535), (".avif", 16_384)]
)
def test_sides_that_a_format_cannot_hold_are_refused_without_pixels(tmp_path, suffix, side):
    from dataclasses import replace

    layout = Picture(noise(3, 4, 3)).layout
    check_picture_fits(tmp_path / f"a{suffix}", replace(layout, width=side), False)
    with pytest.raises(PictureError, match=rf"{side + 1}x3 pixels; .* at most {side}.*\.png"):
        check_picture_fits(tmp_path / f"a{suffix}", replace(layout, width=side + 1), False)


# ------------------------------------------------------------------------------ other formats


@pytest.mark.parametrize("suffix", [".avif", ".gif", ".jp2", ".heic", ".jxl"])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_other_formats_are_written_and_read_again(tmp_path, suffix, has_alpha):
    package = {".heic": "pillow_heif", ".jxl": "pillow_jxl"}.get(suffix)
    if package:
        pytest.importorskip(package)
    pixels = smooth(48, 64, 3) // 4 * 2 + 60
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:20] = 0 if suffix == ".gif" else 100
    picture = Picture(pixels, alpha if has_alpha else None)
    write_picture(tmp_path / f"a{suffix}", picture)
    again = read_picture(tmp_path / f"a{suffix}")
    assert (again.alpha is not None) == has_alpha
    if has_alpha:
        assert np.abs(again.alpha.astype(int) - alpha).max() <= 3
    error = np.abs(again.pixels.astype(int) - pixels)[20:]
    assert error.mean() < (8 if suffix == ".gif" else 3)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jif", ".apng", ".dib", ".JPE"])
def test_other_suffixes_of_known_formats(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", Picture(smooth(9, 8, 3)))
    assert read_picture(tmp_path / f"a{suffix}").pixels.shape == (9, 8, 3)
