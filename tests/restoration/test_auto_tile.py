"""Tiles chosen by trying: beside a model of cost and memory that is known, and on a real one."""

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, LittleMemoryRuntime, nearest

from swinir_deploy.errors import DeviceMemoryError, UsageError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture
from swinir_deploy.restoration import tiled_model as tiled
from swinir_deploy.restoration.auto_tile import choose_tile, meter_for
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.system import memory as process_memory

MEGABYTE = 10**6


class Machine:
    """A clock and a memory that a runtime uses up by rules."""

    def __init__(self, cost, bytes_per_px, free=10**12):
        self.now = 0.0
        self.peak = 0
        self._cost, self._bytes_per_px, self._free = cost, bytes_per_px, free

    def ran(self, batch, height, width):
        self.now += self._cost(batch, height, width)
        self.peak = max(self.peak, self._bytes_per_px * batch * height * width)

    def clock(self):
        return self.now

    def available(self):
        return self._free

    def start(self):
        self.peak = 0

    def taken(self):
        return self.peak


class TimedRuntime(FakeRuntime):
    def __init__(self, machine, **changes):
        self._machine = machine
        super().__init__(**changes)

    def _infer(self, batch):
        self._machine.ran(*self.spec.batch_height_width(batch.shape))
        return super()._infer(batch)


def steady(batch, height, width):
    """Each run costs something, each pixel the same, large tiles more (a cache that is full)."""
    pixels = batch * height * width
    return 2e-3 + 1e-6 * pixels + 4e-12 * pixels**2


def choose(machine, runtime=None, **given):
    given = {"pixels": 24_000_000, "longest_px": 6000, **given}
    runtime = runtime or TimedRuntime(machine)
    return choose_tile(runtime, 32, meter=machine, clock=machine.clock, **given)


SIDES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)


def cost_of_a_pixel(side, batch=1, overlap=32):
    kept = (side - min(overlap, side // 2)) ** 2
    return steady(batch, side, side) / kept / batch


def test_the_choice_is_about_as_fast_as_the_fastest_of_all():
    choice = choose(Machine(steady, 1000), batch=1)
    best = min(map(cost_of_a_pixel, SIDES))
    assert cost_of_a_pixel(choice.tile) <= 1.04 * best
    assert choice.chosen.ms_per_mpix == pytest.approx(cost_of_a_pixel(choice.tile) * 1e9)


@pytest.mark.parametrize("limit", [30 * MEGABYTE, 80 * MEGABYTE, 200 * MEGABYTE])
def test_nothing_beyond_the_limit_is_run_or_chosen(limit):
    machine = Machine(lambda *shape: 1e-2 + 1e-9 * np.prod(shape), 2000)
    choice = choose(machine, limit_bytes=limit)
    assert machine.peak <= limit
    # The largest that fits is best here, and the trials' own ladder has one within.
    side, batch = choice.tile, choice.batch
    assert 2000 * side * side * batch <= limit
    larger = [s for s in SIDES if s > side]
    assert not larger or 2000 * larger[0] ** 2 > limit


def test_most_of_what_is_free_is_the_limit_where_none_is_given():
    machine = Machine(lambda *shape: 1e-2, 2000, free=100 * MEGABYTE)
    choice = choose(machine)
    assert choice.limit_bytes == 70 * MEGABYTE
    assert machine.peak <= choice.limit_bytes


@pytest.mark.parametrize("gain", [True, False])
def test_batches_are_taken_where_they_pay(gain):
    def cost(batch, height, width):
        return 1e-2 + 1e-7 * batch * height * width if gain else 1e-6 * batch * height * width

    choice = choose(Machine(cost, 100), longest_px=64)
    assert (choice.batch > 1) == gain


def test_a_batch_that_was_asked_for_stays():
    choice = choose(Machine(steady, 100), batch=3)
    assert choice.batch == 3
    assert {trial.batch for trial in choice.trials} == {3}


def test_a_small_batch_after_a_large_tile_is_not_charged_for_it():
    def cost(batch, height, width):
        return (1e-2 + 1e-8 * height * width * batch) if height < 128 else 1.0

    machine = Machine(cost, 1000, free=10**9)
    choice = choose(machine)
    assert choice.tile < 128
    for trial in choice.trials:
        exact = 1000 * trial.height * trial.width * trial.batch
        assert trial.taken_bytes == pytest.approx(exact, rel=0.01)


def test_trials_end_with_their_time():
    """A picture of 1 megapixel at 10 s a megapixel: a second is allowed, and one run over it."""
    machine = Machine(lambda n, h, w: 1e-5 * n * h * w, 10)
    choose(machine, pixels=1_000_000)
    assert machine.now < 2.0
    assert choose(Machine(steady, 10), longest_px=100).tile <= 104


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"height": 72, "width": 72, "batch": 2}, {(2, 72, 72)}),
        ({"height": 50, "width": 64, "batch": 1}, {(1, 50, 64)}),
        ({"min_height": 128, "max_height": 256, "min_width": 128, "max_width": 256}, None),
    ],
)
def test_the_ranges_of_a_runtime_are_kept(changes, wanted):
    machine = Machine(steady, 10)
    runtime = TimedRuntime(machine, **changes)
    choose(machine, runtime)
    if wanted is not None:
        assert set(runtime.shapes) == wanted
    else:
        assert all(128 <= side <= 256 for _, *sides in runtime.shapes for side in sides)
        assert len(set(runtime.shapes)) > 1


def test_every_profile_of_an_engine_is_tried():
    """Two profiles of fixed sides; a pixel is cheaper in the larger tile."""
    machine = Machine(lambda n, h, w: 1e-2 + 1e-8 * n * h * w, 10)
    other = ((1, 1), (128, 128), (192, 192))
    first = {"min_height": 64, "max_height": 64, "min_width": 64, "max_width": 64}
    runtime = TimedRuntime(machine, max_batch=1, **first, other_ranges=(other,))
    choice = choose(machine, runtime)
    assert set(runtime.shapes) == {(1, 64, 64), (1, 128, 192)}
    plan = Restorer(runtime, tile=choice.tile, progress=False)._model.plan(1000, 1000)
    assert (plan.rows.tile, plan.columns.tile) == (choice.chosen.height, choice.chosen.width)
    assert choice.chosen.width == 192


def test_a_device_that_runs_out_ends_the_trials():
    runtime = LittleMemoryRuntime(130 * 130, DeviceMemoryError("no memory"))
    choice = choose(Machine(steady, 0), runtime)
    assert choice.tile <= 128
    hopeless = LittleMemoryRuntime(1, DeviceMemoryError("no memory"))
    with pytest.raises(DeviceMemoryError):
        choose(Machine(steady, 0), hopeless)


# ----------------------------------------------------------------------------------- the restorer


def test_the_restorer_tries_once_and_gives_the_same_pixels():
    runtime = FakeRuntime(scale=1)
    restorer = Restorer(runtime, tile="auto", progress=False)
    small = np.random.default_rng(0).integers(0, 256, (100, 80, 3), np.uint8)
    large = np.random.default_rng(1).integers(0, 256, (500, 400, 3), np.uint8)
    assert np.array_equal(restorer.restore_array(small), nearest(small, 1))
    assert restorer.tile_choice is None and len(runtime.shapes) == 1
    assert np.array_equal(restorer.restore_array(large), nearest(large, 1))
    choice = restorer.tile_choice
    assert choice is not None and choice.chosen in choice.trials
    before = len(runtime.shapes)
    restorer.restore_array(large)
    plan = restorer._model.plan(500, 400)
    assert len(runtime.shapes) - before == -(-len(plan.tiles) // choice.batch)
    assert max(plan.rows.tile, plan.columns.tile) <= choice.tile


def test_tiles_count_within_the_limit_for_memory(tmp_path, monkeypatch):
    seen = {}

    def chosen(*arguments, **given):
        seen.update(given)
        return choose_tile(*arguments, **given)

    monkeypatch.setattr(tiled, "choose_tile", chosen)
    pixels = np.random.default_rng(1).integers(0, 256, (500, 400, 3), np.uint8)
    write_picture(tmp_path / "a.png", Picture(pixels))
    restorer = Restorer(FakeRuntime(), tile="auto", progress=False)
    restorer.restore_file(tmp_path / "a.png", tmp_path / "b.png", max_memory_bytes=10**9)
    assert seen["limit_bytes"] == 5 * 10**8
    assert np.array_equal(read_picture(tmp_path / "b.png").pixels, nearest(pixels, 2))


def test_another_word_is_refused():
    with pytest.raises(UsageError, match="'automatic'"):
        Restorer(FakeRuntime(), tile="automatic")


# ----------------------------------------------------------------------------------------- meters


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_host_meter_sees_what_a_run_takes_and_gives_back():
    meter = meter_for(FakeRuntime().spec)
    meter.start()
    assert meter.taken() < 20 * MEGABYTE
    # Straight from the system: malloc may hold 80 MB that an earlier test freed.
    with mmap.mmap(-1, 80 * MEGABYTE) as block:
        block[:: mmap.PAGESIZE] = bytes(len(range(0, len(block), mmap.PAGESIZE)))
    assert 75 * MEGABYTE < meter.taken() < 140 * MEGABYTE


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_available_is_less_than_there_is():
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < process_memory.available_bytes() < total
    assert 0 < process_memory.resident_bytes() <= process_memory.peak_resident_bytes()


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    for name, text in {
        "memory.max": "1000000\n",
        "memory.current": "700000\n",
        "memory.stat": "anon 600000\ninactive_file 50000\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(process_memory, "_CGROUP", tmp_path)
    assert process_memory.available_bytes() == 350_000
    (tmp_path / "memory.max").write_text("max\n")
    assert process_memory.available_bytes() != 350_000


def test_devices_that_nobody_can_ask_have_no_limit():
    choice = choose_tile(FakeRuntime(device="npu"), 32, pixels=10**6, longest_px=1000)
    assert choice.limit_bytes is None
    assert choice.chosen.taken_bytes is None


def test_a_gpu_that_is_not_there_has_no_limit_either():
    choice = choose_tile(FakeRuntime(device="cuda:7"), 32, pixels=10**6, longest_px=1000)
    assert choice.limit_bytes is None
