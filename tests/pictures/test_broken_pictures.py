"""Files that cannot be read, targets that cannot be written, writes that are interrupted."""

import io
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import check_target, write_picture

# Pillow warns of damage before it fails.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 50, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (40, 50, 3)).astype(np.uint16)
SUFFIXES = [".png", ".jpg", ".webp", ".tif", ".bmp"]


def stored(suffix, deep=False):
    path = io.BytesIO()
    if deep and suffix == ".tif":
        tifffile.imwrite(path, DEEP, photometric="rgb")
    else:
        kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
        Image.fromarray(NOISE).save(path, kind)
    return path.getvalue()


def png_header(width, height, depth=8):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xaeB`\x82"


# ------------------------------------------------------------------------------------- reading

TABLE = {
    "empty": (b"", "0 bytes"),
    "text": (b"hello, this is no picture", "begins with b'hello"),
    "one byte": (b"\x89", "begins with"),
    "gif of nothing": (b"GIF89a" + bytes(40), "damaged"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(40), "it is a PostScript file"),
    "photoshop": (b"8BPS" + bytes(40), "it is a Photoshop file"),
    "avif of nothing": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(40), "damaged"),
    "film": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(40), "begins with"),
    "jpeg 2000 of nothing": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "damaged"),
    "png signature only": (b"\x89PNG\r\n\x1a\n", "damaged"),
    "png without pixels": (png_header(8, 8), "damaged"),
    "16-bit png without pixels": (png_header(8, 8, 16), "damaged"),
    "png of zero width": (png_header(0, 8), "damaged|0x8"),
    "png bomb": (png_header(50_000, 50_000), "50000x50000 is 2,500,000,000 pixels; the limit is"),
    "16-bit png bomb": (png_header(50_000, 50_000, 16), "2,500,000,000 pixels"),
    "jpeg signature only": (b"\xff\xd8\xff\xe0", "damaged"),
    "webp signature only": (b"RIFF\x10\0\0\0WEBPVP8 ", "damaged"),
    "tiff without directory": (b"II*\0\x08\0\0\0", "damaged"),
    "tiff whose directory is elsewhere": (b"II*\0\xff\xff\xff\x7f", "damaged"),
    "bmp signature only": (b"BM", "damaged"),
    "bmp of nothing": (b"BM" + bytes(60), "damaged"),
}


@pytest.mark.parametrize("case", TABLE)
def test_broken_files_get_a_clear_error(tmp_path, case):
    data, says = TABLE[case]
    path = tmp_path / "broken.png"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=says) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_cut_anywhere_are_an_error_and_nothing_else(tmp_path, suffix, deep):
    data = stored(suffix, deep)
    path = tmp_path / f"cut{suffix}"
    for length in {*range(1, 64, 3), len(data) // 4, len(data) // 2, len(data) * 3 // 4}:
        path.write_bytes(data[:length])
        with pytest.raises(PictureError, match=r"damaged|begins with"):
            read_picture(path)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_with_flipped_bytes_are_a_picture_or_an_error(tmp_path, suffix, deep):
    data = stored(suffix, deep)
    rng = np.random.default_rng(7)
    path = tmp_path / f"flipped{suffix}"
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 3):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            picture = read_picture(path, max_pixels=10**6)
        except PictureError:
            continue
        assert picture.height >= 1


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(PictureError, match="no such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match="Not a directory"):
        read_picture(tmp_path / "file" / "a.png")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_pixel_limit_is_ours_and_can_be_raised(tmp_path, monkeypatch, suffix, deep):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    path = tmp_path / "a"
    path.write_bytes(stored(suffix, deep))
    with pytest.raises(PictureError, match="50x40 is 2,000 pixels; the limit is 1,999"):
        read_picture(path, max_pixels=1999)
    with pytest.raises(PictureError, match="raise the limit"):
        read_picture(path, max_pixels=900)
    assert read_picture(path, max_pixels=2000).width == 50
    assert read_picture(path, max_pixels=None).width == 50
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_20000_pixel_wide_panorama_is_read(tmp_path):
    Image.new("RGB", (20_000, 3), "red").save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").pixels.shape == (3, 20_000, 3)


# ------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["a.psd", "a", "a.txt", "a.png.bak", ".png"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(PictureError, match=r"the suffix .* not one of .*\.bmp.*\.png"):
        write_picture(tmp_path / name, Picture(NOISE))
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    for name, says in (
        ("folder.png", "is a folder"),
        ("none/a.png", r"there is no folder .*none\."),
        ("file/a.png", r"there is no folder .*file\."),
    ):
        for action in (check_target, lambda path: write_picture(path, Picture(NOISE))):
            with pytest.raises(PictureError, match=says):
                action(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError, match="may not be written"):
        write_picture(tmp_path / "a.png", Picture(NOISE))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix, dtype):
    resource = pytest.importorskip("resource")
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(dtype)
    pixels = pixels * 257 if dtype == "uint16" else pixels
    try:
        # No file may grow beyond 4 kB: the same path through the code as a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(PictureError, match=f"Cannot write .*a{suffix}"):
            write_picture(target, Picture(pixels))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_process_killed_while_writing_leaves_the_old_file_or_none(tmp_path, old, dtype):
    target = tmp_path / "a.png"
    if old is not None:
        target.write_bytes(old)
    script = f"""
        import numpy as np
        from swinir_deploy.pictures.picture import Picture
        from swinir_deploy.pictures.write import write_picture
        noise = np.random.default_rng(0).integers(0, 256, (6000, 4000, 3), np.uint8)
        write_picture({str(target)!r}, Picture(noise.astype(np.{dtype})))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        limit = time.monotonic() + 60
        while not any(p.stat().st_size > 100_000 for p in tmp_path.glob(".*.partial.png")):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < limit
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert (target.read_bytes() if target.exists() else None) == old
