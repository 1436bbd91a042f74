"""Which encoder writes a file, and what ffprobe finds in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import make, needs_ffmpeg, probe

from swinir_deploy.video.encoding import CODECS, Encoding, available_encoders, choose_encoder
from swinir_deploy.video.pixel_formats import describe

pytestmark = needs_ffmpeg

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=0.12"]
FOUND = "stream=codec_name,profile,pix_fmt,bits_per_raw_sample"


def written(path: Path) -> tuple[str, str]:
    stream = probe(path, FOUND, "v:0")["streams"][0]
    return stream["codec_name"], stream["pix_fmt"]


@pytest.mark.parametrize(
    ("codec", "suffix", "before", "after"),
    [
        ("h264", ".mp4", "yuv420p", "yuv420p"),
        ("h264", ".mkv", "yuv422p10le", "yuv422p10le"),
        ("hevc", ".mp4", "yuv420p10le", "yuv420p10le"),
        ("hevc", ".mkv", "yuv444p12le", "yuv444p12le"),
        ("av1", ".mkv", "yuv420p10le", "yuv420p10le"),
        ("vp9", ".webm", "yuv444p", "yuv444p"),
        ("ffv1", ".mkv", "yuv422p12le", "yuv422p12le"),
        ("prores", ".mov", "yuv422p10le", "yuv422p10le"),
        ("prores", ".mov", "yuv444p10le", "yuv444p12le"),  # as its decoder says it
    ],
)
def test_every_codec_writes_what_was_asked_for(
    tmp_path: Path, restored, codec: str, suffix: str, before: str, after: str
) -> None:
    source = make(tmp_path / "in.mkv", *SOURCE, "-c:v", "ffv1", "-pix_fmt", before)
    target = tmp_path / f"out{suffix}"
    report = restored(source, target, codec=codec)
    assert report.encoder == CODECS[codec]
    assert written(target) == (codec, after)


@pytest.mark.parametrize(
    ("name", "pix_fmt", "encoder"),
    [
        ("o.mp4", "yuv420p", "libx264"),
        ("o.MP4", "yuv420p10le", "libx265"),
        ("o.mkv", "yuv420p", "libx264"),
        ("o.mkv", "yuv444p12le", "libx265"),
        ("o.mkv", "yuv420p16le", "ffv1"),
        ("o.mkv", "yuva420p", "ffv1"),
        ("o.mov", "yuva444p", "prores_ks"),
        ("o.webm", "yuv420p", "libsvtav1"),
        ("o.webm", "yuva420p", "libvpx-vp9"),
        ("o.avi", "yuv420p10le", "ffv1"),
        ("o.ts", "yuv420p", "libx264"),
    ],
)
def test_container_and_bits_choose_the_encoder(name: str, pix_fmt: str, encoder: str) -> None:
    assert choose_encoder(Encoding(), Path(name), describe(pix_fmt)).name == encoder


def test_prores_in_mov_keeps_opacity(tmp_path: Path, restored) -> None:
    source = make(tmp_path / "in.mkv", *SOURCE, "-c:v", "ffv1", "-pix_fmt", "yuva444p10le")
    restored(source, tmp_path / "out.mov")
    assert written(tmp_path / "out.mov") == ("prores", "yuva444p12le")  # as its decoder says it


def test_quality_and_rate_are_obeyed(tmp_path: Path, restored) -> None:
    noise = "testsrc2=s=128x96:r=25:d=2,noise=alls=40:allf=t"
    source = make(tmp_path / "in.mkv", "-f", "lavfi", "-i", noise, "-c:v", "ffv1")
    sizes = {}
    for name, asked in {
        "fine": {"crf": 5},
        "coarse": {"crf": 40},
        "500k": {"bitrate": 500_000},
        "2M": {"bitrate": 2_000_000},
    }.items():
        target = tmp_path / f"{name}.mkv"
        restored(source, target, codec="h264", pix_fmt="yuv420p", **asked)
        sizes[name] = target.stat().st_size
    assert sizes["fine"] > 3 * sizes["coarse"]
    for name, rate in (("500k", 500_000), ("2M", 2_000_000)):
        assert 0.5 < sizes[name] * 8 / 2 / rate < 1.6


def test_the_list_of_encoders_names_those_of_the_build() -> None:
    here = available_encoders()
    assert {"libx264", "libx265", "libsvtav1", "ffv1", "prores_ks"} <= {*here}
    assert not {name for name in here if name in ("h264", "hevc", "aac")}
