"""A limit for memory: the same pixels, measured peaks, and what to do when it is too low."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, LittleMemoryRuntime
from PIL import Image

from swinir_deploy.errors import DeviceMemoryError, PictureError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import probe_picture, read_picture
from swinir_deploy.pictures.write import write_picture
from swinir_deploy.restoration.memory_budget import memory_needed, rows_within
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.restoration.tiled_model import TiledModel

MEGABYTE = 10**6


def noise(*shape, dtype=np.uint8, seed=0):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype, endpoint=True)


def smear(batch):
    """Depends on where a tile begins, so that tiles must be the same for equal results."""
    return (batch + np.roll(batch, 5, axis=2)) / 2


def tiled(runtime, tile=None):
    return TiledModel(runtime, tile, 32, 1, False)


# ------------------------------------------------------------------------------------- the result


@pytest.mark.parametrize(
    ("suffix", "colours", "alpha", "dtype", "in_chans"),
    [
        (".png", 3, False, np.uint8, 3),
        (".png", 1, True, np.uint16, 1),
        (".png", 3, True, np.uint8, 1),
        (".tif", 3, True, np.uint16, 3),
        (".tif", 1, False, np.uint8, 3),
        (".tif", 3, False, np.uint16, 1),
    ],
)
def test_strips_hold_the_pixels_of_the_whole(tmp_path, suffix, colours, alpha, dtype, in_chans):
    opacity = noise(300, 600, dtype=dtype, seed=1) // 100 * 100 if alpha else None
    picture = Picture(noise(300, 600, colours, dtype=dtype), opacity, b"icc" * 9, (72, 72))
    write_picture(tmp_path / "in.tif", picture)
    with FakeRuntime(smear, in_chans=in_chans) as runtime:
        restorer = Restorer(runtime, 64)
        plain = restorer.restore_file(tmp_path / "in.tif", tmp_path / f"whole{suffix}")
        need = memory_needed(probe_picture(tmp_path / "in.tif"), tiled(runtime, 64), "PNG")
        limit = need.whole - 1
        assert need.streamed <= limit, "the limit must leave room for tiles of the usual size"
        found = restorer.restore_file(
            tmp_path / "in.tif", tmp_path / f"strips{suffix}", max_memory_bytes=limit
        )
    assert found.notes == plain.notes
    assert (found.target_width, found.target_height) == (1200, 600)
    whole, strips = (read_picture(tmp_path / f"{name}{suffix}") for name in ("whole", "strips"))
    assert np.array_equal(strips.pixels, whole.pixels)
    assert (strips.alpha is None) == (not alpha)
    assert not alpha or np.array_equal(strips.alpha, whole.alpha)
    assert (strips.icc_profile, strips.dpi) == (whole.icc_profile, whole.dpi)


def test_a_jpeg_in_strips_is_the_same_file(tmp_path):
    write_picture(tmp_path / "in.png", Picture(noise(400, 500, 3)))
    with FakeRuntime(smear) as runtime:
        restorer = Restorer(runtime, 64)
        restorer.restore_file(tmp_path / "in.png", tmp_path / "whole.jpg")
        need = memory_needed(probe_picture(tmp_path / "in.png"), tiled(runtime, 64), "JPEG")
        restorer.restore_file(
            tmp_path / "in.png", tmp_path / "strips.jpg", max_memory_bytes=need.whole - 1
        )
    assert (tmp_path / "strips.jpg").read_bytes() == (tmp_path / "whole.jpg").read_bytes()


def test_a_high_limit_changes_nothing(tmp_path):
    write_picture(tmp_path / "in.png", Picture(noise(30, 40, 3)))
    with FakeRuntime() as runtime:
        for name, limit in (("a.png", None), ("b.png", 10**9)):
            Restorer(runtime).restore_file(
                tmp_path / "in.png", tmp_path / name, max_memory_bytes=limit
            )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_stream_begins_again_when_the_devices_memory_runs_out(tmp_path):
    pixels = noise(700, 400, 3)
    write_picture(tmp_path / "in.png", Picture(pixels))

    class FailsLater(LittleMemoryRuntime):
        def _before(self, batch):
            if len(self.shapes) > 4:
                super()._before(batch)

    with FailsLater(128 * 128, DeviceMemoryError("full")) as runtime:
        need = memory_needed(probe_picture(tmp_path / "in.png"), tiled(runtime), "PNG")
        done = Restorer(runtime).restore_file(
            tmp_path / "in.png", tmp_path / "out.png", max_memory_bytes=need.whole - 1
        )
    assert any("Memory ran out" in note for note in done.notes)
    assert np.array_equal(
        read_picture(tmp_path / "out.png").pixels, pixels.repeat(2, axis=0).repeat(2, axis=1)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]


def test_tiles_get_lower_when_one_row_of_them_would_not_fit(tmp_path):
    pixels = noise(500, 3000, 3)
    write_picture(tmp_path / "in.png", Picture(pixels))
    with FakeRuntime() as runtime:
        model = tiled(runtime)
        layout = read_picture(tmp_path / "in.png").layout
        assert rows_within(10**9, layout, model) is None
        limit = 38 * MEGABYTE
        rows = rows_within(limit, layout, model)
        assert 32 <= rows < 256
        runtime.shapes.clear()
        done = Restorer(runtime).restore_file(
            tmp_path / "in.png", tmp_path / "out.png", max_memory_bytes=limit
        )
        assert {shape[2] for shape in runtime.shapes} == {31 * 8}, "14 tiles for 375 windows"
        assert all(rows - 16 < shape[1] <= rows for shape in runtime.shapes)
    assert done.notes == (f"Tiles were at most {rows} pixels high, to save memory.",)
    result = read_picture(tmp_path / "out.png").pixels
    assert np.array_equal(result, pixels.repeat(2, axis=0).repeat(2, axis=1))


# --------------------------------------------------------------------------------- too low a limit


@pytest.mark.parametrize(
    ("name", "limit", "says"),
    [
        ("out.png", 1 * MEGABYTE, r"in.png: decoding it takes up to \d+ MB; .* is 1 MB"),
        ("out.webp", 10 * MEGABYTE, r"WEBP cannot be written in strips. Write a .png"),
        ("out.bmp", 10 * MEGABYTE, r"BMP cannot be written in strips. Write a .png"),
        ("out.png", 8 * MEGABYTE, r"2000x300 pixels need \d+ MB with the lowest tiles"),
    ],
)
def test_a_limit_that_does_not_suffice_is_said_with_figures(tmp_path, name, limit, says):
    write_picture(tmp_path / "in.png", Picture(noise(300, 2000, 3)))
    with FakeRuntime(scale=4) as runtime:
        restorer = Restorer(runtime)
        with pytest.raises(PictureError, match=says):
            restorer.restore_file(tmp_path / "in.png", tmp_path / name, max_memory_bytes=limit)
        assert runtime.shapes == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_transparency_that_the_format_has_not_is_noticed_before_the_work(tmp_path):
    write_picture(tmp_path / "in.png", Picture(noise(300, 700, 3), noise(300, 700)))
    with FakeRuntime() as runtime:
        with pytest.raises(PictureError, match="transparent pixels and JPEG cannot hold them"):
            need = memory_needed(probe_picture(tmp_path / "in.png"), tiled(runtime, 64), "JPEG")
            Restorer(runtime, 64).restore_file(
                tmp_path / "in.png", tmp_path / "out.jpg", max_memory_bytes=need.whole - 1
            )
        assert runtime.shapes == []


# -------------------------------------------------------------------------------------- the head


@pytest.mark.parametrize("kind", ["png", "tif", "webp", "bmp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "RGB16"])
def test_the_head_says_what_will_be_read(tmp_path, kind, mode):
    path = tmp_path / f"a.{kind}"
    if mode == "RGB16":
        if kind not in ("png", "tif"):
            pytest.skip("8 bits only")
        write_picture(path, Picture(noise(30, 40, 3, dtype=np.uint16)))
    else:
        try:
            Image.new(mode, (40, 30)).save(path)
        except OSError:
            pytest.skip(f"{kind} has no {mode}")
    probed, picture = probe_picture(path), read_picture(path)
    layout = picture.layout
    assert (probed.layout.width, probed.layout.height) == (40, 30)
    assert (probed.layout.colours, probed.layout.has_alpha, probed.layout.dtype) == (
        layout.colours,
        layout.has_alpha,
        layout.dtype,
    )
    assert probed.decode_bytes >= 30 * 40 * layout.pixel_bytes


def test_a_turned_picture_is_planned_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    assert probe_picture(tmp_path / "a.jpg").layout.width == 30


@pytest.mark.parametrize("content", [b"", b"text that is no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_head_is_the_readers_error(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(PictureError) as by_reader:
        read_picture(path)
    with pytest.raises(PictureError) as by_probe:
        probe_picture(path)
    assert str(by_probe.value).split("(")[0] == str(by_reader.value).split("(")[0]


def test_a_bomb_is_refused_by_its_head(tmp_path):
    Image.new("1", (5000, 4000)).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="the limit is 1,000,000"):
        probe_picture(tmp_path / "a.png", max_pixels=10**6)


# ---------------------------------------------------------------------------------------- measured

SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import numpy as np
from fake_runtimes import FakeRuntime
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.write import write_picture
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.restoration.memory_budget import memory_needed
from swinir_deploy.pictures.read import probe_picture
from swinir_deploy.restoration.tiled_model import TiledModel

def peak():
    # Not ru_maxrss: that begins with what the process that started this one had.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

with FakeRuntime() as runtime:
    restorer = Restorer(runtime)
    small = Picture(np.zeros((300, 600, 3), np.uint8))
    write_picture({warm!r}, small)
    restorer.restore_file({warm!r}, {warm!r}, overwrite_input=True)
    before = peak()
    restorer.restore_file({source!r}, {target!r}, max_memory_bytes={limit})
    grown = peak() - before
    model = TiledModel(runtime, None, 32, 1, False)
    need = memory_needed(probe_picture({source!r}), model, {kind!r})
    print(grown, need.whole, need.streamed)
"""


linux_only = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peaks are read from /proc"
)


def measured(tmp_path, source, target, limit):
    """Bytes by which the peak grew; and what was expected whole and in strips."""
    script = SCRIPT.format(
        here=str(Path(__file__).parents[1] / "fakes"),
        warm=str(tmp_path / f"warm{target.suffix}"),
        source=str(source),
        target=str(target),
        limit=limit,
        kind={".jpg": "JPEG", ".tif": "TIFF"}.get(target.suffix, "PNG"),
    )
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return tuple(map(int, run.stdout.split()))


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_measured_peaks_stay_below_the_limit(tmp_path, suffix):
    """12 million pixels become 48 million: 144 MB of samples, and more while they are encoded.

    A PNG of several rows of tiles is always written as they are computed.
    """
    y, x = np.mgrid[:3000, :4000]
    pixels = np.stack([x // 16, y // 12, (x + y) // 28], axis=2).astype(np.uint8)
    source, limit = tmp_path / "in.png", 160 * MEGABYTE
    Image.fromarray(pixels).save(source)
    grown, whole, _ = measured(tmp_path, source, tmp_path / f"whole{suffix}", None)
    assert grown < whole
    if suffix == ".jpg":
        assert grown > limit, "else the limit would be no test"
    grown, _, streamed = measured(tmp_path, source, tmp_path / f"strips{suffix}", limit)
    assert grown < streamed < limit
    if suffix == ".jpg":
        assert (tmp_path / "strips.jpg").read_bytes() == (tmp_path / "whole.jpg").read_bytes()
    else:
        found, wanted = (
            read_picture(tmp_path / f"{name}.png").pixels for name in ("strips", "whole")
        )
        assert np.array_equal(found, wanted)


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(("has_alpha", "dtype"), [(True, np.uint8), (False, np.uint16)])
def test_expected_needs_are_upper_bounds_of_measured_ones(tmp_path, has_alpha, dtype):
    y, x = np.mgrid[:1500, :2000]
    top = np.iinfo(dtype).max // 256
    pixels = np.stack([x // 8, y // 8, (x + y) // 16], axis=2).astype(dtype) * top
    alpha = (x // 8).astype(dtype) if has_alpha else None
    source = tmp_path / "in.tif"
    write_picture(source, Picture(pixels, alpha))
    grown, whole, streamed = measured(tmp_path, source, tmp_path / "whole.png", None)
    assert whole / 8 < grown < whole
    grown, *_ = measured(tmp_path, source, tmp_path / "strips.png", min(streamed, whole - 1))
    assert streamed / 8 < grown < streamed
