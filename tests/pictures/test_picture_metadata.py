"""Metadata from each format into each other, with Pillow and tifffile as readers."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest
import pyvips
import tifffile
from files_made import exif, with_segment
from PIL import Image

from swinir_deploy.pictures.metadata import Metadata, upright_xmp
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import stream_picture, write_picture

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 32, 3), np.uint8)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><a tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
IPTC = b"\x1c\x02\x05\x00\x05Title\x1c\x02\x19\x00\x03key"
SUFFIXES = [".png", ".jpg", ".webp", ".tif", ".avif"]


def camera_exif(orientation=6):
    block = Image.Exif()
    block[271], block[306], block[274] = "Maker", "2026:01:02 03:04:05", orientation
    block[256], block[257] = 32, 24
    block.get_ifd(34665)[40962] = 32
    block.get_ifd(34665)[37386] = 50.0
    block.get_ifd(34853)[1] = "N"
    return block.tobytes().removeprefix(b"Exif\0\0")


FULL = Metadata(camera_exif(), XMP, IPTC, (("Comment", "a comment"), ("Title", "Köln")))


def exif_in(path):
    """Maker, time, hemisphere and focal length, as Pillow or tifffile find them."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            gps, details = tags[34853].value, tags[34665].value
            return (
                tags[271].value,
                tags[306].value,
                gps["GPSLatitudeRef"],
                (details["FocalLength"], 1),
            )
    with Image.open(path) as image:
        found = image.getexif()
        focal = found.get_ifd(34665)[37386]
        return found[271], found[306], found.get_ifd(34853)[1], (focal, 1)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif_is_carried_and_corrected(tmp_path, suffix, streamed):
    if streamed and suffix in (".webp", ".avif"):
        pytest.skip("written as a whole")
    picture = Picture(PIXELS.repeat(2, 0).repeat(2, 1), metadata=FULL)
    path = tmp_path / f"a{suffix}"
    if streamed:
        with stream_picture(path, picture.layout) as sink:
            sink.write_rows(picture.pixels)
    else:
        write_picture(path, picture)
    maker, when, north, focal = exif_in(path)
    assert (maker, when, north) == ("Maker", "2026:01:02 03:04:05", "N")
    assert focal[0] / focal[1] == 50
    if suffix != ".tif":
        with Image.open(path) as image:
            found = image.getexif()
            assert found.get(274, 1) == 1
            assert found.get_ifd(34665)[40962] == 64
    again = read_picture(path)
    assert again.notes == () and again.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_from_each_format_into_each(tmp_path, source, target):
    first, second = tmp_path / f"a{source}", tmp_path / f"b{target}"
    write_picture(first, Picture(PIXELS, metadata=FULL))
    write_picture(second, read_picture(first))
    assert exif_in(second)[:3] == ("Maker", "2026:01:02 03:04:05", "N")
    assert read_picture(second).metadata.xmp == XMP
    if {source, target} <= {".png", ".jpg", ".tif"}:
        assert read_picture(second).metadata.iptc == IPTC


def test_pillow_finds_xmp_and_iptc(tmp_path):
    from PIL import IptcImagePlugin

    for suffix in (".png", ".jpg", ".webp", ".tif"):
        write_picture(tmp_path / f"a{suffix}", Picture(PIXELS, metadata=FULL))
        with Image.open(tmp_path / f"a{suffix}") as image:
            image.load()
            assert image.info["xmp"] == XMP
            if suffix in (".jpg", ".tif"):
                assert IptcImagePlugin.getiptcinfo(image)[(2, 5)] == b"Title"


def test_what_a_format_cannot_hold_is_said(tmp_path):
    picture = Picture(PIXELS, metadata=FULL, dpi=(300.0, 300.0))
    for suffix, says in (
        (".bmp", "EXIF, XMP, IPTC and text"),
        (".webp", "IPTC, text and DPI"),
        (".gif", "DPI"),
    ):
        assert any(says in note for note in write_picture(tmp_path / f"a{suffix}", picture))
    for suffix in (".png", ".jpg", ".tif"):
        assert write_picture(tmp_path / f"a{suffix}", picture) == ()


def test_exif_that_is_too_large_for_a_jpeg_is_said(tmp_path):
    large = exif([(37500, 7, 70_000, 26)], behind=bytes(70_000))
    picture = Picture(PIXELS, metadata=Metadata(large))
    (note,) = write_picture(tmp_path / "a.jpg", picture)
    assert "EXIF" in note and "JPEG" in note
    assert write_picture(tmp_path / "a.png", picture) == ()
    assert read_picture(tmp_path / "a.png").metadata.exif == large


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_dpi(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", Picture(PIXELS, dpi=(300.0, 150.0)))
    assert read_picture(tmp_path / f"a{suffix}").dpi == pytest.approx((300, 150), rel=1e-3)
    with Image.open(tmp_path / f"a{suffix}") as image:
        dpi = image.info.get("dpi") or (image.getexif()[282], image.getexif()[283])
        assert tuple(map(float, dpi)) == pytest.approx((300, 150), rel=1e-3)
    write_picture(tmp_path / f"b{suffix}", Picture(PIXELS))
    assert read_picture(tmp_path / f"b{suffix}").dpi is None, "none is invented"


def test_xmp_of_a_turned_picture_does_not_turn_it_again(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", quality=95)
    both = with_segment(buffer.getvalue(), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    (tmp_path / "xmp.jpg").write_bytes(both)
    alone = read_picture(tmp_path / "xmp.jpg")
    assert alone.pixels.shape == (24, 32, 3), "an orientation in XMP alone is not applied"
    assert alone.metadata.xmp == XMP
    (tmp_path / "both.jpg").write_bytes(with_segment(both, 0xE1, b"Exif\0\0" + camera_exif()))
    turned = read_picture(tmp_path / "both.jpg")
    assert turned.pixels.shape == (32, 24, 3)
    assert turned.metadata.xmp == XMP.replace(b'"6"', b'"1"')
    assert upright_xmp(b"<tiff:Orientation>8</tiff:Orientation>") == (
        b"<tiff:Orientation>1</tiff:Orientation>"
    )


def test_the_time_of_the_last_change_is_carried(tmp_path):
    write_picture(tmp_path / "a.png", Picture(PIXELS))
    os.utime(tmp_path / "a.png", ns=(10**18, 123_456_789 * 10**9))
    write_picture(tmp_path / "b.jpg", read_picture(tmp_path / "a.png"))
    assert (tmp_path / "b.jpg").stat().st_mtime_ns == 123_456_789 * 10**9


def test_stripped(tmp_path):
    picture = Picture(PIXELS, metadata=replace(FULL, png_colour=((b"sRGB", b"\0"),)))
    bare = replace(picture, metadata=picture.metadata.stripped())
    write_picture(tmp_path / "a.png", bare)
    fields = pyvips.Image.new_from_file(str(tmp_path / "a.png")).get_fields()
    assert not any(name.startswith(("exif", "xmp", "png-comment", "iptc")) for name in fields)
    assert b"sRGB" in (tmp_path / "a.png").read_bytes()


def test_a_webp_without_loss_stays_so(tmp_path):
    noise = RNG.integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.webp", lossless=True)
    Image.fromarray(noise).save(tmp_path / "lossy.webp")
    write_picture(tmp_path / "b.webp", read_picture(tmp_path / "a.webp"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.webp")), noise)
    write_picture(tmp_path / "c.webp", read_picture(tmp_path / "lossy.webp"))
    assert b"VP8L" not in (tmp_path / "c.webp").read_bytes()
    write_picture(tmp_path / "d.webp", read_picture(tmp_path / "a.webp"), quality=80)
    assert b"VP8L" not in (tmp_path / "d.webp").read_bytes()
