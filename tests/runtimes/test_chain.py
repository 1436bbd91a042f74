"""Models in a row against running one and then the other by hand."""

from __future__ import annotations

import numpy as np
import pytest

from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.onnx.export import export_onnx
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes import open_runtime
from swinir_deploy.runtimes.chain import ChainedRuntime, chained

BATCH = np.random.default_rng(0).random((2, 3, 9, 13), np.float32)


@pytest.fixture(scope="module")
def parts():
    """JPEG artefacts removed (windows of 7), then x4 (windows of 8)."""
    with open_runtime("tiny-jpeg-color-40") as first, open_runtime("tiny-sr-x4") as second:
        yield first, second


def test_one_after_the_other(parts) -> None:
    chain = ChainedRuntime(parts)
    assert (chain.spec.scale, chain.spec.window_size, chain.spec.min_side_px) == (4, 56, 5)
    assert chain.spec.model_id == "tiny-jpeg-color-40+tiny-sr-x4"
    by_hand = parts[1].run(np.clip(parts[0].run(BATCH), 0, 1))
    np.testing.assert_array_equal(chain.run(BATCH), by_hand)
    chain.close()
    assert not parts[0].closed
    assert chained(parts[:1]) is parts[0]


def test_tiles_are_the_whole_picture(parts) -> None:
    picture = np.random.default_rng(1).random((130, 120, 3), np.float32)
    whole = Restorer(ChainedRuntime(parts), tile=0).restore_array(picture)
    tiled = Restorer(ChainedRuntime(parts), tile=112, overlap_px=56).restore_array(picture)
    assert whole.shape == tiled.shape == (520, 480, 3)
    # Far from the seams the tiles see what the whole picture shows.
    np.testing.assert_allclose(tiled[:100, :100], whole[:100, :100], atol=2e-3)


def test_a_model_of_bytes_and_one_of_floats_fit(parts, tmp_path) -> None:
    export_onnx("tiny-sr-x4", tmp_path / "x4.onnx", io="image")
    with open_runtime(tmp_path / "x4.onnx") as of_bytes:
        chain = ChainedRuntime([parts[0], of_bytes])
        result = chain.run(BATCH)
        assert result.dtype == np.float32
        assert np.abs(result - ChainedRuntime(parts).run(BATCH).clip(0, 1)).max() < 0.02
        levels = np.random.default_rng(2).integers(0, 256, (1, 20, 20, 3), np.uint8)
        back = ChainedRuntime([of_bytes, parts[0]])
        assert back.run(levels).dtype == np.uint8
        expected = of_bytes.run(levels).astype(np.float32).transpose(0, 3, 1, 2) / 255
        by_hand = parts[0].run(np.ascontiguousarray(expected)).transpose(0, 2, 3, 1) * 255
        np.testing.assert_array_equal(back.run(levels), np.rint(by_hand.clip(0, 255)))


def test_what_does_not_fit_is_said(parts, tmp_path) -> None:
    with (
        open_runtime("tiny-jpeg-gray-40") as gray,
        pytest.raises(UsageError, match=r"1 and 3 channels.*--gray"),
    ):
        ChainedRuntime([gray, parts[1]])
    export_onnx("tiny-sr-x4", tmp_path / "fixed.onnx", shape="1x3x64x64")
    with (
        open_runtime(tmp_path / "fixed.onnx") as fixed,
        pytest.raises(UsageError, match="only certain sizes"),
    ):
        ChainedRuntime([parts[0], fixed])


def test_scales_multiply() -> None:
    with open_runtime("tiny-sr-x2") as twice:
        chain = ChainedRuntime([twice, twice])
        assert (chain.spec.scale, chain.spec.window_size) == (4, 8)
        assert chain.run(BATCH).shape == (2, 3, 36, 52)
