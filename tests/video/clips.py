"""Clips for the tests, made and measured by FFmpeg's own programs: the independent oracle."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'swinir-deploy[video]'")

__all__ = [
    "FLAGS",
    "av",
    "decoded",
    "decoded_planes",
    "make",
    "needs_ffmpeg",
    "packet_times",
    "probe",
    "stream_hashes",
    "tones",
]

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None,
    reason="ffmpeg and ffprobe, the oracle for videos, are not installed",
)

# libswscale's exact settings; without them ffmpeg rounds down.
FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


def run(*command: Any) -> bytes:
    done = subprocess.run([str(part) for part in command], capture_output=True)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()[-800:]}"
    return done.stdout


def make(path: Path, *arguments: str) -> Path:
    """Write a clip with ffmpeg."""
    run("ffmpeg", "-v", "error", "-y", *arguments, path)
    return path


def tones(count: int = 1, duration: float = 1.0) -> list[str]:
    """Arguments for so many sounds."""
    return [
        part
        for index in range(count)
        for part in ("-f", "lavfi", "-i", f"sine=f={440 * (index + 1)}:d={duration}")
    ]


def decoded(path: Path, pix_fmt: str, filters: str = "null") -> np.ndarray:
    """All frames as ffmpeg decodes them: [n, height, width, channels]."""
    width, height = sides(path)
    # -noautorotate: frames as they are stored
    raw = run(
        *("ffmpeg", "-v", "error", "-noautorotate", "-i", path, "-map", "0:v:0", "-vf", filters),
        *("-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"),
    )
    dtype = np.uint16 if pix_fmt.endswith("le") else np.uint8
    channels = {"gray": 1, "gray16le": 1, "rgba": 4, "rgba64le": 4}.get(pix_fmt, 3)
    return np.frombuffer(raw, dtype).reshape(-1, height, width, channels)


def decoded_planes(path: Path, pix_fmt: str, filters: str = "null") -> np.ndarray:
    """All frames of a planar format with full resolution: [n, planes, height, width]."""
    width, height = sides(path)
    raw = run(
        *("ffmpeg", "-v", "error", "-noautorotate", "-i", path, "-map", "0:v:0", "-vf", filters),
        *("-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"),
    )
    planes = 4 if "a" in pix_fmt else 3
    dtype = np.uint16 if pix_fmt.endswith("le") else np.uint8
    return np.frombuffer(raw, dtype).reshape(-1, planes, height, width)


def sides(path: Path) -> tuple[int, int]:
    """Width and height of the frames. (PyAV is quicker to ask; a wrong answer would be noticed.)"""
    with av.open(str(path)) as video:
        return video.streams.video[0].width, video.streams.video[0].height


def probe(path: Path, entries: str, stream: str | None = None) -> Any:
    """What ffprobe says, as parsed JSON."""
    chosen = [] if stream is None else ["-select_streams", stream]
    command = ["ffprobe", "-v", "error", *chosen, "-show_entries", entries, "-of", "json", path]
    return json.loads(run(*command))


def packet_times(path: Path, stream: str = "v:0") -> list[tuple[Fraction, Fraction]]:
    """The exact time and duration of every packet in seconds, in the order of the times."""
    base = Fraction(probe(path, "stream=time_base", stream)["streams"][0]["time_base"])
    packets = probe(path, "packet=pts,duration", stream)["packets"]
    return sorted((p["pts"] * base, p.get("duration", 0) * base) for p in packets)


def stream_hashes(path: Path, streams: str = "a") -> list[str]:
    """The hash of the packets of every stream of a kind, as ffmpeg computes it."""
    out = run(
        *("ffmpeg", "-v", "error", "-i", path, "-map", f"0:{streams}", "-c", "copy"),
        *("-f", "streamhash", "-hash", "md5", "-"),
    )
    return [line.split("=")[1] for line in out.decode().split()]
