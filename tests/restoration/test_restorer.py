import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, LittleMemoryRuntime, box_blur, nearest
from hypothesis import given
from hypothesis import strategies as st

import swinir_deploy
from swinir_deploy.errors import (
    CheckFailedError,
    DeviceMemoryError,
    InputError,
    RuntimeClosedError,
    UsageError,
)
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.restoration.restorer import Restorer

SIDES = st.integers(1, 70)


def noise(*shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


# -------------------------------------------------------------------- the identity, on everything


@given(
    height=SIDES,
    width=SIDES,
    channels=st.sampled_from([1, 3]),
    in_chans=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    io=st.sampled_from(["tensor", "image"]),
    window=st.sampled_from([7, 8]),
    scale=st.sampled_from([1, 2, 3]),
    tile=st.sampled_from([None, 0, 1, 16, 31, 40]),
    overlap_px=st.sampled_from([0, 8, 100]),
    batch=st.integers(1, 5),
    fixed=st.sampled_from([(None, None, None), (4, None, None), (2, 24, 40), (None, 33, 50)]),
)
def test_identity_for_any_picture_on_any_runtime(
    height,
    width,
    channels,
    in_chans,
    dtype,
    io,
    window,
    scale,
    tile,
    overlap_px,
    batch,
    fixed,
):
    pixels = noise(height, width, channels, dtype=dtype)
    if io == "image" and dtype == np.uint16:
        pixels = pixels // 257 * 257
    if io == "image" and dtype == np.float32:
        pixels = np.rint(pixels * 255) / np.float32(255)
    runtime = FakeRuntime(
        io=io,
        in_chans=in_chans,
        window_size=window,
        min_side_px=window // 2 + 1,
        scale=scale,
        batch=fixed[0],
        height=fixed[1],
        width=fixed[2],
    )
    with runtime:
        result = Restorer(runtime, tile, overlap_px, batch).restore_array(pixels)
    assert result.dtype == dtype
    wanted = nearest(pixels, scale)
    if dtype == np.float32:
        assert result.shape == wanted.shape
        assert np.abs(result - wanted).max() < 3e-7
    else:
        assert np.array_equal(result, wanted)
    # Every batch was one that an engine with that shape takes.
    for count, rows, columns in runtime.shapes:
        assert fixed[0] in (None, count)
        assert fixed[1] in (None, rows) and fixed[2] in (None, columns)
        assert fixed[1] or rows % window == columns % window == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1), (1, 2000, 3), (2000, 1, 1), (3, 20_000, 3)])
@pytest.mark.parametrize("tile", [None, 64])
def test_one_pixel_and_panoramas(shape, tile):
    pixels = noise(*shape)
    with FakeRuntime() as runtime:
        assert np.array_equal(Restorer(runtime, tile).restore_array(pixels), nearest(pixels, 2))


def test_a_gray_array_may_have_two_axes():
    pixels = noise(20, 30)
    with FakeRuntime(in_chans=1) as runtime:
        assert np.array_equal(Restorer(runtime).restore_array(pixels), nearest(pixels, 2))


def test_strides_do_not_matter_and_the_input_stays():
    pixels = noise(40, 50, 3)
    before = pixels.copy()
    with FakeRuntime(lambda x: x * 0.5) as runtime:
        turned = Restorer(runtime, 16).restore_array(pixels[::-1, ::2])
        assert np.array_equal(turned, Restorer(runtime, 16).restore_array(pixels[::-1, ::2].copy()))
    assert np.array_equal(pixels, before)


# ----------------------------------------------------------------------------------- numbers


def test_results_are_clamped_and_rounded_half_to_even():
    levels = np.array([[0.5, 1.5, 2.5, 254.5, -3.0, 300.0]], np.float32) / 255
    pixels = np.zeros((1, 6, 1), np.uint8)

    def answer(batch):
        out = np.zeros_like(batch)
        out[:, :1, :6, 0] = levels
        return out

    with FakeRuntime(answer, scale=1, in_chans=1) as runtime:
        result = Restorer(runtime).restore_array(pixels)
    oracle = np.rint(np.clip(levels, 0, 1) * np.float32(255)).astype(np.uint8)
    assert np.array_equal(result[..., 0], oracle)
    assert oracle.tolist() == [[0, 2, 2, 254, 0, 255]]


def test_16_bits_are_not_squeezed_through_8():
    pixels = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256, 1)
    with FakeRuntime(in_chans=1, scale=1) as runtime:
        assert np.array_equal(Restorer(runtime, 64).restore_array(pixels), pixels)


def test_float_noise_beyond_the_range_reaches_the_model():
    seen = []
    pixels = np.full((8, 8, 3), 1.5, np.float32)
    with FakeRuntime(lambda x: seen.append(x.max()) or x, scale=1) as runtime:
        result = Restorer(runtime).restore_array(pixels)
    assert seen == [1.5] and (result == 1.0).all()


def test_gray_on_a_colour_model_is_the_luma():
    pixels = np.full((8, 8, 1), 200, np.uint8)
    factors = np.array([1.0, 0.5, 0.25], np.float32)
    with FakeRuntime(lambda x: x * factors, scale=1) as runtime:
        picture = Restorer(runtime).restore_picture(Picture(pixels))
    assert (picture.pixels == round(200 * (0.299 + 0.587 * 0.5 + 0.114 * 0.25))).all()
    assert "luma" in picture.notes[0]


def test_colour_on_a_gray_model_goes_channel_by_channel_in_one_batch():
    pixels = noise(24, 24, 3)
    with FakeRuntime(lambda x: 1 - x, in_chans=1, scale=1) as runtime:
        picture = Restorer(runtime).restore_picture(Picture(pixels))
    assert np.array_equal(picture.pixels, 255 - pixels)
    assert runtime.shapes == [(3, 24, 24)]
    assert "one by one" in picture.notes[0]


def test_a_model_of_the_same_kind_needs_no_notes():
    with FakeRuntime() as runtime:
        assert Restorer(runtime).restore_picture(Picture(noise(9, 9, 3))).notes == ()


def test_an_8_bit_model_says_that_16_bits_were_rounded():
    with FakeRuntime(io="image") as runtime:
        picture = Restorer(runtime).restore_picture(Picture(noise(9, 9, 3, dtype=np.uint16)))
    assert picture.bit_depth == 16 and "8 bits" in picture.notes[0]


# -------------------------------------------------------------------------------------- seams


def test_tiles_show_no_seam_when_the_overlap_covers_the_receptive_field():
    y, x = np.mgrid[:190, :230].astype(np.float32)
    pixels = np.stack([x / 230, y / 190, (x + y) / 420], axis=2).astype(np.float32)
    with FakeRuntime(box_blur(3), scale=1) as runtime:
        whole = Restorer(runtime, 0).restore_array(pixels)
        tiled = Restorer(runtime, 64, overlap_px=32).restore_array(pixels)
        assert len(runtime.shapes) > 10
        # The test can fail: without overlap the zeros beyond a tile's edge do show.
        cut = Restorer(runtime, 64, overlap_px=0).restore_array(pixels)
    assert np.abs(tiled - whole).max() < 1e-6
    assert np.abs(cut - whole).max() > 1e-2


def test_tiles_of_models_that_see_further_show_no_grid():
    # A wrong answer near every tile's edge, deeper than the part that is thrown away.
    y, x = np.mgrid[:192, :192].astype(np.float32)
    pixels = ((x + y) / 384)[..., None]
    with FakeRuntime(box_blur(11), scale=1, in_chans=1) as runtime:
        whole = Restorer(runtime, 0).restore_array(pixels)[..., 0]
        tiled = Restorer(runtime, 64, overlap_px=32).restore_array(pixels)[..., 0]
        cut = Restorer(runtime, 64, overlap_px=0).restore_array(pixels)[..., 0]
    inner = np.s_[24:-24, 24:-24]
    step = np.abs(np.diff(tiled - whole, axis=1))[inner].max()
    cut_step = np.abs(np.diff(cut - whole, axis=1))[inner].max()
    assert np.abs(tiled - whole)[inner].mean() < 1e-3
    assert step < 1 / 255 < 0.03 < cut_step, "a step that nobody sees, and one that shows"


def test_windows_of_tiles_are_windows_of_the_picture():
    """A model that answers with each window's own mean must not notice the tiles."""

    def window_means(batch):
        n, h, w, c = batch.shape
        means = batch.reshape(n, h // 8, 8, w // 8, 8, c).mean(axis=(2, 4))
        return nearest(means.transpose(1, 2, 0, 3), 8).transpose(2, 0, 1, 3)

    pixels = noise(101, 83, 3, dtype=np.float32)
    with FakeRuntime(window_means, scale=1) as runtime:
        whole = Restorer(runtime, 0).restore_array(pixels)
        tiled = Restorer(runtime, 32, 12).restore_array(pixels)
    assert len(runtime.shapes) > 9
    assert np.abs(tiled - whole).max() < 1e-6


def test_a_trained_network_shows_no_seam():
    pytest.importorskip("torch")
    from swinir_deploy.runtimes import open_runtime

    demo = Path(swinir_deploy.__file__).parent / "demo" / "chelsea.png"
    pixels = read_picture(demo).pixels[60:164, 100:220].astype(np.float32) / 255
    with open_runtime("tiny-sr-x4", "torch") as runtime:
        whole = Restorer(runtime, 0).restore_array(pixels)
        tiled = Restorer(runtime, 64, 32).restore_array(pixels)
        assert runtime.stats.runs > 5
    difference = np.abs(tiled - whole)
    assert difference.mean() < 1e-4 and difference.max() < 1 / 255


# ---------------------------------------------------------------------------- tiles and batches


@pytest.mark.parametrize(
    ("size", "window", "tile", "batches"),
    [
        ((384, 384), 8, None, [(1, 384, 384)]),
        ((100, 1000), 8, None, [(1, 104, 1000)]),
        # 49 and 48 windows by two tiles that share 4; 56 and 55 by two that share 5.
        ((390, 384), 8, None, [(1, 27 * 8, 26 * 8)] * 4),
        ((390, 384), 7, None, [(1, 31 * 7, 30 * 7)] * 4),
        ((390, 384), 8, 0, [(1, 392, 384)]),
        ((50, 60), 8, 3, [(1, 8, 8)] * 56),
        ((50, 60), 8, 37, [(1, 32, 32)] * 9),
    ],
)
def test_the_size_of_tiles(size, window, tile, batches):
    with FakeRuntime(window_size=window, scale=1) as runtime:
        Restorer(runtime, tile).restore_array(noise(*size, 3))
    assert runtime.shapes == batches


def test_batches_are_filled_across_rows_of_tiles():
    with FakeRuntime(scale=1) as runtime:
        Restorer(runtime, 32, 8, batch=4).restore_array(noise(70, 70, 3))
    assert runtime.shapes == [(4, 32, 32), (4, 32, 32), (1, 32, 32)]


def test_a_fixed_batch_is_filled_up():
    with FakeRuntime(scale=1, batch=4) as runtime:
        Restorer(runtime, 32, 8).restore_array(noise(70, 70, 3))
    assert runtime.shapes == [(4, 32, 32)] * 3


@pytest.mark.parametrize("arguments", [{"tile": -8}, {"overlap_px": -1}, {"batch": 0}])
def test_impossible_arguments(arguments):
    with FakeRuntime() as runtime, pytest.raises(UsageError, match="must be at least"):
        Restorer(runtime, **arguments)


# ------------------------------------------------------------------------------------- alpha


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opacity_is_scaled_beside_the_colour(dtype):
    top = np.iinfo(dtype).max
    alpha = np.zeros((20, 20), dtype)
    alpha[:, 10:] = top
    pixels = np.full((20, 20, 3), top // 2, dtype)
    pixels[:, :10] = 0  # black under full transparency
    with FakeRuntime(box_blur(2)) as runtime:
        picture = Restorer(runtime).restore_picture(Picture(pixels, alpha, b"icc", (72, 72)))
    assert picture.alpha.shape == (40, 40) and picture.alpha.dtype == dtype
    assert (picture.alpha[:, :14] == 0).all() and (picture.alpha[:, 26:] == top).all()
    # The black does not bleed into what is seen (the blur darkens the picture's own edges).
    inner = picture.pixels[4:-4, 4:-4].astype(int)
    assert np.abs(inner - top // 2).max() <= 1
    assert (picture.icc_profile, picture.dpi) == (b"icc", (72, 72))
    assert "bicubic" in picture.notes[0]


def test_opacity_goes_through_a_gray_model_as_a_picture_and_through_scale_1_untouched():
    alpha = noise(9, 9)
    with FakeRuntime(in_chans=1) as runtime:
        picture = Restorer(runtime).restore_picture(Picture(noise(9, 9, 1), alpha))
    assert np.array_equal(picture.alpha, nearest(alpha, 2))
    with FakeRuntime(lambda x: 1 - x, in_chans=1, scale=1) as runtime:
        picture = Restorer(runtime).restore_picture(Picture(noise(9, 9, 1), alpha))
    assert np.array_equal(picture.alpha, alpha)


# ------------------------------------------------------------------------------------ failures

OUT_OF_MEMORY = [
    MemoryError("cannot"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    RuntimeError("Failed to allocate memory for requested buffer of size 123"),
    RuntimeError("std::bad_alloc"),
    DeviceMemoryError("full"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_when_memory_runs_out_the_tile_is_halved_and_the_work_goes_on(error):
    pixels = noise(200, 180, 3)
    with LittleMemoryRuntime(64 * 64, error, scale=1) as runtime:
        restorer = Restorer(runtime, batch=2)
        picture = restorer.restore_picture(Picture(pixels))
        assert np.array_equal(picture.pixels, pixels)
        assert picture.notes == (
            "Memory ran out: tiles went through the model one at a time.",
            "Memory ran out: the tile was reduced to 96 pixels.",
            # Three tiles of 88 were enough for the picture.
            "Memory ran out: the tile was reduced to 40 pixels.",
        )
        # The next picture does not run into the wall again.
        assert restorer.restore_picture(Picture(pixels)).notes == ()


def test_an_error_that_was_wrapped_still_means_memory():
    error = InputError("the back end failed")
    error.__cause__ = RuntimeError("CUDNN_STATUS_ALLOC_FAILED: out of memory")
    with LittleMemoryRuntime(64 * 64, error, scale=1) as runtime:
        assert Restorer(runtime).restore_array(noise(100, 100, 3)).shape == (100, 100, 3)


@pytest.mark.parametrize("fixed", [{}, {"height": 64, "width": 64}])
def test_when_the_smallest_tile_is_too_large_that_is_said(fixed):
    with (
        LittleMemoryRuntime(100, MemoryError("no"), **fixed) as runtime,
        pytest.raises(
            DeviceMemoryError, match=r"not enough memory for one tile of .* smaller model"
        ) as caught,
    ):
        Restorer(runtime).restore_array(noise(100, 100, 3))
    assert isinstance(caught.value.__cause__, DeviceMemoryError)
    assert isinstance(caught.value.__cause__.__cause__, MemoryError)


def test_other_errors_of_a_runtime_come_through():
    with LittleMemoryRuntime(0, RuntimeError("no kernel image"), scale=1) as runtime:
        with pytest.raises(RuntimeError, match="no kernel image"):
            Restorer(runtime).restore_array(noise(9, 9, 3))
        assert len(runtime.shapes) == 1, "not tried again"
    with pytest.raises(RuntimeClosedError):
        Restorer(runtime).restore_array(noise(9, 9, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_gives_nan_is_not_written_as_black(value):
    def answer(batch):
        batch = batch.copy()
        batch[0, 3, 3, 0] = value
        return batch

    with (
        FakeRuntime(answer, precision="fp16") as runtime,
        pytest.raises(CheckFailedError, match=r"\(fp16\) gave values that are not finite"),
    ):
        Restorer(runtime).restore_array(noise(9, 9, 3))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((4, 4, 3), np.float64),
        np.zeros((4, 4, 3), np.int32),
        np.full((4, 4, 3), np.nan, np.float32),
    ],
    ids=lambda p: f"{p.shape} {p.dtype}",
)
def test_arrays_that_are_no_picture(pixels):
    with FakeRuntime() as runtime, pytest.raises(InputError, match="restore_array got"):
        Restorer(runtime).restore_array(pixels)


# ------------------------------------------------------------------------------------ the rest


def test_a_bar_is_drawn_when_asked_for_only(capfd):
    pixels = noise(64, 64, 3)
    for progress, wanted in ((None, False), (False, False), (True, True)):
        with FakeRuntime() as runtime:
            Restorer(runtime, 32, progress=progress).restore_array(pixels)
        out, err = capfd.readouterr()
        assert out == "" and ("tile" in err) == wanted


def test_importing_needs_neither_torch_nor_a_back_end():
    script = (
        "import sys, swinir_deploy.restoration;"
        "print({'torch', 'onnx', 'onnxruntime', 'skimage', 'tifffile'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.strip() == "set()", found.stderr
