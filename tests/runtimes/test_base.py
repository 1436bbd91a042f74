"""The contract: what the base class checks for every back end."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from swinir_deploy.errors import InputError, RuntimeClosedError
from swinir_deploy.runtimes import Runtime, RuntimeSpec

TENSOR = RuntimeSpec("fake", "cpu", "tensor", 2, 3, 8, min_side_px=5)
IMAGE = replace(TENSOR, io="image", in_chans=1, scale=3)


class Nearest(Runtime):
    """Enlarges by repetition, or answers what it is told to."""

    def __init__(self, spec: RuntimeSpec, answer: NDArray[Any] | None = None) -> None:
        self.wanted_spec, self.answer = spec, answer
        self.unloads = 0
        self.seen: list[NDArray[Any]] = []
        super().__init__()

    def _load(self) -> RuntimeSpec:
        return self.wanted_spec

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.seen.append(batch)
        if self.answer is not None:
            return self.answer
        first = 2 if self.wanted_spec.io == "tensor" else 1
        scale = self.wanted_spec.scale
        return batch.repeat(scale, axis=first).repeat(scale, axis=first + 1)

    def _unload(self) -> None:
        self.unloads += 1


def test_tensor_and_image_layouts() -> None:
    assert Nearest(TENSOR).run(np.zeros((2, 3, 6, 7), np.float32)).shape == (2, 3, 12, 14)
    assert Nearest(IMAGE).run(np.zeros((2, 6, 7, 1), np.uint8)).shape == (2, 18, 21, 1)


@pytest.mark.parametrize(
    "shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 8, 8, 3), (0, 3, 8, 8), (1, 1, 3, 8, 8)]
)
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"takes \[batch, 3, height, width\] float32"):
        Nearest(TENSOR).run(np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int32, bool])
def test_a_wrong_dtype_is_refused(dtype: type) -> None:
    with pytest.raises(InputError, match="float32"):
        Nearest(TENSOR).run(np.zeros((1, 3, 8, 8), dtype))


@pytest.mark.parametrize(("height", "width"), [(4, 8), (8, 4), (1, 1)])
def test_a_side_that_cannot_be_padded_is_refused(height: int, width: int) -> None:
    with pytest.raises(InputError, match="sides of at least 5"):
        Nearest(TENSOR).run(np.zeros((1, 3, height, width), np.float32))


@pytest.mark.parametrize("fixed", [{"batch": 2}, {"height": 9}, {"width": 9}])
def test_fixed_sizes_are_kept_to(fixed: dict[str, int]) -> None:
    runtime = Nearest(replace(TENSOR, **fixed))
    with pytest.raises(InputError, match="this model takes"):
        runtime.run(np.zeros((1, 3, 8, 8), np.float32))
    exact = {"batch": 1, "height": 8, "width": 8, **fixed}
    runtime.run(np.zeros((exact["batch"], 3, exact["height"], exact["width"]), np.float32))


@pytest.mark.parametrize("spec", [TENSOR, replace(IMAGE, in_chans=3)], ids=lambda spec: spec.io)
def test_ranges_are_kept_to(spec: RuntimeSpec) -> None:
    ranged = replace(
        spec, min_batch=2, max_batch=4, min_height=8, max_height=16, min_width=9, max_width=10
    )
    runtime = Nearest(ranged)
    for taken in ((2, 8, 9), (4, 16, 10), (3, 8, 10)):
        runtime.run(np.zeros(spec.input_shape(*taken), spec.dtype))
    for refused in ((1, 8, 9), (5, 8, 9), (2, 7, 9), (2, 17, 9), (2, 8, 8), (2, 8, 11)):
        with pytest.raises(InputError, match=r"\[2\.\.4, .*8\.\.16, 9\.\.10.*Restorer cuts"):
            runtime.run(np.zeros(spec.input_shape(*refused), spec.dtype))
    assert len(runtime.seen) == 3


@pytest.mark.parametrize("thing", [None, "picture.png", [[1.0]], 3])
def test_what_is_no_array_is_refused(thing: object) -> None:
    with pytest.raises(InputError, match="NumPy array or a DLPack"):
        Nearest(TENSOR).run(thing)


def test_dlpack_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    batch = torch.rand(1, 3, 8, 8)
    given = Nearest(TENSOR)
    given.run(batch)
    np.testing.assert_array_equal(given.seen[0], batch.numpy())
    with pytest.raises(InputError, match="detach"):
        given.run(batch.requires_grad_())


def test_any_strides_arrive_contiguous_and_unchanged() -> None:
    whole = np.arange(2 * 3 * 20 * 22, dtype=np.float32).reshape(2, 3, 20, 22)
    view = whole[:, ::-1, ::2, 1::2]
    before = whole.copy()
    runtime = Nearest(TENSOR)
    result = runtime.run(view)
    assert runtime.seen[0].flags.c_contiguous
    np.testing.assert_array_equal(result[:, :, ::2, ::2], view)
    np.testing.assert_array_equal(whole, before)


@given(
    batch=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.just(3), st.integers(5, 20), st.integers(5, 20)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_every_size_comes_back_scaled(batch: NDArray[np.float32]) -> None:
    result = Nearest(TENSOR).run(batch)
    assert result.shape == (batch.shape[0], 3, 2 * batch.shape[2], 2 * batch.shape[3])
    np.testing.assert_array_equal(result[:, :, ::2, ::2], batch)


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros((1, 3, 8, 8), np.float32),
        np.zeros((1, 3, 16, 16), np.float64),
        np.zeros((2, 3, 16, 16), np.float32),
    ],
)
def test_a_back_end_that_lies_is_caught(answer: NDArray[Any]) -> None:
    with pytest.raises(InputError, match="does not match its metadata"):
        Nearest(TENSOR, answer).run(np.zeros((1, 3, 8, 8), np.float32))


def test_closing_once_is_enough_and_final() -> None:
    runtime = Nearest(TENSOR)
    with runtime as same:
        assert same is runtime
        assert not runtime.closed
    runtime.close()
    assert runtime.closed
    assert runtime.unloads == 1
    assert runtime.spec == TENSOR
    with pytest.raises(RuntimeClosedError, match="open_runtime"):
        runtime.run(np.zeros((1, 3, 8, 8), np.float32))


def test_stats_count_what_returned() -> None:
    runtime = Nearest(TENSOR)
    assert runtime.stats.runs == 0
    assert runtime.stats.first_run_ms == 0.0
    runtime.warmup(8, 8, batch=2, runs=2)
    with pytest.raises(InputError):
        runtime.run(np.zeros((1, 3, 1, 1), np.float32))
    stats = runtime.stats
    assert (stats.runs, stats.pictures) == (2, 4)
    assert 0 < stats.first_run_ms <= stats.total_run_ms
    assert stats.load_ms >= 0


def test_stats_hold_from_several_threads() -> None:
    runtime = Nearest(TENSOR)
    batch = np.zeros((1, 3, 8, 8), np.float32)
    threads = [
        threading.Thread(target=lambda: [runtime.run(batch) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runtime.stats.runs == 200
