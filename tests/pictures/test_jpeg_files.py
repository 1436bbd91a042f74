"""JPEG files of every kind: sound, cut, closed after a cut, and of kinds that are not supported."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
import pyvips
from files_made import exif, segments, with_segment
from PIL import Image, ImageCms

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PHOTO = np.clip(
    np.add.outer(np.arange(96), np.arange(128))[..., None] % 200 + RNG.normal(20, 9, (96, 128, 3)),
    0,
    255,
).astype(np.uint8)


def jpeg(mode="RGB", **options):
    buffer = io.BytesIO()
    image = Image.fromarray(PHOTO)
    image.convert(mode).save(buffer, "JPEG", **({"quality": 90} | options))
    return buffer.getvalue()


def reading(tmp_path, data):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    return read_picture(path)


def by_libvips(data):
    image = pyvips.Image.new_from_buffer(data, "")
    return image.numpy().reshape(image.height, image.width, -1)


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "4:4:4": {"subsampling": 0},
    "gray": {"mode": "L"},
    "gray progressive": {"mode": "L", "progressive": True},
    "RGB without conversion": {"keep_rgb": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_what_libvips_reads(tmp_path, kind):
    data = jpeg(**KINDS[kind])
    picture = reading(tmp_path, data)
    assert np.array_equal(picture.pixels, by_libvips(data)) and picture.notes == ()


@pytest.mark.parametrize("progressive", [False, True])
def test_cmyk_is_what_libvips_makes_of_it(tmp_path, progressive):
    data = jpeg("CMYK", progressive=progressive)
    picture = reading(tmp_path, data)
    wanted = pyvips.Image.new_from_buffer(data, "").colourspace("srgb").numpy()
    assert np.array_equal(picture.pixels, wanted)
    assert "without a colour profile" in picture.notes[0] and picture.icc_profile is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
def test_cut_files_are_refused(tmp_path, share, closed, kind):
    data = jpeg(**KINDS[kind])
    head = data.index(b"\xff\xda")
    cut = data[: head + int((len(data) - head) * share)]
    with pytest.raises(PictureError, match="damaged or cut short"):
        reading(tmp_path, cut + b"\xff\xd9" * closed)


def test_a_progressive_file_that_ends_between_its_scans_is_refused(tmp_path):
    data = jpeg(progressive=True)
    places = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xda"]
    tables = [data.rindex(b"\xff\xc4", 0, place) for place in places]
    with pytest.raises(PictureError, match="finer details"):
        reading(tmp_path, data[: tables[-1]])


def test_a_scan_of_one_colour_that_is_missing_is_refused(tmp_path):
    """Three scans, one a colour, of which the last is taken away."""
    from swinir_deploy.pictures.containers.jpeg import scan_jpeg

    data = jpeg()
    place = data.index(b"\xff\xda")
    length = struct.unpack_from(">H", data, place + 2)[0]
    one = b"\xff\xda" + struct.pack(">HB2sBBB", 8, 1, b"\x01\x00", 0, 63, 0)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:place] + one + data[place + 2 + length :])
    with open(path, "rb") as handle, pytest.raises(ValueError, match="one of its colours"):
        scan_jpeg(handle, path.stat().st_size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", [0, 1])
def test_a_missing_end_is_a_note(tmp_path, kind, tail):
    data = jpeg(**KINDS[kind])
    picture = reading(tmp_path, data[: -2 + tail])
    assert np.array_equal(picture.pixels, by_libvips(data))
    assert any("EOI" in note for note in picture.notes)


def test_other_pictures_behind_the_end_are_left(tmp_path):
    data = jpeg()
    for tail in (jpeg("L"), b"garbage", bytes(1000)):
        picture = reading(tmp_path, data + tail)
        assert np.array_equal(picture.pixels, by_libvips(data)) and picture.notes == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({0: 0xC3}, "lossless JPEG"),
        ({0: 0xF7}, "JPEG-LS"),
        ({0: 0xC5}, "hierarchical"),
        ({0: 0xC1, 3: 12}, "12 bits"),
        ({3: 16}, "16 bits"),
        ({4: 0, 5: 0}, "DNL"),
        ({8: 2}, "2 colours"),
    ],
)
def test_kinds_that_are_not_supported_are_named(tmp_path, change, says):
    data = bytearray(jpeg())
    frame = data.index(b"\xff\xc0") + 1
    for offset, value in change.items():
        data[frame + offset] = value
    with pytest.raises(PictureError, match=f"{says}.*not supported") as caught:
        reading(tmp_path, bytes(data))
    assert "damaged" not in str(caught.value)


# ------------------------------------------------------------------------- beside the pixels


@pytest.mark.parametrize(
    ("code", "body", "says"),
    [
        (0xE1, b"Exif\0\0garbage", "EXIF"),
        (0xE1, b"Exif\0\0", "EXIF"),
        (0xE1, b"Exif\0\0" + exif([(271, 2, 99, 4000)]), "EXIF"),
        (0xE1, b"Exif\0\0" + exif([(274, 3, 1, 0)]), "1 to 8"),
        (0xE2, b"ICC_PROFILE\0\2\3" + b"x" * 50, "colour profile"),
        (0xE2, b"ICC_PROFILE\0\1\1" + b"x" * 200, "colour profile"),
        (0xE2, b"MPF\0" + bytes(40), "further pictures"),
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60), "extended"),
    ],
)
def test_damage_beside_the_pixels_is_a_note(tmp_path, code, body, says):
    data = jpeg()
    picture = reading(tmp_path, with_segment(data, code, body))
    assert np.array_equal(picture.pixels, by_libvips(data))
    assert any(says in note for note in picture.notes), picture.notes
    assert picture.icc_profile is None


def test_strange_segments_are_no_news(tmp_path):
    data = jpeg()
    for code in (*range(0xE3, 0xEC), 0xEF):
        data = with_segment(data, code, b"whatever" * 3)
    picture = reading(tmp_path, data[:2] + b"\xff\xff" + data[2:])
    assert picture.notes == ()


def test_comments_survive(tmp_path):
    data = with_segment(with_segment(jpeg(), 0xFE, b"K\xf6ln"), 0xFE, "日本".encode())
    picture = reading(tmp_path, data)
    assert [value for _, value in picture.metadata.text] == ["日本", "Köln"]
    write_picture(tmp_path / "b.jpg", picture)
    found = [body for code, body in segments((tmp_path / "b.jpg").read_bytes()) if code == 0xFE]
    assert found == ["日本".encode(), "Köln".encode()]
    write_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert image.info["Comment"] in ("日本", "Köln")


def test_a_profile_in_many_parts_survives(tmp_path):
    large = SRGB + RNG.integers(0, 256, 200_000, np.uint8).tobytes()
    picture = replace(reading(tmp_path, jpeg()), icc_profile=large)
    write_picture(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["icc_profile"] == large
    assert read_picture(tmp_path / "b.jpg").icc_profile == large


def test_a_profile_for_rgb_on_gray_is_converted_and_makes_no_invalid_png(tmp_path):
    adobe = _wide_profile()
    data = jpeg("L", icc_profile=adobe)
    picture = reading(tmp_path, data)
    assert picture.is_gray and picture.icc_profile is None
    assert any("profile for RGB" in note for note in picture.notes)
    gray = Image.open(io.BytesIO(data))
    shown = ImageCms.profileToProfile(
        gray.convert("RGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(adobe)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert np.abs(picture.pixels[..., 0].astype(int) - np.asarray(shown)[..., 1]).max() <= 2
    write_picture(tmp_path / "b.png", picture)
    assert pyvips.Image.new_from_file(str(tmp_path / "b.png"), fail_on="warning").numpy().size


def _wide_profile():
    from swinir_deploy.pictures.icc import profile_of

    return profile_of(55556, (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), is_gray=False)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_a_gray_profile_is_used_where_there_is_no_gray(tmp_path, suffix):
    from swinir_deploy.pictures.icc import profile_of

    profile = profile_of(55556, None, is_gray=True)
    data = jpeg("L", icc_profile=profile)
    picture = reading(tmp_path, data)
    assert picture.icc_profile == profile and picture.notes == ()
    (note,) = write_picture(tmp_path / f"b{suffix}", picture, quality=100)
    assert "no gray" in note
    again = read_picture(tmp_path / f"b{suffix}")
    assert again.icc_profile is None
    linear = (picture.pixels[..., 0] / 255) ** 1.8
    expected = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    assert np.abs(again.pixels - expected[..., None]).max() < 4
