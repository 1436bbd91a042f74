"""What is not pixels: times, sound, subtitles, chapters, attachments, metadata, rotation."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from clips import make, needs_ffmpeg, packet_times, probe, run, stream_hashes, tones

from swinir_deploy.errors import VideoError

pytestmark = needs_ffmpeg

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=25:d=1"]
GAPS = r"testsrc2=s=48x32:r=25:d=2,select='not(mod(n\,3))+not(mod(n\,7))'"
H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("plain.mp4", [*SOURCE, *H264]),
        ("b-frames.mkv", [*SOURCE, *H264, "-bf", "3"]),
        ("variable.mkv", ["-f", "lavfi", "-i", GAPS, "-vsync", "vfr", *H264]),
        ("ntsc.mkv", ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=30000/1001:d=1", *H264]),
        ("offset.ts", [*SOURCE, *H264]),
        ("late.mp4", [*SOURCE, *H264, "-output_ts_offset", "1.7"]),
        ("one.mp4", ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=25:d=0.04", *H264]),
        ("ten.webm", [*SOURCE, "-c:v", "libvpx-vp9"]),
    ],
)
def test_every_time_and_duration_stays_to_the_tick(
    tmp_path: Path, restored, name: str, arguments: list[str]
) -> None:
    source = make(tmp_path / name, *arguments)
    target = tmp_path / f"out{source.suffix}"
    report = restored(source, target, scale=2, codec=None)
    assert packet_times(target) == packet_times(source)
    assert report.frames == len(packet_times(source))


def test_a_variable_rate_stays_in_mp4(tmp_path: Path, restored) -> None:
    source = make(tmp_path / "in.mp4", "-f", "lavfi", "-i", GAPS, "-vsync", "vfr", *H264)
    restored(source, tmp_path / "out.mp4")
    times = [time for time, _ in packet_times(source)]
    assert [time for time, _ in packet_times(tmp_path / "out.mp4")] == times
    assert len({after - before for before, after in pairwise(times)}) > 1


def test_sound_that_begins_early_moves_no_frame(tmp_path: Path, restored) -> None:
    """AAC begins with samples to be dropped; FFmpeg's own copy to Matroska moves all by 23 ms."""
    source = make(tmp_path / "in.mp4", *SOURCE, *tones(), *H264, "-c:a", "aac")
    target = tmp_path / "out.mkv"
    restored(source, target)
    assert packet_times(target) == packet_times(source)
    to_ms = Fraction(1, 1000)
    pairs = zip(packet_times(source, "a:0"), packet_times(target, "a:0"), strict=True)
    assert all(abs(before[0] - after[0]) <= to_ms for before, after in pairs)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A clip with two sounds, subtitles, a chapter list, an attachment and tags."""
    (tmp_path / "words.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,500\nHello\n\n2\n00:00:00,600 --> 00:00:00,900\nthere\n"
    )
    (tmp_path / "font.ttf").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "tags.txt").write_text(
        ";FFMETADATA1\ntitle=A clip\nmy_own_tag=kept\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n"
    )
    return make(
        tmp_path / "full.mkv",
        *(*SOURCE, *tones(2), "-i", str(tmp_path / "words.srt"), "-i", str(tmp_path / "tags.txt")),
        *("-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map_metadata", "4"),
        *("-map_chapters", "4", *H264, "-c:a:0", "aac", "-c:a:1", "flac", "-c:s", "srt"),
        *("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "title=Commentary"),
        *("-disposition:a:1", "comment", "-disposition:s:0", "forced"),
        *("-attach", str(tmp_path / "font.ttf"), "-metadata:s:t", "mimetype=font/ttf"),
    )


def test_all_streams_chapters_and_tags_are_copied(tmp_path: Path, restored, full: Path) -> None:
    target = tmp_path / "out.mkv"
    report = restored(full, target, scale=2)
    assert not [note for note in report.notes if "matrix" not in note]
    for kind in ("a", "s"):
        assert stream_hashes(target, kind) == stream_hashes(full, kind)
        for index in range(len(stream_hashes(full, kind))):
            stream = f"{kind}:{index}"
            assert packet_times(target, stream) == packet_times(full, stream)
    kept = "stream=index,codec_type,codec_name:stream_disposition:stream_tags=language,title"
    assert probe(target, kept)["streams"] == probe(full, kept)["streams"]
    chapters = "chapter=start,end,time_base:chapter_tags"
    wanted, found = (
        [
            (Fraction(c["time_base"]) * c["start"], Fraction(c["time_base"]) * c["end"], c["tags"])
            for c in probe(path, chapters)["chapters"]
        ]
        for path in (full, target)
    )
    assert found == wanted
    assert len(found) == 2
    tags = probe(target, "format_tags")["format"]["tags"]
    assert tags["title"] == "A clip"
    assert tags["MY_OWN_TAG"] == "kept"
    run(
        *("ffmpeg", "-v", "quiet", "-y", "-dump_attachment:t:0", tmp_path / "dumped", "-i"),
        *(target, "-t", "0", "-f", "null", "-"),
    )
    assert (tmp_path / "dumped").read_bytes() == (tmp_path / "font.ttf").read_bytes()


def test_mp4_keeps_tags_that_it_has_no_place_for(tmp_path: Path, restored) -> None:
    source = make(
        tmp_path / "in.mkv", *SOURCE, *H264, "-metadata", "title=T", "-metadata", "my_own_tag=kept"
    )
    report = restored(source, tmp_path / "out.mp4")
    tags = probe(tmp_path / "out.mp4", "format_tags")["format"]["tags"]
    assert {key.lower(): value for key, value in tags.items()}["my_own_tag"] == "kept"
    assert tags["title"] == "T"
    assert not any("tags" in note for note in report.notes)


def test_a_stream_that_the_container_cannot_hold_is_refused_or_left_out(
    tmp_path: Path, restored, full: Path
) -> None:
    with pytest.raises(VideoError, match=r"cannot hold stream 3 \(subtitle, .*--drop-unsupported"):
        restored(full, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    report = restored(full, tmp_path / "out.mp4", drop_unsupported=True)
    assert any("Stream 3 (subtitle) was left out" in note for note in report.notes)
    assert len(stream_hashes(tmp_path / "out.mp4")) == 2


def test_rotation_and_aspect_stay(tmp_path: Path, restored) -> None:
    plain = make(tmp_path / "plain.mp4", *SOURCE, "-vf", "setsar=4/3", *H264)
    source = make(tmp_path / "in.mp4", "-i", str(plain), "-c", "copy", "-metadata:s:v", "rotate=90")
    wanted = "stream=sample_aspect_ratio:stream_side_data=rotation"
    for suffix in (".mp4", ".mov", ".mkv"):
        restored(source, tmp_path / f"out{suffix}", scale=2)
        found, before = probe(tmp_path / f"out{suffix}", wanted), probe(source, wanted)
        assert found["streams"] == before["streams"]
        assert before["streams"][0]["sample_aspect_ratio"] == "4:3"
        assert abs(before["streams"][0]["side_data_list"][0]["rotation"]) == 90
    with pytest.raises(VideoError, match="cannot hold that"):
        restored(source, tmp_path / "out.avi")


def test_a_cover_is_copied_and_is_not_the_video(tmp_path: Path, restored) -> None:
    video = make(tmp_path / "v.mp4", *SOURCE, *H264)
    cover = make(tmp_path / "c.png", "-f", "lavfi", "-i", "color=red:s=20x10:d=1", "-frames:v", "1")
    source = make(
        tmp_path / "in.mp4",
        *("-i", str(cover), "-i", str(video), "-map", "0", "-map", "1", "-c", "copy"),
        *("-disposition:v:0", "attached_pic"),
    )
    report = restored(source, tmp_path / "out.mp4", scale=2)
    assert (report.width, report.target_width) == (48, 96)
    kept = "stream=codec_name,width:stream_disposition=attached_pic"
    streams = {s["codec_name"]: s for s in probe(tmp_path / "out.mp4", kept)["streams"]}
    assert streams["png"]["width"] == 20
    assert streams["png"]["disposition"]["attached_pic"] == 1


def test_time_code_comes_back_from_the_metadata(tmp_path: Path, restored) -> None:
    source = make(tmp_path / "in.mov", *SOURCE, *H264, "-timecode", "01:00:00:00")
    restored(source, tmp_path / "out.mov")
    tags = "stream=codec_tag_string:stream_tags=timecode"
    assert probe(tmp_path / "out.mov", tags)["streams"] == probe(source, tags)["streams"]


CAPTION = bytes.fromhex("b50031474139340341fffc942cff")


def with_captions(path: Path) -> Path:
    """H.264 with a caption (CEA-608) in every frame, as broadcasters have them."""
    plain = make(path.with_name("plain.h264"), *SOURCE, *H264, "-bf", "0", "-x264-params", "aud=1")
    start = b"\x00\x00\x00\x01\x09"  # the delimiter that begins every frame
    message = b"\x00\x00\x00\x01\x06\x04" + bytes([len(CAPTION)]) + CAPTION + b"\x80"
    parts = plain.read_bytes().split(start)
    raw = path.with_name("captions.h264")
    raw.write_bytes(
        parts[0] + b"".join(start + part[:1] + message + part[1:] for part in parts[1:])
    )
    return make(path, "-r", "25", "-i", str(raw), "-c", "copy")


def captions_in(path: Path) -> int:
    frames = probe(path, "frame=side_data_list:frame_side_data", "v:0")["frames"]
    return sum(
        "Closed Captions" in side["side_data_type"]
        for frame in frames
        for side in frame.get("side_data_list", [])
    )


@pytest.mark.parametrize(("codec", "kept"), [("h264", 25), ("hevc", 25), ("ffv1", 0)])
def test_closed_captions_stay_or_are_missed_in_words(
    tmp_path: Path, restored, codec: str, kept: int
) -> None:
    source = with_captions(tmp_path / "in.mp4")
    assert captions_in(source) == 25
    report = restored(source, tmp_path / "out.mkv", scale=2, codec=codec)
    assert captions_in(tmp_path / "out.mkv") == kept
    assert any("Closed captions" in note for note in report.notes) == (kept == 0)
