"""``swinir-deploy restore`` with videos and pipes, as a user runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Program

pytest.importorskip("av", reason="PyAV is not installed: pip install 'swinir-deploy[video]'")
pytestmark = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="ffmpeg, the oracle for videos, is not installed"
)

MODEL = "tiny-sr-x2"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "in.mp4"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=32x24:r=25:d=0.2"]
    command += ["-f", "lavfi", "-i", "sine=d=0.2", "-pix_fmt", "yuv420p", "-colorspace", "bt709"]
    subprocess.run([*command, str(path)], check=True)
    return path


def swinir_deploy(*arguments: object, **more: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "swinir_deploy", "restore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, **more)  # type: ignore[call-overload]


def test_a_video_is_restored_and_reported(swinir: Program, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    run = swinir("restore", clip, target, "--model", MODEL, "--json", "--batch", 2)
    video = run.document["video"]
    assert (video["frames"], video["target_width"], video["target_height"]) == (5, 64, 48)
    assert video["encoder"] == "libx264"
    assert 0 < video["model_share"] <= 1
    again = swinir("restore", clip, target, "--model", MODEL, code=2)
    assert "--overwrite" in again.stderr
    into = swinir("restore", clip, f"{tmp_path}/", "--model", MODEL, "--frames", 1)
    assert "1 frames" in into.stdout
    assert (tmp_path / clip.name).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--codec", "h266"], 2, "no video encoder"),
        (["--crf", "99"], 2, "crf"),
        (["--start", "1:2:x"], 2, "no time such as"),
        (["--bitrate", "fast"], 2, "no rate such as"),
        (["--output-quality", "5"], 2, "is for pictures"),
        (["--codec", "hevc_nvenc"], 3, "hardware"),
        (["--on-error", "conceil"], 2, "conceal"),
    ],
)
def test_wrong_options_are_told(
    swinir: Program, clip: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    run = swinir("restore", clip, "out.mp4", "--model", MODEL, *arguments, code=code)
    assert words in run.stderr
    assert not [*Path.cwd().iterdir()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in.mp4", "absent/out.mkv"], "there is no folder absent"),
        (["-", ".", "--format", "y4m"], "a pipe has no name"),
        (["in.mp4", "out.mkv", "--resume", "--overwrite"], "Give one of them"),
        (["-", "out.mkv", "--format", "y4m", "--resume"], "a pipe cannot be read again"),
    ],
)
def test_places_that_cannot_be_are_told(swinir: Program, arguments: list[str], words: str) -> None:
    assert words in swinir("restore", *arguments, "--model", MODEL, code=None).stderr


def test_a_video_is_never_its_own_result(swinir: Program, clip: Path, tmp_path: Path) -> None:
    before, link = clip.read_bytes(), tmp_path / "link.mp4"
    link.symlink_to(clip)
    for target in (clip, link):
        run = swinir("restore", clip, target, "--model", MODEL, "--overwrite", code=2)
        assert "would replace" in run.stderr
    assert clip.read_bytes() == before


def test_a_gif_is_a_video_where_out_is_one(swinir: Program) -> None:
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=32x24:r=5:d=0.6"]
    subprocess.run([*command, "in.gif"], check=True)
    run = swinir("restore", "in.gif", "out.mkv", "--model", MODEL, "--pix-fmt", "yuv444p")
    assert "3 frames" in run.stdout
    run = swinir("restore", "in.gif", "out.png", "--model", MODEL)
    assert "frames" not in run.stdout


def test_options_for_videos_are_refused_for_pictures(swinir: Program) -> None:
    asked = ["in.png", "out.png", "--model", MODEL, "--crf", 3, "--deinterlace"]
    run = swinir("restore", *asked, code=2)
    assert "--crf, --deinterlace are for videos" in run.stderr


def test_it_stands_between_two_ffmpegs(swinir: Program, clip: Path, tmp_path: Path) -> None:
    """Y4M through pipes gives the frames of the file, and the rate."""
    own = [sys.executable, "-m", "swinir_deploy", "restore", "-", "-", "--format", "y4m"]
    own += ["--model", MODEL, "--matrix", "bt709"]
    read = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "yuv4mpegpipe", "-"]
    write = ["ffmpeg", "-v", "error", "-i", "-", "-c:v", "ffv1", str(tmp_path / "piped.mkv")]
    with (
        subprocess.Popen(read, stdout=subprocess.PIPE) as first,
        subprocess.Popen(own, stdin=first.stdout, stdout=subprocess.PIPE) as second,
    ):
        done = subprocess.run(write, stdin=second.stdout, check=True)
        assert second.wait() == 0
    assert done.returncode == 0
    swinir("restore", clip, tmp_path / "direct.mkv", "--model", MODEL, "--codec", "ffv1")
    frames = []
    for name in ("piped.mkv", "direct.mkv"):
        command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / name), "-f", "rawvideo"]
        command += ["-vsync", "passthrough"]
        command += ["-pix_fmt", "yuv420p", "-"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        frames.append(np.frombuffer(raw, np.uint8).reshape(-1, 72, 64).astype(int))
    assert frames[0].shape == frames[1].shape
    assert np.abs(frames[0][:, :48] - frames[1][:, :48]).mean() < 1  # luma
    rate = ["ffprobe", "-v", "error", "-show_entries", "stream=r_frame_rate", "-of", "csv=p=0"]
    found = subprocess.run([*rate, str(tmp_path / "piped.mkv")], capture_output=True, check=True)
    assert found.stdout.split() == [b"25/1"]


def test_raw_frames_go_in_and_out() -> None:
    frames = np.arange(3 * 16 * 24 * 3, dtype=np.uint32).reshape(3, 16, 24, 3) % 251
    arguments = ["-", "-", "--format", "rawvideo", "--model", MODEL]
    size = ["--frame-size", "24x16", "--rate", "30000/1001"]
    done = swinir_deploy(*arguments, *size, input=frames.astype(np.uint8).tobytes())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == 3 * 32 * 48 * 3
    from swinir_deploy import Restorer, open_runtime

    with open_runtime(MODEL) as runtime:
        expected = [Restorer(runtime).restore_array(frame.astype(np.uint8)) for frame in frames]
    found = np.frombuffer(done.stdout, np.uint8).reshape(3, 32, 48, 3)
    np.testing.assert_array_equal(found, expected)


def test_frames_alone_go_into_files(swinir: Program, clip: Path) -> None:
    swinir("restore", clip, "out.y4m", "--model", MODEL)
    assert Path("out.y4m").read_bytes().startswith(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420")
    swinir("restore", clip, "out.yuv", "--model", MODEL, "--format", "rawvideo")
    assert Path("out.yuv").stat().st_size == 5 * 64 * 48 * 3 // 2
    back = ["--format", "rawvideo", "--frame-size", "64x48", "--frame-format", "yuv420p"]
    run = swinir("restore", "out.yuv", "again.mkv", "--model", MODEL, *back)
    assert "64x48 -> 128x96, 5 frames" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "-", "--format", "rawvideo"], "--frame-size"),
        (["-", "-", "--format", "rawvideo", "--frame-size", "wide"], "no size such as"),
        (["-", "-", "--format", "y4m", "--json"], "--json both write to stdout"),
    ],
)
def test_pipes_need_to_know_what_comes(swinir: Program, arguments: list[str], words: str) -> None:
    assert words in swinir("restore", *arguments, "--model", MODEL, code=2).stderr


def test_a_pipe_that_is_no_video_is_told(swinir: Program) -> None:
    run = swinir("restore", "-", "-", "--format", "y4m", "--model", MODEL, code=4)
    assert "Cannot read stdin" in run.stderr


def test_without_pyav_the_extra_is_named(clip: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None; from swinir_deploy.cli.main import program; "
        f"program.main(['restore', {str(clip)!r}, {str(tmp_path / 'out.mkv')!r}, "
        f"'--model', {MODEL!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert "pip install 'swinir-deploy[video]'" in done.stderr
