"""An interrupted run goes on from its segments, and the joined result is that of one run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import decoded, make, needs_ffmpeg, packet_times, probe, run, stream_hashes, tones
from fake_runtimes import FakeRuntime

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.video import resumed_job
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.job import VideoOptions
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.restore import restore_file
from swinir_deploy.video.source import Reading

pytestmark = needs_ffmpeg

GAPS = r"select='not(mod(n\,3))+not(mod(n\,7))'"


class Interrupted(FakeRuntime):
    """Is interrupted after so many frames, as by Ctrl-C."""

    def __init__(self, after: int | None) -> None:
        self.left = after
        super().__init__(scale=2)

    def _before(self, batch: np.ndarray) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


def go(
    source: Path, target: Path, after: int | None = None, resume: bool = True, **encoding: object
) -> tuple[VideoReport, int]:
    runtime = Interrupted(after)
    with runtime:
        model = TiledModel(runtime, None, 8, None, progress=False)
        options = VideoOptions(
            Reading(),
            Encoding(**encoding),
            dedupe=False,
            progress=False,  # type: ignore[arg-type]
        )
        report = restore_file(model, source, target, options, resume)
    return report, len(runtime.shapes)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumed_job, "SEGMENT_FRAMES", 8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(
        tmp_path / "in.mkv",
        *("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d=2,{GAPS}", *tones(2, 2), "-vsync", "vfr"),
        *("-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
        *("-colorspace", "bt709", "-c:a:0", "aac", "-c:a:1", "flac", "-metadata", "title=T"),
    )


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
def test_an_interrupted_run_goes_on(tmp_path: Path, source: Path, codec: str, suffix: str) -> None:
    if (codec, suffix) == ("ffv1", ".mp4"):
        pytest.skip("MP4 holds no FFV1")
    target, folder = tmp_path / f"out{suffix}", tmp_path / f"out{suffix}.segments"
    asked = {"codec": codec} | ({"pix_fmt": "yuv420p"} if codec == "ffv1" else {"crf": 1})
    with pytest.raises(KeyboardInterrupt):
        go(source, target, after=13, **asked)
    assert not target.exists()
    assert [file.name for file in folder.glob("*.packets")] == ["00000.packets"]
    assert not [*tmp_path.rglob("*partial*")]
    report, computed = go(source, target, **asked)
    assert report.frames == 22
    assert computed == 22 - 8
    assert any("8 frames were there already" in note for note in report.notes)
    assert not folder.exists()
    whole = tmp_path / f"whole{suffix}"
    go(source, whole, resume=False, **asked)
    assert [time for time, _ in packet_times(target)] == [t for t, _ in packet_times(whole)]
    assert stream_hashes(target) == stream_hashes(source)
    assert stream_hashes(target, "a:1") == stream_hashes(source, "a:1")
    marks = "stream=codec_name,pix_fmt,color_space,color_range,width,height,avg_frame_rate"
    assert probe(target, marks, "v:0")["streams"] == probe(whole, marks, "v:0")["streams"]
    if codec == "av1":
        return  # Debian's decoder may be missing; the times are checked above
    found, expected = (decoded(path, "gray").astype(int) for path in (target, whole))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (0 if codec == "ffv1" else 12)
    assert np.abs(found - expected).mean() < 1
    # A decoder that reads it from start to end finds nothing to complain about.
    run("ffmpeg", "-v", "error", "-xerror", "-i", target, "-f", "null", "-")


@pytest.mark.usefixtures("short_segments")
def test_decoding_times_grow_over_the_joints(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "out.mp4"
    go(source, target, codec="h264", options={"bf": "3"})
    packets = probe(target, "packet=pts,dts,flags", "v:0")["packets"]
    dts = [packet["dts"] for packet in packets]
    assert all(before < after for before, after in pairwise(dts))
    assert all(packet["dts"] <= packet["pts"] for packet in packets)
    assert sum("K" in packet["flags"] for packet in packets) == 3  # 22 frames in segments of 8


@pytest.mark.usefixtures("short_segments")
def test_a_run_that_was_stopped_while_joining_computes_nothing_again(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mkv"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(resumed_job, "_join", interrupted)
        go(source, target)
    report, computed = go(source, target)
    assert (report.frames, computed) == (22, 0)


@pytest.mark.usefixtures("short_segments")
def test_segments_of_another_request_are_not_used(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        go(source, target, after=13, crf=10)
    with pytest.raises(UsageError, match="another options"):
        go(source, target, crf=20)
    changed = make(source, "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-c:v", "ffv1")
    with pytest.raises(UsageError, match="another source"):
        go(changed, target, crf=10)
    list_file = tmp_path / "out.mkv.segments" / "segments.json"
    list_file.write_text("{")
    with pytest.raises(VideoError, match="is damaged"):
        go(source, target, crf=10)


def test_without_resume_nothing_is_left(tmp_path: Path, source: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(source, tmp_path / "out.mkv", after=5, resume=False)
    assert [*tmp_path.iterdir()] == [source]


def test_what_cannot_be_resumed_is_told(tmp_path: Path, source: Path) -> None:
    with pytest.raises(UsageError, match="another container"):
        go(source, tmp_path / "out.ts")
