"""PNG files of every kind, made chunk by chunk; libvips and the arrays are the oracles."""

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from files_made import COLOUR_TYPE, SIGNATURE, chunk, chunks, exif, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture

ADAM7 = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2)]
ADAM7 += [(1, 2, 0, 1)]
RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def reading(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    return read_picture(path)


def joined(picture):
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[..., None]], axis=2)


# ------------------------------------------------------------------------- filters, interlacing


def filter_one_by_one(samples, kinds):
    """The specification's encoder, byte by byte: an oracle that shares no code."""
    size = samples.shape[2] * samples.dtype.itemsize
    lines = [list(row.astype(samples.dtype.newbyteorder(">")).tobytes()) for row in samples]
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


@settings(deadline=None)  # the first example loads libvips
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.integers(1, 4),
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    interlaced=st.booleans(),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_every_filter_and_interlacing_is_undone(
    tmp_path_factory, height, width, channels, kinds, interlaced, dtype
):
    samples = noise(height, width, channels, dtype=dtype)
    parts = [samples[r::rs, c::cs] for r, rs, c, cs in ADAM7] if interlaced else [samples]
    raw = b"".join(filter_one_by_one(part, kinds) for part in parts if part.size)
    bits = samples.dtype.itemsize * 8
    head = (width, height, bits, COLOUR_TYPE[channels], 0, 0, interlaced)
    data = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *head))
    data += chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert np.array_equal(joined(reading(tmp_path_factory.mktemp("png"), data)), samples)


# --------------------------------------------------------------------------------- transparency


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_the_transparent_level_of_gray_of_every_depth(tmp_path, bits, place):
    top = 2**bits - 1
    levels = RNG.integers(0, top + 1, (9, 13, 1)).astype(np.uint16 if bits == 16 else np.uint8)
    key = {"lowest": 0, "middle": top // 2, "highest": top}[place]
    levels[3, 4] = key
    data = png(levels, before=chunk(b"tRNS", struct.pack(">H", key)), bits=bits)
    picture = reading(tmp_path, data)
    white = 65535 if bits == 16 else 255
    assert np.array_equal(picture.pixels, levels * (white // top))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, np.where(levels[..., 0] == key, 0, white))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_transparent_colour_of_rgb(tmp_path, dtype):
    pixels = noise(8, 9, 3, dtype=dtype)
    pixels[3, 5] = (1, 2, 3)
    body = np.array([1, 2, 3], ">u2").tobytes()
    picture = reading(tmp_path, png(pixels, before=chunk(b"tRNS", body)))
    assert np.argwhere(picture.alpha == 0).tolist() == [[3, 5]]
    assert picture.alpha.max() == np.iinfo(dtype).max


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("entries", [1, 2])
def test_palettes_with_and_without_opacity(tmp_path, bits, entries):
    colours = noise(2, 3)
    indices = RNG.integers(0, 2, (9, 13, 1)).astype(np.uint8)
    opacity = bytes([7, 200])[:entries]
    palette = chunk(b"PLTE", colours.tobytes())
    data = png(indices, chunk(b"tRNS", opacity), bits=bits, kind=3, palette=palette)
    picture = reading(tmp_path, data)
    assert np.array_equal(picture.pixels, colours[indices[..., 0]])
    levels = np.array([7, 200 if entries == 2 else 255])
    assert np.array_equal(picture.alpha, levels[indices[..., 0]])


# ------------------------------------------------------------------- what concerns no pixel

PROFILE_CHUNK = b"icc\0\0" + zlib.compress(b"no profile")
BESIDE = {
    "a wrong checksum": (chunk(b"tEXt", b"Title\0text", checksum=1), "tEXt"),
    "a wrong checksum of the time": (chunk(b"tIME", bytes(7), checksum=1), "tIME"),
    "a wrong checksum of the opacity": (chunk(b"tRNS", bytes(6), checksum=1), "tRNS"),
    "an opacity of another kind": (chunk(b"tRNS", bytes(20)), "tRNS"),
    "an empty opacity": (chunk(b"tRNS", b""), "tRNS"),
    "an empty profile": (chunk(b"iCCP", b""), "iCCP"),
    "a profile without a name": (chunk(b"iCCP", b"abc"), "iCCP"),
    "a profile that is not packed": (chunk(b"iCCP", b"a\0\0garbage"), "iCCP"),
    "a profile that is none": (chunk(b"iCCP", PROFILE_CHUNK), "profile"),
    "text that is not packed": (chunk(b"zTXt", b"a\0\0garbage"), "zTXt"),
    "text that is not UTF-8": (chunk(b"iTXt", b"a\0\0\0\0\0\xff\xfe"), "iTXt"),
    "text without a keyword": (chunk(b"tEXt", b"\0text"), "tEXt"),
    "a short size of pixels": (chunk(b"pHYs", b"\0\0"), "pHYs"),
    "a gamma of 0": (chunk(b"gAMA", bytes(4)), "gAMA"),
    "short primaries": (chunk(b"cHRM", bytes(9)), "cHRM"),
    "a short cICP": (chunk(b"cICP", b"\1"), "cICP"),
    "EXIF without a directory": (chunk(b"eXIf", b"II*\0"), "EXIF"),
    "EXIF that is cut": (chunk(b"eXIf", exif([(271, 2, 40, 5000)])), "EXIF"),
    "EXIF with a wrong orientation": (chunk(b"eXIf", exif([(274, 3, 1, 9)])), "1 to 8"),
    "a frame too many": (chunk(b"acTL", struct.pack(">II", 3, 0)), "3 frames"),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("case", BESIDE)
def test_damage_beside_the_pixels_is_a_note(tmp_path, case, where, dtype):
    samples = noise(9, 8, 3, dtype=dtype)
    data, says = BESIDE[case]
    picture = reading(tmp_path, png(samples, **{where: data}))
    assert np.array_equal(picture.pixels, samples)
    assert picture.alpha is None
    assert any(says in note for note in picture.notes), picture.notes
    assert picture.icc_profile is None and picture.metadata.exif in (None, exif([(274, 3, 1, 9)]))


def test_unknown_ancillary_chunks_are_no_news(tmp_path):
    samples = noise(4, 5, 3)
    data = png(samples, before=chunk(b"abCd", bytes(50)), after=chunk(b"xyZz", b""))
    picture = reading(tmp_path, data)
    assert np.array_equal(picture.pixels, samples) and picture.notes == ()


@pytest.mark.parametrize("extra", [chunk(b"IDAT", b""), b""])
def test_idat_that_is_empty_or_interrupted(tmp_path, extra):
    samples = noise(4, 5, 3)
    assert np.array_equal(reading(tmp_path, png(samples, before=extra)).pixels, samples)
    split = reading(tmp_path, png(samples, middle=chunk(b"tEXt", b"a\0b")))
    assert np.array_equal(split.pixels, samples)
    assert any("between" in note for note in split.notes)


def test_a_missing_end_is_a_note(tmp_path):
    samples = noise(4, 5, 3)
    for data in (png(samples, end=False), png(samples)[:-5], png(samples, after=b"garbage!" * 4)):
        picture = reading(tmp_path, data)
        assert np.array_equal(picture.pixels, samples)
        assert any("IEND" in note for note in picture.notes)


def test_bytes_behind_the_end_are_no_news(tmp_path):
    samples = noise(4, 5, 3)
    assert reading(tmp_path, png(samples) + b"garbage").notes == ()


# ----------------------------------------------------------------------- what concerns pixels


def idat(data):
    return data.index(b"IDAT")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_missing_pixels_are_refused(tmp_path, share, closed, channels, dtype):
    samples = noise(40, 30, channels, dtype=dtype)
    data = png(samples)
    packed = b"".join(body for kind, body in chunks(data) if kind == b"IDAT")
    part = packed[: int(len(packed) * share)]
    start = SIGNATURE + chunk(*chunks(data)[0])
    if closed:
        cut = start + chunk(b"IDAT", part) + chunk(b"IEND", b"")
    else:
        cut = start + struct.pack(">I", len(packed)) + b"IDAT" + part
    with pytest.raises(PictureError, match="damaged or cut short"):
        reading(tmp_path, cut)


def test_too_few_rows_in_a_sound_stream_are_refused(tmp_path):
    samples = noise(40, 30, 3)
    data = png(samples[:-1])
    head = struct.pack(">IIBBBBB", 30, 40, 8, 2, 0, 0, 0)
    taller = SIGNATURE + chunk(b"IHDR", head) + data[33:]
    with pytest.raises(PictureError, match="damaged or cut short"):
        reading(tmp_path, taller)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_a_critical_chunk_is_refused(tmp_path, kind):
    colours = chunk(b"PLTE", noise(4, 3).tobytes())
    data = bytearray(png(RNG.integers(0, 4, (5, 6, 1)).astype(np.uint8), kind=3, palette=colours))
    place = data.index(kind)
    length = struct.unpack_from(">I", data, place - 4)[0]
    data[place + 4 + length] ^= 1
    with pytest.raises(PictureError, match=r"damaged or cut short.*checksum"):
        reading(tmp_path, bytes(data))


def test_a_wrong_checksum_of_the_packed_pixels_is_refused(tmp_path):
    samples = noise(6, 5, 3)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in samples))
    packed = packed[:-1] + bytes([packed[-1] ^ 1])
    start = png(samples)[:33]
    with pytest.raises(PictureError, match="damaged or cut short"):
        reading(tmp_path, start + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name", [b"CgBI", b"ABCD"])
def test_unknown_critical_chunks_are_named(tmp_path, name):
    data = png(noise(4, 5, 3))
    with pytest.raises(PictureError, match=f"{name.decode()}.*not supported"):
        reading(tmp_path, data[:33] + chunk(name, b"1234") + data[33:])


def test_a_png_that_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path):
    data = png(noise(2, 2, 3))[:33] + chunk(b"IDAT", zlib.compress(bytes(50_000_000)))
    path = tmp_path / "a.png"
    path.write_bytes(data + chunk(b"IEND", b""))
    try:
        assert read_picture(path).pixels.shape == (2, 2, 3)
    except PictureError as error:
        assert "damaged" in str(error)


# ------------------------------------------------------------------------------------ own files


def test_a_large_profile_is_read_again(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    large = profile + RNG.integers(0, 256, 3_000_000, np.uint8).tobytes()
    picture = reading(tmp_path, png(noise(4, 5, 3)))
    from dataclasses import replace

    write_picture(tmp_path / "b.png", replace(picture, icc_profile=large))
    assert (tmp_path / "b.png").stat().st_size > 3_000_000
    again = read_picture(tmp_path / "b.png")
    assert again.icc_profile == large and again.notes == ()
    assert np.array_equal(again.pixels, picture.pixels)


def test_text_survives_and_pillow_reads_it(tmp_path):
    long = "long " * 900
    before = chunk(b"tEXt", b"Title\0K\xf6ln") + chunk(
        b"zTXt", b"Long\0\0" + zlib.compress(long.encode())
    )
    before += chunk(b"iTXt", "Author\0\0\0\0\0日本".encode())
    picture = reading(tmp_path, png(noise(4, 5, 3), before=before))
    assert picture.notes == ()
    write_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert image.text == {"Title": "Köln", "Long": long, "Author": "日本"}


def test_what_the_colours_mean_survives(tmp_path):
    wanted = [
        (b"cICP", bytes([9, 16, 0, 1])),
        (b"gAMA", struct.pack(">I", 100000)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
    ]
    data = png(noise(4, 5, 3), before=b"".join(chunk(*each) for each in wanted))
    write_picture(tmp_path / "b.png", reading(tmp_path, data))
    found = chunks((tmp_path / "b.png").read_bytes())
    assert [each for each in found if each in wanted] == wanted
    assert pyvips.Image.new_from_file(str(tmp_path / "b.png")).numpy().shape == (4, 5, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp"])
def test_a_gamma_becomes_a_profile_elsewhere(tmp_path, suffix):
    from PIL import ImageCms

    data = png(np.full((8, 8, 3), 64, np.uint8), before=chunk(b"gAMA", struct.pack(">I", 100000)))
    (note,) = write_picture(tmp_path / f"b{suffix}", reading(tmp_path, data))
    assert "gamma" in note
    with Image.open(tmp_path / f"b{suffix}") as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    linear = 64 / 255
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(shown).astype(float) - expected).max() < 4


def test_a_space_of_colours_that_the_format_cannot_hold_is_said(tmp_path):
    data = png(noise(8, 8, 3), before=chunk(b"cICP", bytes([9, 16, 0, 1])))
    (note,) = write_picture(tmp_path / "b.jpg", reading(tmp_path, data))
    assert "cICP 9/16/0/1" in note
    srgb = png(noise(8, 8, 3), before=chunk(b"cICP", bytes([1, 13, 0, 1])) + chunk(b"sRGB", b"\0"))
    assert write_picture(tmp_path / "c.jpg", reading(tmp_path, srgb)) == ()
