"""Items that are made one ahead, in a thread, in order, and no more than one."""

import threading
import time

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, nearest

from swinir_deploy.pictures.picture import Picture
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.restoration.rows import PictureRows
from swinir_deploy.restoration.tiled_model import one_ahead
from swinir_deploy.system.processors import usable_cpus


def test_the_items_come_in_order():
    assert list(one_ahead(iter(range(50)))) == list(range(50))
    assert list(one_ahead(iter([]))) == []
    assert list(one_ahead(iter([None, None]))) == [None, None]


def test_one_item_is_made_while_the_last_is_used_and_no_second_one():
    made = []
    second_is_there = threading.Event()

    def items():
        for number in range(4):
            made.append(number)
            if number == 1:
                second_is_there.set()
            yield number

    stream = one_ahead(items())
    next(stream)
    assert second_is_there.wait(10), "the next item was not begun while the first was used"
    time.sleep(0.05)
    assert made == [0, 1]
    stream.close()
    assert made == [0, 1], "closing made another item"


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        raise OSError("broken")

    stream = one_ahead(items())
    assert next(stream) == 1
    with pytest.raises(OSError, match="broken"):
        next(stream)


def test_no_thread_is_left():
    before = threading.active_count()
    stream = one_ahead(iter(range(9)))
    next(stream)
    stream.close()
    assert threading.active_count() <= before


def test_usable_cpus_is_at_least_one():
    assert usable_cpus() >= 1


def test_tiles_are_computed_while_rows_are_used():
    """Whoever takes the first rows can wait for a tile that they do not need."""
    beyond = threading.Event()
    begun = []

    def watched(batch):
        begun.append(len(batch))
        if len(begun) == 3:
            beyond.set()
        return batch

    restorer = Restorer(FakeRuntime(watched), tile=32, overlap_px=8, progress=False)
    model = restorer._model
    strips = model.strips(np.zeros((160, 32, 3), np.uint8), model.plan(160, 32))
    next(strips)  # of the first tile; the second may be under way
    begun_by_then = len(begun)
    for _ in range(3):  # rows of the first two tiles
        next(strips)
    assert begun_by_then <= 2
    assert beyond.wait(10)
    strips.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_is_the_same_with_tiles_ahead(dtype):
    pixels = np.random.default_rng(3).integers(0, 255, (100, 90, 3)).astype(dtype)
    restorer = Restorer(FakeRuntime(), tile=32, overlap_px=8, batch=2, progress=False)
    restored = restorer.restore_picture(Picture(pixels))
    assert np.array_equal(restored.pixels, nearest(pixels, 2))


def test_a_sink_that_fails_leaves_no_run_behind():
    """The runtime may be closed at once: nobody is computing any more."""

    def slow(batch):
        time.sleep(0.05)
        return batch

    runtime = FakeRuntime(slow)
    restorer = Restorer(runtime, tile=32, overlap_px=8, progress=False)
    before = threading.active_count()

    class FullDisk:
        def write_rows(self, rows):
            raise OSError("no space left")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    rows = PictureRows(restorer._model, Picture(np.zeros((160, 32, 3), np.uint8)))
    with pytest.raises(OSError, match="no space"):
        rows.write_to(FullDisk)
    assert threading.active_count() <= before
