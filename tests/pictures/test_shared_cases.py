"""Files that people have (../shared/cases): read as libvips reads them, or refused in words.

The other test files of this folder make files of the same kinds, so a checkout without that folder
tests them, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "cases"
FILES = sorted(
    str(path.relative_to(FOLDER))
    for path in FOLDER.glob("*/*")
    if path.suffix in (".png", ".jpg", ".webp", ".tif", ".bmp")
)

REFUSED = {
    "damaged/jpeg-flipped.jpg": "damaged or cut",
    "damaged/tiff16-strip-short.tif": "shorter|beyond|damaged",
    "damaged/webp-lossy-half.webp": "damaged or cut",
    "jpeg-kinds/cut.jpg": "damaged or cut",
    "jpeg-kinds/jpegls.jpg": "JPEG-LS",
    "png-chunks/adler-bad.png": "damaged or cut",
    "png-chunks/rows-short.png": "damaged or cut",
    "tiff-kinds/f64.tif": "64 bits",
    **{name: "damaged or cut" for name in FILES if name.startswith("png-short/")},
}
NOTED = {
    **{
        name: "EXIF"
        for name in FILES
        if name.startswith("exif/")
        and not name.endswith(("good-6.png", "good-6.webp"))
        and "xres-zero" not in name
        and "orient-long" not in name
        and "orient-two" not in name
    },
    "bmp-kinds/32-v5-alpha0.bmp": "opacity",
    "colour-chunks/gray-rgbicc.jpg": "profile for RGB",
    "jpeg-kinds/cmyk-adobe.jpg": "CMYK",
    "jpeg-kinds/cmyk-noadobe.jpg": "CMYK",
    "png-chunks/16-bad-crc-text.png": "tEXt",
    "png-chunks/bad-crc-time.png": "tIME",
    "png-chunks/iccp-empty.png": "iCCP",
    "png-chunks/iccp-no-name.png": "iCCP",
    "png-chunks/idat-split-by-text.png": "between",
    "png-chunks/itxt-bad-utf8.png": "iTXt",
    "png-chunks/palette-trns-long.png": "tRNS",
    "png-chunks/phys-short.png": "pHYs",
    "png-chunks/trns-long.png": "tRNS",
    "png-chunks/ztxt-bad.png": "zTXt",
    "tiff-alpha/five-16.tif": "dropped",
    "tiff-alpha/five-8.tif": "dropped",
    "tiff-kinds/cmyk.tif": "CMYK",
    "tiff-kinds/cmyk16.tif": "CMYK",
    "tiff-kinds/i16.tif": "signed",
    "tiff-kinds/u32.tif": "unsigned",
    "tiff-kinds/pages.tif": "pages",
    "tiff-kinds/pyramid.tif": "pages",
    "tiff-kinds/thumb-first.tif": "small version",
    **{name: "pages" for name in FILES if name.startswith("tiff-pages/")},
}
TURNED = {
    "exif/j-count-huge.jpg": 1,
    "exif/j-orient-two.jpg": 6,
    "exif/p-good-6.png": 6,
    "exif/w-good-6.webp": 6,
    "exif/p-orient-long.png": 6,
    "png-chunks/16-exif-after.png": 6,
}

pytestmark = pytest.mark.skipif(not FILES, reason="needs ../shared/cases")


def by_libvips(path):
    """[height, width, colours and opacity] as libvips reads a file, in gray or RGB."""
    if path.suffix == ".bmp":
        return np.asarray(Image.open(path))
    image = pyvips.Image.new_from_file(str(path))
    if image.interpretation == "cmyk":
        image = image.colourspace("rgb16" if image.format == "ushort" else "srgb")
    return image.numpy().reshape(image.height, image.width, -1)


def expected_values(path, name):
    samples = by_libvips(path)
    if name in TURNED:
        samples = np.ascontiguousarray(np.rot90(samples, {6: 3, 1: 0}[TURNED[name]]))
    if name.startswith("tiff-alpha/five"):
        samples = samples[..., :4]
    if name == "tiff-kinds/rgb16-zstd.tif":  # libvips has no Zstandard, Pillow shows 8 bits
        return np.asarray(Image.open(path)).astype(np.uint16) * 257
    if name == "png-chunks/idat-split-by-text.png":  # libvips stops at the text
        samples = by_libvips(FOLDER / "png-chunks/plain.png")
    return samples


@pytest.mark.parametrize("name", FILES)
def test_it_is_read_as_libvips_reads_it_or_refused_in_words(name):
    path = FOLDER / name
    if name in REFUSED:
        with pytest.raises(PictureError, match=REFUSED[name]):
            read_picture(path)
        return
    picture = read_picture(path)
    if name in NOTED:
        assert any(NOTED[name] in note for note in picture.notes), picture.notes
    else:
        assert picture.notes == ()
    found = picture.pixels
    if picture.alpha is not None:
        found = np.concatenate([found, picture.alpha[..., None]], axis=2)
    wanted = expected_values(path, name)
    if name == "bmp-kinds/32-v5-alpha0.bmp":
        assert (picture.alpha == 255).all()
        found, wanted = found[..., :3], wanted[..., :3]
    assert found.shape == wanted.shape
    if found.dtype == np.float32:
        low, high = picture.value_range
        assert np.allclose(found * (high - low) + low, wanted, atol=1e-4 * (high - low))
    else:
        assert found.dtype == wanted.dtype
        tolerance = 2 if name == "colour-chunks/gray-rgbicc.jpg" else 1 if "-assoc" in name else 0
        assert np.abs(found.astype(int) - wanted).max() <= tolerance


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_what_is_written_of_it_is_read_again_by_libvips(tmp_path, name, suffix):
    picture = read_picture(FOLDER / name)
    if picture.is_transparent and suffix == ".jpg":
        pytest.skip("JPEG has no opacity")
    target = tmp_path / f"a{suffix}"
    write_picture(target, picture)
    again = pyvips.Image.new_from_file(str(target), fail_on="warning")
    assert (again.width, again.height) == (picture.width, picture.height)
    samples = again.numpy()
    assert samples.size
    ours = read_picture(target)
    assert ours.notes == () or picture.value_range != (0, 1)
    assert ours.pixels.shape[:2] == picture.pixels.shape[:2]
