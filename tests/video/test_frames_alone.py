"""Y4M and raw frames: what FFmpeg's own programs make of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import decoded, make, needs_ffmpeg, probe, run

from swinir_deploy.errors import VideoError

pytestmark = needs_ffmpeg

NTSC = ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=30000/1001:d=0.2"]
HEAD = "stream=pix_fmt,width,height,r_frame_rate,sample_aspect_ratio,color_range,chroma_location"


@pytest.mark.parametrize(
    "pix_fmt", ["gray", "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gray16le"]
)
def test_the_head_and_the_frames_are_those_of_ffmpeg(
    tmp_path: Path, restored, pix_fmt: str
) -> None:
    """MP4 counts in fine ticks and the pixels are no squares: Y4M tells the rate and the shape."""
    source = make(tmp_path / "in.mkv", *NTSC, "-vf", f"format={pix_fmt},setsar=4/3", "-c:v", "ffv1")
    oracle = make(tmp_path / "oracle.y4m", "-i", str(source), "-strict", "-1")
    target = tmp_path / "out.y4m"
    channels = 1 if pix_fmt.startswith("gray") else 3
    report = restored(source, target, in_chans=channels)
    assert report.frames == 6
    found, wanted = probe(target, HEAD)["streams"][0], probe(oracle, HEAD)["streams"][0]
    assert found["r_frame_rate"] == "30000/1001"
    assert found["sample_aspect_ratio"] == "4:3"
    for key in ("pix_fmt", "width", "height", "r_frame_rate", "sample_aspect_ratio"):
        assert found[key] == wanted[key]
    if pix_fmt.startswith("gray"):
        np.testing.assert_array_equal(decoded(target, pix_fmt), decoded(oracle, pix_fmt))
    assert target.stat().st_size - oracle.stat().st_size == (
        len(target.read_bytes().partition(b"\n")[0]) - len(oracle.read_bytes().partition(b"\n")[0])
    )


@pytest.mark.parametrize(("ranged", "place"), [("tv", "left"), ("pc", "center"), ("tv", "topleft")])
def test_range_and_place_of_colour_samples_are_told(
    tmp_path: Path, restored, ranged: str, place: str
) -> None:
    number = ["left", "center", "topleft"].index(place)
    source = make(
        tmp_path / "in.mkv",
        *(*NTSC, "-vf", f"format=yuv420p,scale=out_range={ranged}", "-color_range", ranged),
        *("-c:v", "libx264", "-qp", "0", "-x264-params", f"chromaloc={number}"),
    )
    restored(source, tmp_path / "out.y4m")
    found = probe(tmp_path / "out.y4m", HEAD)["streams"][0]
    assert (found["color_range"], found["chroma_location"]) == (ranged, place)


def test_a_preview_has_a_lower_rate(tmp_path: Path, restored) -> None:
    source = make(tmp_path / "in.mkv", *NTSC, "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    report = restored(source, tmp_path / "out.y4m", every_nth=3)
    assert report.frames == 2
    rate = probe(tmp_path / "out.y4m", HEAD)["streams"][0]["r_frame_rate"]
    assert Fraction(rate) == Fraction(10000, 1001)


def test_what_frames_alone_cannot_hold_is_said(tmp_path: Path, restored) -> None:
    gaps = r"testsrc2=s=48x32:r=25:d=2,select='not(mod(n\,3))+not(mod(n\,7))'"
    source = make(
        *(tmp_path / "in.mkv", "-f", "lavfi", "-i", gaps, "-f", "lavfi", "-i", "sine=d=1"),
        *("-vsync", "vfr", "-c:v", "libx264"),
    )
    report = restored(source, tmp_path / "out.y4m")
    assert any("no sound" in note for note in report.notes)
    assert any("variable rate were left out" in note for note in report.notes)
    colours = make(tmp_path / "c.mkv", *NTSC, "-c:v", "ffv1", "-pix_fmt", "yuva420p")
    with pytest.raises(VideoError, match=r"y4m cannot keep frames.*opacity"):
        restored(colours, tmp_path / "out.y4m")


def test_raw_frames_are_the_planes_without_gaps(tmp_path: Path, restored) -> None:
    """Rows of 47 pixels, which decoders fill up to 64."""
    source = make(
        *(tmp_path / "in.mkv", "-f", "lavfi", "-i", "testsrc=s=47x31:r=5:d=0.4,format=yuv420p"),
        *("-c:v", "ffv1"),
    )
    target = tmp_path / "out.yuv"
    restored(source, target, pipe_format="rawvideo", pix_fmt="gray", in_chans=3)
    assert target.stat().st_size == 2 * 47 * 31
    restored(source, target, pipe_format="rawvideo")
    assert target.stat().st_size == 2 * (47 * 31 + 2 * 24 * 16)


def test_the_head_of_vspipe_is_understood(tmp_path: Path, restored) -> None:
    """VapourSynth writes the length, and 0:0 for a shape that it does not know."""
    frames = np.random.default_rng(0).integers(16, 236, (3, 32, 48), np.uint8)
    source = tmp_path / "in.y4m"
    head = b"YUV4MPEG2 Cmono W48 H32 F24000:1001 Ip A0:0 XLENGTH=3\n"
    source.write_bytes(head + b"".join(b"FRAME\n" + frame.tobytes() for frame in frames))
    report = restored(source, tmp_path / "out.mkv", codec="ffv1", in_chans=1)
    assert report.frames == 3
    np.testing.assert_array_equal(decoded(tmp_path / "out.mkv", "gray")[..., 0], frames)
    rate = probe(tmp_path / "out.mkv", "stream=r_frame_rate")["streams"][0]["r_frame_rate"]
    assert rate == "24000/1001"


def test_ffmpeg_reads_what_is_written(tmp_path: Path, restored) -> None:
    source = make(tmp_path / "in.mkv", *NTSC, "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    restored(source, tmp_path / "out.y4m", scale=2)
    run("ffmpeg", "-v", "error", "-xerror", "-i", tmp_path / "out.y4m", "-f", "null", "-")
