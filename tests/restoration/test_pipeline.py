"""Stages at the same time: shown by threads that wait for each other, not by a clock."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, nearest

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import probe_picture
from swinir_deploy.pictures.write import write_picture
from swinir_deploy.restoration import file_job as jobs
from swinir_deploy.restoration.memory_budget import memory_needed
from swinir_deploy.restoration.pipeline import run_stages
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.restoration.tiled_model import TiledModel

PATIENCE_S = 30


class Job:
    """Notes what it does in ``log``; ``act`` may wait or raise."""

    def __init__(self, name, log, act=lambda stage, name: None, size=0):
        self.name, self.log, self.act, self.size = name, log, act, size

    def prepare(self):
        self.act("prepare", self.name)
        return self.size

    def _do(self, stage):
        self.log.append((stage, self.name))
        self.act(stage, self.name)
        self.log.append((f"{stage} done", self.name))

    def read(self):
        self._do("read")

    def compute(self):
        self._do("compute")

    def write(self):
        self._do("write")
        return self.name


def run(jobs, limit=None):
    results, errors = [], []
    run_stages(
        jobs,
        lambda index, result: results.append((index, result)),
        lambda index, error: errors.append((index, str(error))),
        limit,
    )
    return results, errors


# ----------------------------------------------------------------------------------- the pipeline


def test_a_picture_is_read_one_computed_and_one_written_at_the_same_moment():
    # Passes only when three threads wait here together: reading 2, computing 1, writing 0.
    together = threading.Barrier(3)

    def act(stage, name):
        if (stage, name) in (("read", 2), ("compute", 1), ("write", 0)):
            together.wait(PATIENCE_S)

    log = []
    assert run([Job(i, log, act) for i in range(4)]) == ([(i, i) for i in range(4)], [])


def test_reading_stays_one_picture_ahead_and_writing_one_behind():
    log = []

    def act(stage, name):
        if stage == "compute":
            time.sleep(0.02)  # room for a reader that runs too far ahead
        reads = sum(event[0] == "read" for event in log)
        begun = sum(event[0] == "compute" for event in log)
        written = sum(event[0] == "write done" for event in log)
        assert reads - begun <= 2 and begun - written <= 3

    results, errors = run([Job(i, log, act) for i in range(8)])
    assert [index for index, _ in results] == list(range(8)) and errors == []


def test_jobs_are_not_asked_for_long_before_they_are_read():
    log, made = [], []

    def jobs():
        for i in range(6):
            made.append(i)
            yield Job(i, log, act)

    def act(stage, name):
        assert stage != "compute" or len(made) <= name + 2

    assert run(jobs())[1] == []


@pytest.mark.parametrize("stage", ["prepare", "read", "compute", "write"])
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_job_that_fails_does_not_stop_the_others(stage, bad):
    def act(here, name):
        if (here, name) == (stage, bad):
            raise PictureError(f"{stage} {name}")

    log = []
    results, errors = run([Job(i, log, act) for i in range(5)])
    assert [name for _, name in results] == [i for i in range(5) if i != bad]
    assert errors == [(bad, f"{stage} {bad}")]


def test_what_on_error_raises_stops_everything():
    log = []

    def act(stage, name):
        if (stage, name) == ("compute", 1):
            raise PictureError("broken")

    def fail(index, error):
        raise error

    with pytest.raises(PictureError, match="broken"):
        run_stages([Job(i, log, act) for i in range(9)], lambda *_: None, fail)
    assert ("compute", 2) not in log
    assert ("write", 0) in log and ("write done", 0) in log, "what was begun is finished"


def test_memory_is_the_sum_of_all_jobs_on_their_way():
    log, sizes, lock, taken, peak = [], [40, 50, 30, 100, 10, 90, 20], threading.Lock(), set(), []

    second_is_read = threading.Event()

    def act(stage, name):
        with lock:
            if stage == "read":
                taken.add(name)
            peak.append(sum(sizes[i] for i in taken))
        if (stage, name) == ("read", 1):
            second_is_read.set()
        if (stage, name) == ("compute", 0):
            assert second_is_read.wait(PATIENCE_S), "40 and 50 fit side by side"

    class Freeing(Job):
        def write(self):
            done = super().write()
            with lock:
                taken.discard(self.name)
            return done

    results, errors = run([Freeing(i, log, act, size) for i, size in enumerate(sizes)], 100)
    assert [name for _, name in results] == list(range(7)) and errors == []
    assert 90 <= max(peak) <= 100


def test_a_job_that_needs_more_than_there_is_runs_alone():
    log = []
    results, _ = run([Job(i, log, size=size) for i, size in enumerate((10, 500, 10))], 100)
    assert [name for _, name in results] == [0, 1, 2]
    begun = log.index(("read", 1))
    assert log.index(("write done", 0)) < begun
    assert log.index(("read", 2)) > log.index(("write done", 1))


# -------------------------------------------------------------------------------------- a folder


def pictures(folder, count, side=24):
    folder.mkdir()
    for i in range(count):
        write_picture(folder / f"{i}.png", Picture(np.full((side, side, 3), 40 * i, np.uint8)))


def test_a_folder_is_read_computed_and_written_at_the_same_time(tmp_path, monkeypatch):
    pictures(tmp_path / "in", 4)
    together = threading.Barrier(3)
    read, write = jobs.read_picture, jobs.write_picture

    def slow_read(path, *rest):
        if path.name == "2.png":
            together.wait(PATIENCE_S)
        return read(path, *rest)

    def slow_write(path, *rest):
        if path.name == "0.png":
            together.wait(PATIENCE_S)
        return write(path, *rest)

    class SlowRuntime(FakeRuntime):
        def _before(self, batch):
            if len(self.shapes) == 2:
                together.wait(PATIENCE_S)

    monkeypatch.setattr(jobs, "read_picture", slow_read)
    monkeypatch.setattr(jobs, "write_picture", slow_write)
    with SlowRuntime() as runtime:
        report = Restorer(runtime).restore_folder(tmp_path / "in", tmp_path / "out")
    assert [done.source.name for done in report.restored] == [f"{i}.png" for i in range(4)]
    assert report.ok and not together.broken


def test_failures_of_all_stages_are_listed_in_the_order_of_the_folder(tmp_path, monkeypatch):
    pictures(tmp_path / "in", 6)
    (tmp_path / "in/1.png").write_bytes(b"no picture")
    write = jobs.write_picture

    def failing_write(path, *rest):
        if path.name == "3.png":
            raise PictureError("the disk is full")
        return write(path, *rest)

    monkeypatch.setattr(jobs, "write_picture", failing_write)

    def answer(batch):
        if batch.max() > 0.75:  # 5.png alone
            raise MemoryError
        return batch

    with FakeRuntime(answer) as runtime:
        report = Restorer(runtime).restore_folder(tmp_path / "in", tmp_path / "out")
    assert [done.source.name for done in report.restored] == ["0.png", "2.png", "4.png"]
    assert [failure.source.name for failure in report.failures] == ["1.png", "3.png", "5.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "2.png", "4.png"]


@pytest.mark.parametrize("stage", ["read_picture", "write_picture"])
def test_memory_that_runs_out_fails_one_picture(tmp_path, monkeypatch, stage):
    pictures(tmp_path / "in", 3)
    plain = getattr(jobs, stage)

    def greedy(path, *rest):
        if path.name == "1.png":
            raise MemoryError
        return plain(path, *rest)

    monkeypatch.setattr(jobs, stage, greedy)
    with FakeRuntime() as runtime:
        report = Restorer(runtime).restore_folder(tmp_path / "in", tmp_path / "out")
    assert [failure.source.name for failure in report.failures] == ["1.png"]
    assert "memory ran out while" in report.failures[0].error
    assert len(report.restored) == 2


def test_a_folder_within_a_limit_streams_what_is_large(tmp_path):
    pictures(tmp_path / "in", 3)
    large = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    write_picture(tmp_path / "in/large.png", Picture(large))
    with FakeRuntime() as runtime:
        need = memory_needed(
            probe_picture(tmp_path / "in/large.png"), TiledModel(runtime, 64, 32, 1, False), "PNG"
        )
        restorer = Restorer(runtime, 64)
        plain = restorer.restore_folder(tmp_path / "in", tmp_path / "plain")
        report = restorer.restore_folder(
            tmp_path / "in", tmp_path / "out", max_memory_bytes=need.whole - 1
        )
    assert [done.source for done in report.restored] == [done.source for done in plain.restored]
    for i in range(3):  # by Pillow, whole
        name = f"{i}.png"
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    for folder in ("plain", "out"):  # in strips, by our own writer, with a limit or without
        path = tmp_path / folder / "large.png"
        assert path.read_bytes().count(b"IDAT") > 2
        assert np.array_equal(jobs.read_picture(path).pixels, nearest(large, 2))


SCRIPT = """
import sys, threading
sys.path.insert(0, {here!r})
from fake_runtimes import FakeRuntime, nearest
from swinir_deploy.restoration import file_job as jobs
from swinir_deploy.restoration.restorer import Restorer

write = jobs.write_picture
begun = threading.Event()

def slow_write(path, *rest):
    if path.name == "1.png":
        begun.set()
        threading.Event().wait(1.5)  # the signal comes while this one is written
    return write(path, *rest)

jobs.write_picture = slow_write

class Runtime(FakeRuntime):
    def _before(self, batch):
        if len(self.shapes) == 3:
            begun.wait(30)
            print("now", flush=True)
            threading.Event().wait(30)

with Runtime() as runtime:
    Restorer(runtime).restore_folder({source!r}, {target!r}, max_memory_bytes={limit})
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("limit", [None, 10**9])
def test_ctrl_c_finishes_what_is_being_written_and_leaves_nothing_half_done(tmp_path, limit):
    pictures(tmp_path / "in", 5)
    script = SCRIPT.format(
        here=str(Path(__file__).parents[1] / "fakes"),
        source=str(tmp_path / "in"),
        target=str(tmp_path / "out"),
        limit=limit,
    )
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0 and "KeyboardInterrupt" in stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    for name in ("0.png", "1.png"):
        assert jobs.read_picture(tmp_path / "out" / name).width == 48


STREAMING = """
import sys, threading
sys.path.insert(0, {here!r})
from fake_runtimes import FakeRuntime, nearest
from swinir_deploy.restoration.restorer import Restorer

class Runtime(FakeRuntime):
    def _before(self, batch):
        if len(self.shapes) == 150:  # rows of tiles are in the file by now
            print("now", flush=True)
            threading.Event().wait(1.5)  # the tile that is computed is computed to the end

with Runtime() as runtime:
    Restorer(runtime, 64).restore_file({source!r}, {target!r}, max_memory_bytes={limit})
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_ctrl_c_while_strips_are_written_leaves_no_file(tmp_path, suffix):
    source, target = tmp_path / "in.png", tmp_path / f"out{suffix}"
    write_picture(source, Picture(np.zeros((700, 600, 3), np.uint8)))
    with FakeRuntime() as runtime:
        kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, "PNG")
        need = memory_needed(probe_picture(source), TiledModel(runtime, 64, 32, 1, False), kind)
    script = STREAMING.format(
        here=str(Path(__file__).parents[1] / "fakes"),
        source=str(source),
        target=str(target),
        limit=need.whole - 1,
    )
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "now\n", process.stderr.read()
    assert len(list(tmp_path.iterdir())) == 2, "a file is being written"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
