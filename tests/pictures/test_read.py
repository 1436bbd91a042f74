import io

import numpy as np
import pytest
import pyvips
import skimage.io
import tifffile
from PIL import Image, ImageCms, ImageOps
from skimage import data as skdata

from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.pictures.icc import profile_of
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = [".png", ".tif", ".tiff", ".bmp"]


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


# -------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (41, 1), (33, 50)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_8_bit_round_trip_and_skimage_agree(tmp_path, suffix, channels, size):
    pixels = noise(*size, channels)
    path = tmp_path / f"a{suffix}"
    assert write_picture(path, Picture(pixels)) == ()
    again = read_picture(path)
    assert np.array_equal(again.pixels, pixels) and again.pixels.dtype == np.uint8
    assert again.alpha is None and again.notes == ()
    oracle = skimage.io.imread(path)
    assert np.array_equal(oracle.reshape(*size, -1), pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_alpha_profile_and_dpi_survive(tmp_path, dtype, suffix, alpha, channels):
    profile = SRGB if channels == 3 else profile_of(55556, None, is_gray=True)
    picture = Picture(
        noise(29, 31, channels, dtype=dtype),
        noise(29, 31, dtype=dtype) if alpha else None,
        profile,
        (300.0, 150.0),
    )
    path = tmp_path / f"a{suffix}"
    assert write_picture(path, picture) == ()
    again = read_picture(path)
    assert again.pixels.dtype == dtype
    assert np.array_equal(again.pixels, picture.pixels)
    assert (again.alpha is None) == (not alpha)
    if alpha:
        assert np.array_equal(again.alpha, picture.alpha)
    assert again.icc_profile == profile
    assert again.dpi == pytest.approx((300, 150), rel=1e-3)


@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_webp_keeps_colours_even_under_transparency(tmp_path, alpha):
    picture = Picture(noise(20, 30, 3), noise(20, 30) if alpha else None, SRGB)
    write_picture(tmp_path / "a.webp", picture, quality=100)
    again = read_picture(tmp_path / "a.webp")
    assert np.array_equal(again.pixels, picture.pixels)
    assert again.alpha is None or np.array_equal(again.alpha, picture.alpha)
    assert again.icc_profile == SRGB


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp", ".JPG"])
@pytest.mark.parametrize("gray", [False, True])
def test_lossy_formats_are_close_and_jpeg_keeps_gray(tmp_path, suffix, gray):
    pixels = skdata.astronaut()[:96, :80]
    pixels = pixels[..., :1] if gray else pixels
    path = tmp_path / f"a{suffix}"
    write_picture(path, Picture(pixels, dpi=(72, 72)))
    again = read_picture(path)
    assert again.is_gray == (gray and suffix != ".webp"), "WebP has no gray"
    assert np.abs(again.pixels.astype(float) - pixels).mean() < 2.5
    write_picture(tmp_path / f"b{suffix}", Picture(pixels), quality=20)
    assert (tmp_path / f"b{suffix}").stat().st_size < path.stat().st_size / 2


def test_16_bits_in_an_8_bit_format_are_rounded_and_said(tmp_path):
    pixels = np.array([[[0], [128], [129], [65535]]], np.uint16)
    (note,) = write_picture(tmp_path / "a.bmp", Picture(pixels))
    assert "16 bits" in note and "BMP" in note
    assert read_picture(tmp_path / "a.bmp").pixels.ravel().tolist() == [0, 0, 1, 255]


def test_a_profile_that_bmp_cannot_hold_is_said(tmp_path):
    (note,) = write_picture(tmp_path / "a.bmp", Picture(noise(2, 2, 3), icc_profile=SRGB))
    assert "profile" in note


# ---------------------------------------------------------------- every mode, Pillow as the oracle


@pytest.mark.parametrize(
    ("mode", "suffix", "channels", "alpha"),
    [
        ("1", ".png", 1, False),
        ("1", ".tif", 1, False),
        ("L", ".png", 1, False),
        ("LA", ".png", 1, True),
        ("LA", ".tif", 1, True),
        ("P", ".png", 3, True),
        ("P", ".webp", 3, True),
        ("P", ".bmp", 3, False),
        ("P", ".tif", 3, False),
        ("PA", ".tif", 3, True),
        ("RGB", ".png", 3, False),
        ("RGBA", ".png", 3, True),
        ("RGBA", ".webp", 3, True),
    ],
)
def test_every_mode_becomes_what_pillow_makes_of_it(tmp_path, mode, suffix, channels, alpha):
    base = Image.fromarray(noise(17, 23, 4 if alpha else 3))
    image = base.convert(mode)
    if mode == "PA":
        image = Image.merge("PA", [base.convert("RGB").convert("P"), base.getchannel("A")])
        image.putpalette(base.convert("RGB").convert("P").getpalette())
    path = tmp_path / f"a{suffix}"
    image.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    picture = read_picture(path)
    assert picture.pixels.shape == (17, 23, channels)
    assert (picture.alpha is not None) == alpha
    with Image.open(path) as again:
        oracle = np.asarray(again.convert("RGBA" if alpha else "RGB"))
    assert np.array_equal(np.broadcast_to(picture.pixels, (17, 23, 3)), oracle[..., :3])
    if alpha:
        assert np.array_equal(picture.alpha, oracle[..., 3])


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode):
    image = Image.fromarray(noise(9, 9, 3)).convert(mode)
    key = image.getpixel((4, 4))
    image.save(tmp_path / "a.png", transparency=key)
    picture = read_picture(tmp_path / "a.png")
    oracle = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    assert picture.alpha is not None and picture.alpha[4, 4] == 0
    assert np.array_equal(picture.alpha, oracle[..., 3])
    assert picture.is_gray == (mode in ("L", "1"))


@pytest.mark.parametrize("key", [(1,), (1, 2, 3)])
def test_a_transparent_colour_of_16_bits_becomes_alpha(tmp_path, key):
    pixels = noise(8, 9, len(key), dtype=np.uint16)
    pixels[3, 5] = key
    write_picture(tmp_path / "a.png", Picture(pixels))
    body = b"tRNS" + np.array(key, ">u2").tobytes()
    raw = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(raw[:33] + _chunk(body) + raw[33:])
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[3, 5]]
    assert picture.alpha.max() == 65535


def _chunk(body):
    import struct
    import zlib

    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def test_cmyk_says_how_it_became_rgb(tmp_path):
    image = Image.fromarray(noise(8, 8, 3)).convert("CMYK")
    # A profile that is not for CMYK cannot be used; it must not end up on RGB pixels either.
    image.save(tmp_path / "b.tif", icc_profile=SRGB)
    picture = read_picture(tmp_path / "b.tif")
    assert "without a colour profile" in picture.notes[0]
    assert picture.icc_profile is None


def test_a_profile_for_other_colours_is_left_out_and_that_is_said(tmp_path):
    gray = profile_of(55556, None, is_gray=True)
    for suffix in (".png", ".tif", ".jpg"):
        rgb = write_picture(tmp_path / f"a{suffix}", Picture(noise(4, 5, 3), icc_profile=gray))
        assert any("for other colours" in note for note in rgb)
        mono = write_picture(tmp_path / f"b{suffix}", Picture(noise(4, 5, 1), icc_profile=SRGB))
        assert any("for other colours" in note for note in mono)
        for name in "ab":
            assert read_picture(tmp_path / f"{name}{suffix}").icc_profile is None
            strict = pyvips.Image.new_from_file(
                str(tmp_path / f"{name}{suffix}"), fail_on="warning"
            )
            assert strict.numpy().size


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_the_first_of_several_frames_is_used_and_said(tmp_path, suffix):
    frames = [Image.fromarray(noise(8, 8, 3)) for _ in range(3)]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **options)
    picture = read_picture(tmp_path / f"a{suffix}")
    assert np.array_equal(picture.pixels, np.asarray(frames[0]))
    assert ("3 pages" if suffix == ".tif" else "3 frames") in picture.notes[0]


# --------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_pictures_come_upright(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(noise(6, 9, 3)).resize((72, 48))
    path = tmp_path / f"a{suffix}"
    image.save(path, exif=exif, dpi=(100, 200))
    with Image.open(path) as again:
        oracle = np.asarray(ImageOps.exif_transpose(again))
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, oracle)
    if picture.dpi and suffix != ".tif":
        assert picture.dpi == pytest.approx((100, 200) if orientation < 5 else (200, 100), rel=1e-3)
    # What is written is upright as it stands.
    write_picture(tmp_path / "b.png", picture)
    assert np.array_equal(read_picture(tmp_path / "b.png").pixels, oracle)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_pictures_come_upright(tmp_path, orientation):
    pixels = noise(5, 7, 3, dtype=np.uint16)
    eight = tmp_path / "eight.tif"
    Image.fromarray((pixels >> 8).astype(np.uint8)).save(eight, tiffinfo={274: orientation})
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=tags)
    assert np.array_equal(read_picture(tmp_path / "a.tif").pixels >> 8, read_picture(eight).pixels)


# ------------------------------------------------------------------------------------- refusals


def test_transparency_is_not_lost_in_formats_without_it(tmp_path):
    clear = Picture(noise(4, 4, 3), np.zeros((4, 4), np.uint8))
    for suffix in (".jpg", ".bmp"):
        with pytest.raises(PictureError, match=r"transparent pixels.*\.png"):
            write_picture(tmp_path / f"a{suffix}", clear)
    opaque = Picture(noise(4, 4, 3), np.full((4, 4), 255, np.uint8))
    write_picture(tmp_path / "a.bmp", opaque)
    assert np.array_equal(read_picture(tmp_path / "a.bmp").pixels, opaque.pixels)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bmp"]


def test_sides_that_a_format_cannot_hold_are_refused(tmp_path):
    wide = Picture(np.zeros((1, 16384, 3), np.uint8))
    with pytest.raises(PictureError, match=r"16384x1 .*at most 16383.*\.png"):
        write_picture(tmp_path / "a.webp", wide)
    write_picture(tmp_path / "a.jpg", wide)
    assert read_picture(tmp_path / "a.jpg").width == 16384


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_quality_outside_its_range_is_refused(tmp_path, quality):
    with pytest.raises(UsageError, match="from 1 to 100"):
        write_picture(tmp_path / "a.jpg", Picture(noise(2, 2, 3)), quality=quality)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 2), np.uint8), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.float64), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)),
    ],
)
def test_a_picture_that_contradicts_itself_is_refused(pixels, alpha):
    with pytest.raises(PictureError, match="must be"):
        Picture(pixels, alpha)


def test_content_decides_the_format_not_the_name(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(noise(5, 5, 3)).save(buffer, "PNG")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert read_picture(tmp_path / "a.jpg").pixels.shape == (5, 5, 3)
