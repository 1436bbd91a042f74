"""What is broken, changes or cannot be written: a clear error, and nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import decoded, make, needs_ffmpeg, packet_times, run

from swinir_deploy.errors import BackendUnavailableError, UsageError, VideoError

pytestmark = needs_ffmpeg

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=25:d=1"]
H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return make(tmp_path / "in.mkv", *SOURCE, *H264, "-g", "10", "-bf", "2", "-pix_fmt", "gray")


def broken_packet(source: Path, target: Path, number: int) -> Path:
    """A copy in which one packet of the video is overwritten by zeros."""
    lines = run(
        *("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pos,size"),
        *("-of", "csv=p=0", source),
    )
    size, place = map(int, lines.decode().split()[number].split(",")[:2])
    data = bytearray(source.read_bytes())
    start = data.index(source.read_bytes()[place + 8 : place + 16], place)
    data[start : start + size - 8] = bytes(size - 8)
    target.write_bytes(data)
    return target


def test_a_broken_packet_fails_the_command(tmp_path: Path, restored, plain: Path) -> None:
    broken = broken_packet(plain, tmp_path / "broken.mkv", 7)
    with pytest.raises(VideoError, match=r"A packet of the video.*--on-error conceal"):
        restored(broken, tmp_path / "out.mkv")
    assert not [*tmp_path.glob("*out*")]
    assert not [*tmp_path.glob(".*partial*")]


def test_a_broken_packet_is_concealed_and_counted(tmp_path: Path, restored, plain: Path) -> None:
    broken = broken_packet(plain, tmp_path / "broken.mkv", 7)
    target = tmp_path / "out.mkv"
    report = restored(broken, target, on_error="conceal", codec="ffv1", in_chans=1)
    assert report.broken >= 1
    # No frame is lost: the times are those of the whole video.
    assert packet_times(target) == packet_times(plain)
    good, found = decoded(plain, "gray").astype(int), decoded(target, "gray").astype(int)
    wrong = [index for index in range(25) if np.abs(good[index] - found[index]).max() > 1]
    assert wrong
    assert max(wrong) < 10  # the next key frame is right again


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4"])
def test_a_cut_file_is_told(tmp_path: Path, restored, name: str) -> None:
    whole = make(tmp_path / name, *SOURCE, *H264, "-g", "1", "-movflags", "+faststart")
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match=r"the file was cut|cannot be decoded"):
        restored(cut, tmp_path / "out.mkv")
    report = restored(cut, tmp_path / "out.mkv", on_error="conceal")
    assert 5 < report.frames < 25
    assert any("cut" in note for note in report.notes)


def test_an_mp4_without_its_index_is_told(tmp_path: Path, restored) -> None:
    whole = make(tmp_path / "in.mp4", *SOURCE, *H264)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(VideoError, match="lacks its index"):
        restored(cut, tmp_path / "out.mkv")


def test_frames_of_another_size_are_refused(tmp_path: Path, restored) -> None:
    parts = [
        make(tmp_path / f"{n}.h264", "-f", "lavfi", "-i", f"testsrc2=s={n}x32:r=25:d=0.4", *H264)
        for n in (48, 64)
    ]
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match=r"change at 0\.400 s from 48x32 .* to 64x32"):
        restored(joined, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_interlaced_material_is_refused_or_made_whole(tmp_path: Path, restored) -> None:
    marked = make(
        tmp_path / "in.mkv",
        *("-f", "lavfi", "-i", "testsrc2=s=48x32:r=50:d=0.6,format=gray"),
        *("-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct"),
        *("-c:v", "libx264", "-qp", "0"),
    )
    with pytest.raises(VideoError, match=r"interlaced at 0\.000 s.*--deinterlace"):
        restored(marked, tmp_path / "out.mkv")
    restored(marked, tmp_path / "out.mkv", deinterlace=True, codec="ffv1", in_chans=1)
    assert packet_times(tmp_path / "out.mkv") == packet_times(marked)
    oracle = decoded(marked, "gray", "bwdif=mode=send_frame,extractplanes=y").astype(int)
    found = decoded(tmp_path / "out.mkv", "gray", "extractplanes=y").astype(int)
    # bwdif of FFmpeg 5 and 8 differ in the first frame, which has none before it, and in a few
    # pixels; a frame that is not made whole differs in half of its rows.
    error = np.abs(oracle - found)[1:]
    assert error.mean() < 0.01
    assert error.max() <= 4


def test_what_is_no_video_is_told(tmp_path: Path, restored) -> None:
    text = tmp_path / "words.mp4"
    text.write_text("These are words.")
    with pytest.raises(VideoError, match="Cannot read"):
        restored(text, tmp_path / "out.mkv")
    sound = make(tmp_path / "sound.mp4", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac")
    with pytest.raises(VideoError, match="has no video stream"):
        restored(sound, tmp_path / "out.mkv")
    with pytest.raises(VideoError, match="no such file"):
        restored(tmp_path / "absent.mp4", tmp_path / "out.mkv")


def test_the_source_is_never_the_target(tmp_path: Path, restored, plain: Path) -> None:
    before = plain.read_bytes()
    with pytest.raises(UsageError, match="is the video itself"):
        restored(plain, plain)
    assert plain.read_bytes() == before


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"codec": "h265x"}, UsageError, r"no video encoder 'h265x'.*hevc.*libx265"),
        ({"codec": "hevc", "crf": 60}, UsageError, "0 to 51"),
        ({"codec": "ffv1", "crf": 10}, UsageError, "lossless"),
        ({"crf": 10, "bitrate": 1000}, UsageError, "Give one of them"),
        ({"pix_fmt": "yuv421p"}, UsageError, "Unknown pixel format.*yuv420p"),
        ({"codec": "h264", "options": {"pre-set": "slow"}}, UsageError, "no option pre-set"),
        ({"codec": "h264", "options": {"preset": "slo"}}, UsageError, "does not take"),
        ({"decoder": "no_such"}, UsageError, "no decoder 'no_such'"),
        ({"decoder": "hevc"}, UsageError, "the video is h264"),
        ({"matrix": "bt610"}, UsageError, "Did you mean 'bt601'"),
        ({"codec": "h264_nvenc"}, BackendUnavailableError, "hardware"),
    ],
)
def test_impossible_requests_are_told_and_leave_nothing(
    tmp_path: Path, restored, plain: Path, asked: dict, error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        restored(plain, tmp_path / "out.mkv", **asked)
    assert [*tmp_path.iterdir()] == [plain]


def test_a_codec_that_the_container_cannot_hold(tmp_path: Path, restored, plain: Path) -> None:
    with pytest.raises(UsageError, match="another container"):
        restored(plain, tmp_path / "out.webm", codec="h264")
    with pytest.raises(VideoError, match="suffix of a container"):
        restored(plain, tmp_path / "out.xyz")


@pytest.mark.parametrize("pix_fmt", ["yuv420p12le", "yuva420p", "yuv444p"])
def test_what_an_encoder_cannot_keep_is_refused(tmp_path: Path, restored, pix_fmt: str) -> None:
    source = make(tmp_path / "in.mkv", *SOURCE, "-pix_fmt", pix_fmt, "-c:v", "ffv1")
    with pytest.raises(VideoError, match=r"libsvtav1 cannot keep frames.*--pix-fmt yuv420p"):
        restored(source, tmp_path / "out.mkv", codec="av1")
    report = restored(source, tmp_path / "out.mkv", codec="av1", pix_fmt="yuv420p")
    assert report.pix_fmt == "yuv420p"


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, plain: Path) -> None:
    """A limit for the size of files stands for the disk; the writer sees the same kind of error."""
    code = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1] / "fakes")!r})
from fake_runtimes import FakeRuntime
from swinir_deploy.errors import InputError
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.job import VideoOptions
from swinir_deploy.video.restore import restore_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
options = VideoOptions(encoding=Encoding("ffv1"), progress=False)
with FakeRuntime(scale=2) as runtime:
    try:
        restore_file(TiledModel(runtime, None, 8, None, False), Path({str(plain)!r}),
                     Path({str(tmp_path / "out.mkv")!r}), options)
    except InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Cannot write" in done.stdout
    assert "too large" in done.stdout
    assert [*tmp_path.iterdir()] == [plain]
