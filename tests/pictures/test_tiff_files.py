"""TIFF files of every kind; tifffile writes them, and NumPy or libvips say what is in them."""

import struct

import numpy as np
import pytest
import pyvips
import skimage.color
import tifffile
from files_made import tiff
from PIL import Image

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture

RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


LAYOUTS = {
    "strips": {},
    "short strips": {"rowsperstrip": 7},
    "packed": {"compression": "zlib"},
    "predicted": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 32)},
    "predicted tiles": {"compression": "zlib", "predictor": True, "tile": (32, 16)},
    "BigTIFF": {"bigtiff": True},
    "planes": {"planarconfig": "separate"},
    "planes of tiles": {"planarconfig": "separate", "tile": (16, 16)},
}


def save(path, samples, **options):
    if options.get("planarconfig") == "separate":
        samples = np.ascontiguousarray(samples.transpose(2, 0, 1))
    tifffile.imwrite(path, samples, **({"photometric": "rgb"} | options))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rgb_in_every_layout(tmp_path, layout, order, dtype):
    samples = noise(50, 41, 3, dtype=dtype)
    save(tmp_path / "a.tif", samples, byteorder=order, **LAYOUTS[layout])
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels.dtype == dtype and picture.notes == ()
    assert np.array_equal(picture.pixels, samples)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes", "predicted"])
@pytest.mark.parametrize("meaning", ["assocalpha", "unassalpha", "unspecified", None])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_further_sample_is_opacity(tmp_path, colours, meaning, layout, dtype):
    top = np.iinfo(dtype).max
    alpha = RNG.integers(top // 4, top, (50, 41, 1)).astype(dtype)
    plain = noise(50, 41, colours, dtype=dtype)
    stored = plain
    if meaning == "assocalpha":
        stored = np.rint(plain * (alpha / top)).astype(dtype)
    options = dict(LAYOUTS[layout], photometric="rgb" if colours == 3 else "minisblack")
    if layout == "planes" and colours == 1:
        pytest.skip("two planes of gray are two pages to tifffile")
    samples = np.concatenate([stored, alpha], axis=2)
    extra = [] if meaning is None else [meaning]
    save(tmp_path / "a.tif", samples, extrasamples=extra or ["unspecified"], **options)
    if meaning is None:
        forget_tag(tmp_path / "a.tif", 338)
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.alpha, alpha[..., 0])
    worst = np.abs(picture.pixels.astype(int) - plain).max()
    assert worst <= (4 if meaning == "assocalpha" else 0)


def forget_tag(path, tag):
    """Give a tag a private number."""
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags[tag].offset
        order = file.byteorder
    data = bytearray(path.read_bytes())
    assert struct.unpack_from(order + "H", data, place)[0] == tag
    data[place : place + 2] = struct.pack(order + "H", 65000)
    path.write_bytes(data)


def test_more_channels_are_dropped_and_that_is_said(tmp_path):
    samples = noise(20, 30, 5)
    save(tmp_path / "a.tif", samples, extrasamples=["unspecified", "unassalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, samples[..., :3])
    assert np.array_equal(picture.alpha, samples[..., 4]), "the one that is described"
    assert any("dropped" in note for note in picture.notes)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("white_is_0", [False, True])
def test_gray_of_every_depth(tmp_path, bits, white_is_0):
    top = 2**bits - 1
    levels = RNG.integers(0, top + 1, (6, 16)).astype(np.uint16)
    if bits == 16:
        strip = levels.astype("<u2").tobytes()
    else:
        fields = np.unpackbits(levels.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
        strip = np.packbits(fields.reshape(6, -1), axis=1).tobytes()
    tags = [(256, 3, [16]), (257, 3, [6]), (258, 3, [bits]), (259, 3, [1])]
    tags += [(262, 3, [0 if white_is_0 else 1]), (277, 3, [1]), (278, 3, [6])]
    (tmp_path / "a.tif").write_bytes(tiff(strip, tags))
    picture = read_picture(tmp_path / "a.tif")
    white = 65535 if bits == 16 else 255
    wanted = levels.astype(int) * (white // top)
    assert np.array_equal(picture.pixels[..., 0], white - wanted if white_is_0 else wanted)


def test_12_bit_gray_is_spread_over_the_range(tmp_path):
    packed = bytes.fromhex("000fff800001") * 2  # 0, 4095, 2048 and 1, twice
    tags = [(256, 3, [4]), (257, 3, [2]), (258, 3, [12]), (259, 3, [1]), (262, 3, [1])]
    tags += [(277, 3, [1]), (278, 3, [2])]
    (tmp_path / "a.tif").write_bytes(tiff(packed, tags))
    assert read_picture(tmp_path / "a.tif").pixels[..., 0].tolist() == [[0, 65535, 32776, 16]] * 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_is_what_libvips_makes_of_it(tmp_path, dtype):
    save(tmp_path / "a.tif", noise(9, 8, 4, dtype=dtype), photometric="separated")
    picture = read_picture(tmp_path / "a.tif")
    wanted = pyvips.Image.new_from_file(str(tmp_path / "a.tif"))
    wanted = wanted.colourspace("srgb" if dtype == np.uint8 else "rgb16").numpy()
    assert np.array_equal(picture.pixels, wanted) and picture.pixels.dtype == dtype
    assert "CMYK" in picture.notes[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_becomes_srgb(tmp_path, dtype):
    rgb = noise(9, 8, 3) // 2 + 60
    lab = skimage.color.rgb2lab(rgb)
    if dtype == np.uint8:
        stored = np.rint(lab * [255 / 100, 1, 1]).astype(np.int16).astype(np.uint8)
    else:
        stored = np.rint(lab * [65535 / 100, 256, 256]).astype(np.int32).astype(np.uint16)
    save(tmp_path / "a.tif", stored, photometric="cielab")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels.dtype == dtype and "L*a*b*" in picture.notes[0]
    levels = picture.pixels / (np.iinfo(dtype).max / 255)
    assert np.abs(levels - rgb).max() < (6 if dtype == np.uint8 else 1)


@pytest.mark.parametrize("compression", ["zstd", "lzma"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_packed_as_libvips_does_not_know(tmp_path, mode, compression):
    image = Image.fromarray(noise(300, 200, 4)).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    picture = read_picture(tmp_path / "a.tif")
    found = picture.pixels if mode != "L" else picture.pixels[..., 0]
    if mode == "RGBA":
        found = np.concatenate([found, picture.alpha[..., None]], axis=2)
    assert np.array_equal(found, np.asarray(image)) and picture.notes == ()
    rewritten(tmp_path / "a.tif", 279, lambda sizes: [*sizes[:-1], sizes[-1] // 2])
    with pytest.raises(PictureError, match="damaged or cut short"):
        read_picture(tmp_path / "a.tif")


def test_palettes_and_black_and_white(tmp_path):
    image = Image.fromarray(noise(17, 23, 3))
    for mode, options in (("P", {}), ("1", {}), ("1", {"compression": "group4"}), ("PA", {})):
        shown = image.convert("LA").convert(mode) if mode == "PA" else image.convert(mode)
        shown.save(tmp_path / "a.tif", **options)
        picture = read_picture(tmp_path / "a.tif")
        oracle = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB"))
        assert np.array_equal(np.broadcast_to(picture.pixels, oracle.shape), oracle)


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_packed_by_pillow(tmp_path, compression):
    image = Image.fromarray(noise(64, 48, 3))
    image.save(tmp_path / "a.tif", compression=compression)
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, np.asarray(Image.open(tmp_path / "a.tif")))


# ------------------------------------------------------------------------------ other numbers


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.8), (-3.0, 250.0), (0.0, 65535.0)])
def test_floating_point_stays_floating_point(tmp_path, low, high):
    values = (low + (high - low) * RNG.random((20, 30, 3))).astype(np.float32)
    values[0, 0], values[0, 1] = low, high
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
    assert bool(picture.notes) == (low < 0 or high > 1)
    write_picture(tmp_path / "b.tif", picture)
    again = tifffile.imread(tmp_path / "b.tif")
    assert again.dtype == np.float32
    assert np.abs(again - values).max() <= 1e-5 * max(1, high - low)
    notes = write_picture(tmp_path / "b.png", picture)
    assert "Floating point became 16 bits" in notes[0]
    sixteen = pyvips.Image.new_from_file(str(tmp_path / "b.png")).numpy()
    assert np.abs(sixteen / 65535 - picture.pixels).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int32])
def test_other_whole_numbers_become_floating_point(tmp_path, dtype):
    top = min(np.iinfo(dtype).max, 20_000)
    values = RNG.integers(0, top, (20, 30), dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    picture = read_picture(tmp_path / "a.tif")
    assert any("whole numbers" in note.lower() for note in picture.notes)
    write_picture(tmp_path / "b.tif", picture)
    assert np.abs(tifffile.imread(tmp_path / "b.tif") - values).max() < 1e-2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(tmp_path, bad):
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = bad
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    with pytest.raises(PictureError, match=r"not finite.*not supported"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("dtype", "says"),
    [
        (np.float64, "64 bits"),
        (np.float16, "16 bits .floating point"),
        (np.uint64, "64 bits"),
        (np.complex64, "complex"),
    ],
)
def test_numbers_that_no_decoder_knows_are_named(tmp_path, dtype, says):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), dtype), photometric="minisblack")
    with pytest.raises(PictureError, match=f"{says}.*not supported"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("photometric", "says"), [(32803, "sensor"), (34892, "sensor"), (77, "77")]
)
def test_colours_that_no_decoder_knows_are_named(tmp_path, photometric, says):
    tags = [(256, 3, [4]), (257, 3, [2]), (258, 3, [8]), (259, 3, [1]), (262, 3, [photometric])]
    (tmp_path / "a.tif").write_bytes(tiff(bytes(8), [*tags, (277, 3, [1]), (278, 3, [2])]))
    with pytest.raises(PictureError, match=f"{says}.*not supported"):
        read_picture(tmp_path / "a.tif")


# ------------------------------------------------------------------------------------ pages


def test_the_first_of_several_pages_is_used_and_said(tmp_path):
    samples = noise(3, 9, 8, 3)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, samples[0])
    assert "3 pages" in picture.notes[0] and "--pages" in picture.notes[0]
    for page in range(3):
        one = read_picture(tmp_path / "a.tif", page=page)
        assert np.array_equal(one.pixels, samples[page]) and one.notes == ()
    with pytest.raises(PictureError, match="no page 4"):
        read_picture(tmp_path / "a.tif", page=3)


@pytest.mark.parametrize("second", [np.float16, np.float64, np.uint64, np.complex64])
def test_an_odd_second_page_does_not_decide(tmp_path, second):
    first = noise(9, 8, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(first, photometric="rgb")
        writer.write(np.zeros((5, 6), second), photometric="minisblack")
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, first) and "2 pages" in picture.notes[0]


@pytest.mark.parametrize("place", [5, 10**9, 8])
def test_a_broken_second_page_is_a_note(tmp_path, place):
    pixels = noise(2, 4, 1)
    tags = [(256, 3, [4]), (257, 3, [2]), (258, 3, [8]), (259, 3, [1]), (262, 3, [1])]
    data = tiff(pixels.tobytes(), [*tags, (277, 3, [1]), (278, 3, [2])], next_ifd=place)
    (tmp_path / "a.tif").write_bytes(data)
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, pixels)
    assert any("damaged behind page 1" in note for note in picture.notes)


def test_a_small_first_page_is_said(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise(9, 8, 3), photometric="rgb", subfiletype=1)
        writer.write(noise(90, 80, 3), photometric="rgb")
    assert any("small version of page 2" in n for n in read_picture(tmp_path / "a.tif").notes)


# ---------------------------------------------------------------------------- missing pixels


def rewritten(path, tag, change):
    with tifffile.TiffFile(path) as file:
        entry = file.pages[0].tags[tag]
        values = change(list(np.atleast_1d(entry.value)))
        entry_offset, code = entry.valueoffset, {3: "H", 4: "I", 16: "Q"}[int(entry.dtype)]
        order = file.byteorder
    data = bytearray(path.read_bytes())
    packed = struct.pack(f"{order}{len(values)}{code}", *values)
    data[entry_offset : entry_offset + len(packed)] = packed
    path.write_bytes(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "options",
    [
        {"rowsperstrip": 10},
        {"rowsperstrip": 10, "compression": "zlib"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["shorter", "beyond", "cut"])
def test_missing_pixels_are_refused(tmp_path, how, options, dtype):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(40, 48, 3, dtype=dtype), photometric="rgb", **options)
    tiled = "tile" in options
    if how == "shorter":
        rewritten(path, 325 if tiled else 279, lambda sizes: [*sizes[:-1], sizes[-1] // 2])
    elif how == "beyond":
        rewritten(path, 324 if tiled else 273, lambda places: [*places[:-1], 10**8])
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(PictureError, match="damaged or cut short"):
        read_picture(path)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "group4", "jpeg"])
def test_a_strip_that_is_cut_is_refused(tmp_path, compression):
    path = tmp_path / "a.tif"
    image = Image.fromarray(noise(64, 64, 3))
    image = image.convert("1") if compression == "group4" else image
    image.save(path, compression=compression)
    rewritten(path, 279, lambda sizes: [*sizes[:-1], sizes[-1] // 2])
    with pytest.raises(PictureError, match="damaged or cut short"):
        read_picture(path)


def test_sizes_that_a_program_left_out_are_no_news(tmp_path):
    pixels = noise(6, 8, 1)
    tags = [(256, 3, [8]), (257, 3, [6]), (258, 3, [8]), (259, 3, [1]), (262, 3, [1])]
    data = tiff(pixels.tobytes(), [*tags, (277, 3, [1]), (278, 3, [6])])
    place = data.index(struct.pack("<HHII", 279, 4, 1, 48))
    for name, other in (("0", (279, 4, 1, 0)), ("missing", (65001, 4, 1, 48))):
        changed = data[:place] + struct.pack("<HHII", *other) + data[place + 12 :]
        if name == "missing":  # tags must be in order
            changed = data[:place] + struct.pack("<HHII", 280, 4, 1, 48) + data[place + 12 :]
        (tmp_path / "a.tif").write_bytes(changed)
        assert np.array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)


# -------------------------------------------------------------------------------- own files


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tifffile_reads_what_is_written(tmp_path, channels, dtype):
    if dtype == np.float32:
        samples = RNG.random((70, 41, channels)).astype(np.float32)
    else:
        samples = noise(70, 41, channels, dtype=dtype)
    alpha = samples[..., -1].copy() if channels in (2, 4) else None
    pixels = samples[..., : channels - (alpha is not None)].copy()
    write_picture(tmp_path / "a.tif", Picture(pixels, alpha, dpi=(300.0, 150.0)))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[0]
        assert np.array_equal(page.asarray().reshape(samples.shape), samples)
        assert tuple(page.extrasamples) == ((2,) if alpha is not None else ())
        assert page.resolution == (300, 150)
