"""How the work is done: batches, equal frames, parts, previews, memory."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import decoded, make, needs_ffmpeg, packet_times, tones
from fake_runtimes import FakeRuntime

from swinir_deploy.errors import CheckFailedError

pytestmark = needs_ffmpeg

# testsrc has a new picture in each frame; in testsrc2 of this size, some are equal.
MOVING = (
    "testsrc=s=48x32:r=25:d={},"
    r"geq=r='mod(X*5+N*7\,256)':g='mod(Y*7+N*3\,256)':b='N'"
)


def moving(path: Path, seconds: float, *more: str) -> Path:
    return make(
        path,
        *(
            "-f",
            "lavfi",
            "-i",
            MOVING.format(seconds),
        ),
        *(*more, "-c:v", "ffv1", "-pix_fmt", "bgr0"),
    )


def test_a_batch_holds_tiles_of_several_frames(tmp_path: Path, restored) -> None:
    source = moving(tmp_path / "in.mkv", 0.4)
    results = []
    for batch in (1, 4):
        runtime = FakeRuntime(lambda frames: 1 - frames, scale=2)
        report = restored(
            source, tmp_path / f"{batch}.mkv", runtime=runtime, batch=batch, codec="ffv1"
        )
        assert report.frames == 10
        assert report.repeated == 0
        counts = [shape[0] for shape in runtime.shapes]
        assert counts == ([1] * 10 if batch == 1 else [4, 4, 2])
        results.append(decoded(tmp_path / f"{batch}.mkv", "rgb24"))
    np.testing.assert_array_equal(*results)
    expected = 255 - decoded(source, "rgb24").repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(results[0], expected)


def test_large_frames_are_cut_into_tiles(tmp_path: Path, restored) -> None:
    source = moving(tmp_path / "in.mkv", 0.12)
    runtime = FakeRuntime(scale=2)
    restored(source, tmp_path / "out.mkv", runtime=runtime, tile=24, batch=2, codec="ffv1")
    assert {shape[1:] for shape in runtime.shapes} == {(24, 24)}
    assert max(shape[0] for shape in runtime.shapes) == 2
    expected = decoded(source, "rgb24").repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(decoded(tmp_path / "out.mkv", "rgb24"), expected)


@pytest.mark.parametrize("batch", [1, 3])
def test_equal_frames_are_computed_once_unless_asked(tmp_path: Path, restored, batch: int) -> None:
    source = moving(tmp_path / "in.mkv", 0.2, "-vf", "fps=100")  # each of 5 frames four times
    results = []
    for dedupe in (True, False):
        runtime = FakeRuntime(scale=2)
        target = tmp_path / f"{dedupe}.mkv"
        report = restored(source, target, runtime=runtime, batch=batch, dedupe=dedupe, codec="ffv1")
        computed = sum(shape[0] for shape in runtime.shapes)
        assert report.frames == 20
        assert computed == (5 if dedupe else 20)
        assert report.repeated == 20 - computed
        assert packet_times(target) == packet_times(source)
        results.append(decoded(target, "rgb24"))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("start", [0.0, 0.48, 7.0])
def test_a_part_is_a_part_of_everything(tmp_path: Path, restored, start: float) -> None:
    source = make(
        tmp_path / "in.mkv",
        *("-f", "lavfi", "-i", MOVING.format(9)),
        *(*tones(1, 9), "-c:v", "libx264", "-g", "50", "-qp", "0", "-pix_fmt", "yuv444p"),
        *("-c:a", "pcm_s16le"),
    )
    target = tmp_path / "out.mkv"
    report = restored(source, target, start_s=start, duration_s=1.0, codec="ffv1", pix_fmt="bgr0")
    assert report.frames == 25
    first = round(start * 25)
    whole = tmp_path / "whole.mkv"
    restored(source, whole, codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(
        decoded(target, "rgb24"), decoded(whole, "rgb24")[first : first + 25]
    )
    times = [time for time, _ in packet_times(target)]
    assert times == [Fraction(index, 25) for index in range(25)]
    sound = packet_times(target, "a:0")
    inside = [time for time, _ in packet_times(source, "a:0") if start <= time < start + 1]
    assert len(sound) == len(inside)
    assert abs(sound[0][0] - (inside[0] - Fraction(start))) <= Fraction(1, 1000)


def test_a_number_of_frames_and_a_preview(tmp_path: Path, restored) -> None:
    source = moving(tmp_path / "in.mkv", 2)
    report = restored(source, tmp_path / "some.mkv", frames=7, codec="ffv1")
    assert report.frames == 7
    assert packet_times(tmp_path / "some.mkv") == packet_times(source)[:7]
    report = restored(source, tmp_path / "every.mkv", every_nth=10, codec="ffv1")
    assert report.frames == 5
    times = [time for time, _ in packet_times(tmp_path / "every.mkv")]
    assert times == [time for time, _ in packet_times(source)][::10]
    frames = decoded(source, "rgb24")[::10]
    np.testing.assert_array_equal(decoded(tmp_path / "every.mkv", "rgb24"), frames)


def test_progress_tells_frames_rate_and_time_left(
    tmp_path: Path, restored, capsys: pytest.CaptureFixture[str]
) -> None:
    source = moving(tmp_path / "in.mkv", 0.4)
    restored(source, tmp_path / "out.mkv", codec="ffv1", progress=True)
    last = capsys.readouterr().err.split("\r")[-1]
    assert "10/10 [" in last
    assert "frame/s" in last or "s/frame" in last


def test_an_error_of_the_model_ends_everything(tmp_path: Path, restored) -> None:
    source = moving(tmp_path / "in.mkv", 4)

    def bad(frames: np.ndarray) -> np.ndarray:
        return frames * np.nan

    with pytest.raises(CheckFailedError):
        restored(source, tmp_path / "out.mkv", runtime=FakeRuntime(bad, scale=2))
    assert [*tmp_path.iterdir()] == [source]


@pytest.mark.slow
@pytest.mark.serial
def test_memory_is_flat_over_a_long_video(tmp_path: Path) -> None:
    """After 2,000 and after 10,000 frames the process holds the same, but for a few MB."""
    source = make(
        tmp_path / "long.mp4",
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=400", *tones(1, 400)),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"),
    )
    code = f"""
import sys, threading, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1] / "fakes")!r})
from fake_runtimes import FakeRuntime
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.system.memory import resident_bytes
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.job import VideoOptions
from swinir_deploy.video.restore import restore_file
held = {{}}
class Counting(FakeRuntime):
    def _infer(self, batch):
        self.seen = getattr(self, "seen", 0) + 1
        self.shapes.clear()
        if self.seen in (2000, 5000, 9900):
            held[self.seen] = resident_bytes()
        return super()._infer(batch)
with Counting(scale=2) as runtime:
    options = VideoOptions(encoding=Encoding("h264", options={{"preset": "ultrafast"}}),
                           dedupe=False, progress=False)
    report = restore_file(TiledModel(runtime, None, 8, None, False), Path({str(source)!r}),
                          Path({str(tmp_path / "out.mkv")!r}), options)
print(report.frames, *held.values())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frames, *held = map(int, done.stdout.split())
    assert frames == 10_000
    assert max(held) - held[0] < 8e6
