"""The pixels: what ffmpeg decodes goes through the model, and ffmpeg reads what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import FLAGS, av, decoded, decoded_planes, make, needs_ffmpeg, probe
from fake_runtimes import FakeRuntime

from swinir_deploy.restoration.restorer import Restorer

pytestmark = needs_ffmpeg

# Colours inside the range of every matrix, with noise and motion.
SOURCE = "testsrc2=s=48x32:r=5:d=0.6,format=gbrp,lutrgb=r=val/2+60:g=val/2+60:b=val/2+60"
SHARES = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
MATRICES = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}


def clip(path: Path, matrix: str, ranged: str, pix_fmt: str) -> Path:
    tag = MATRICES[matrix]
    to_yuv = f"scale=out_color_matrix={matrix}:out_range={ranged}:{FLAGS},format={pix_fmt}"
    return make(
        path,
        *("-f", "lavfi", "-i", f"{SOURCE},{to_yuv},setparams=colorspace={tag}:range={ranged}"),
        *("-c:v", "ffv1", "-level", "3", "-strict", "-2"),
        *("-colorspace", tag, "-color_range", ranged),
    )


def as_ffmpeg_reads(path: Path, matrix: str, ranged: str, pix_fmt: str) -> np.ndarray:
    return decoded(
        path, pix_fmt, f"scale=in_color_matrix={matrix}:in_range={ranged}:out_range=pc:{FLAGS}"
    )


def exact(path: Path, matrix: str, ranged: str, bits: int) -> np.ndarray:
    """Frames of 4:4:4 as RGB around 0..1, by the equations of ITU-T H.273 in double precision."""
    # Reduced colours are resampled by ffmpeg.
    resampled = f"scale=in_range={ranged}:out_range={ranged}:{FLAGS}"
    planes = decoded_planes(path, f"yuv444p{bits}le", resampled).astype(np.float64)
    red, blue = SHARES[matrix]
    unit = 2.0 ** (bits - 8)
    most = 2**bits - 1
    y, cb, cr = planes.transpose(1, 0, 2, 3)
    if ranged == "tv":
        y, cb, cr = (y - 16 * unit) / 219 / unit, cb - 128 * unit, cr - 128 * unit
        cb, cr = cb / 224 / unit, cr / 224 / unit
    else:
        y, cb, cr = y / most, (cb - 128 * unit) / most, (cr - 128 * unit) / most
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.stack([r, g, b], axis=-1)


def darker(batch: np.ndarray) -> np.ndarray:
    return 0.9 * batch + 0.02


# Every matrix in both ranges, and every format in both ranges.
RANGED = [(matrix, ranged) for ranged in ("tv", "pc") for matrix in MATRICES]


def with_formats(*formats: str) -> pytest.MarkDecorator:
    cases = [
        (*pair, formats[(index + index // 3) % len(formats)]) for index, pair in enumerate(RANGED)
    ]
    return pytest.mark.parametrize(("matrix", "ranged", "pix_fmt"), cases)


@with_formats("yuv420p", "yuv422p", "yuv444p")
def test_a_lossless_result_is_the_restored_frames(
    tmp_path: Path, restored, matrix: str, ranged: str, pix_fmt: str
) -> None:
    source = clip(tmp_path / "in.mkv", matrix, ranged, pix_fmt)
    target = tmp_path / "out.mkv"
    runtime = FakeRuntime(darker, scale=2)
    restored(source, target, runtime=runtime, codec="ffv1", pix_fmt="bgr0")
    frames = as_ffmpeg_reads(source, matrix, ranged, "rgb24")
    with FakeRuntime(darker, scale=2) as other:
        expected = np.stack([Restorer(other).restore_array(frame) for frame in frames])
    np.testing.assert_array_equal(decoded(target, "rgb24"), expected)


@with_formats("yuv444p10le", "yuv420p12le", "yuv444p16le", "yuv422p10le")
def test_deep_frames_go_through_floats(
    tmp_path: Path, restored, matrix: str, ranged: str, pix_fmt: str
) -> None:
    source = clip(tmp_path / "in.mkv", matrix, ranged, pix_fmt)
    target = tmp_path / "out.mkv"
    seen = []
    runtime = FakeRuntime(lambda batch: seen.append(batch.dtype) or darker(batch), scale=2)
    restored(source, target, runtime=runtime, codec="ffv1", pix_fmt="gbrp16le")
    bits = int(pix_fmt.removesuffix("le").split("p")[1])
    frames = exact(source, matrix, ranged, bits).repeat(2, axis=1).repeat(2, axis=2)
    planes = decoded_planes(target, "gbrp16le").transpose(0, 2, 3, 1)[..., [2, 0, 1]]
    assert np.abs(planes - np.clip(darker(frames), 0, 1) * 65535).max() <= 1
    assert set(seen) == {np.dtype(np.float32)}


@with_formats("yuv444p", "yuv444p10le", "yuv444p12le", "yuv422p10le")
def test_the_way_back_keeps_levels_and_marks(
    tmp_path: Path, restored, matrix: str, ranged: str, pix_fmt: str
) -> None:
    source = clip(tmp_path / "in.mkv", matrix, ranged, pix_fmt)
    target = tmp_path / "out.mkv"
    report = restored(source, target, codec="ffv1")
    assert report.pix_fmt == pix_fmt
    assert report.notes == ()
    marks = "stream=color_space,color_range,pix_fmt"
    assert probe(target, marks)["streams"] == probe(source, marks)["streams"]
    full = pix_fmt.replace("422", "444")
    before, after = (decoded_planes(path, full).astype(int) for path in (source, target))
    # 8 bits pass through RGB of 8 bits; more pass through floats, and come back exactly. The
    # luma of 4:2:2 does, too.
    limit = 1 if pix_fmt == "yuv444p" else 0
    assert np.abs(before[:, 0] - after[:, 0]).max() <= limit
    if "444" in pix_fmt:
        assert np.abs(before - after).max() <= limit


def hdr_by_ffprobe(path: Path) -> list[dict]:
    frames = probe(path, "frame=side_data_list:frame_side_data", "v:0")["frames"]
    kinds = ("Mastering display metadata", "Content light level metadata")
    return [one for one in frames[0]["side_data_list"] if one["side_data_type"] in kinds]


def hdr_of_first(path: Path) -> list[float]:
    with av.open(str(path)) as video:
        frame = next(video.decode(video=0))
    display = np.frombuffer(bytes(frame.side_data["MASTERING_DISPLAY_METADATA"]), np.int32)
    light = np.frombuffer(bytes(frame.side_data["CONTENT_LIGHT_LEVEL"]), np.int32)
    values = display[:20:2] / display[1:20:2]
    return [*np.round(values, 4), *light]


def test_hdr_keeps_its_marks_and_metadata(tmp_path: Path, restored) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    source = make(
        tmp_path / "in.mkv",
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=5:d=0.4", "-pix_fmt", "yuv420p10le"),
        *("-c:v", "libx265", "-color_primaries", "bt2020", "-color_trc", "smpte2084"),
        *("-colorspace", "bt2020nc", "-x265-params"),
        f"log-level=none:master-display={display}:max-cll=1000,400",
    )
    marks = "stream=color_space,color_range,color_transfer,color_primaries,pix_fmt,chroma_location"
    for codec in ("hevc", "h264", "av1"):
        target = tmp_path / f"{codec}.mkv"
        report = restored(source, target, codec=codec, scale=2)
        assert report.notes == ()
        assert probe(target, marks)["streams"] == probe(source, marks)["streams"]
        # Debian's ffprobe tells it of HEVC only; FFmpeg's newer decoders in PyAV tell it of all.
        assert hdr_of_first(target) == hdr_of_first(source)
        if codec == "hevc":
            assert hdr_by_ffprobe(target) == hdr_by_ffprobe(source)
            assert len(hdr_by_ffprobe(source)) == 2
    lossless = restored(source, tmp_path / "ffv1.mkv", codec="ffv1")
    assert any("mastering display" in note for note in lossless.notes)


@pytest.mark.parametrize("size", ["64x48", "1280x720"])
def test_an_unmarked_matrix_is_assumed_as_players_do_and_said(
    tmp_path: Path, restored, size: str
) -> None:
    source = make(
        tmp_path / "in.mkv", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=5:d=0.2", "-c:v", "ffv1"
    )
    target = tmp_path / "out.mkv"
    report = restored(source, target, codec="ffv1", tile=0)
    name, tag = ("bt601", "smpte170m") if size == "64x48" else ("bt709", "bt709")
    assert any(name in note for note in report.notes)
    assert probe(target, "stream=color_space")["streams"][0]["color_space"] == tag
    stated = restored(source, tmp_path / "stated.mkv", codec="ffv1", matrix="bt2020", tile=0)
    assert not any("assumed" in note for note in stated.notes)
    space = probe(tmp_path / "stated.mkv", "stream=color_space")["streams"][0]["color_space"]
    assert space == "bt2020nc"


def test_gray_stays_gray(tmp_path: Path, restored) -> None:
    source = make(
        *(tmp_path / "in.mkv", "-f", "lavfi", "-i", "testsrc2=s=48x32:r=5:d=0.4,format=gray"),
        *("-c:v", "ffv1"),
    )
    target = tmp_path / "out.mkv"
    report = restored(source, target, codec="ffv1", in_chans=1)
    assert report.pix_fmt == "gray"
    np.testing.assert_array_equal(decoded(target, "gray"), decoded(source, "gray"))


def test_rgb_stays_rgb_or_the_change_is_said(tmp_path: Path, restored) -> None:
    source = make(
        *(tmp_path / "in.mkv", "-f", "lavfi", "-i", "testsrc2=s=47x31:r=5:d=0.4,format=gbrp"),
        *("-c:v", "ffv1"),
    )
    report = restored(source, tmp_path / "out.mkv", codec="ffv1")
    assert report.notes == ()
    before, after = decoded(source, "rgb24"), decoded(tmp_path / "out.mkv", "rgb24")
    np.testing.assert_array_equal(after, before)
    report = restored(source, tmp_path / "out.mp4", crf=0)
    assert report.pix_fmt == "yuv444p"
    assert any("became YUV" in note for note in report.notes)
    after = as_ffmpeg_reads(tmp_path / "out.mp4", "bt709", "tv", "rgb24").astype(int)
    assert np.abs(after - before).max() <= 2


def test_opacity_goes_through_and_comes_out(tmp_path: Path, restored) -> None:
    planes = "lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='X*5'".replace(",", r"\,")
    source = make(
        tmp_path / "in.mkv",
        *("-f", "lavfi", "-i", f"testsrc2=s=48x32:r=5:d=0.4,format=yuva444p,geq={planes}"),
        *("-c:v", "ffv1", "-colorspace", "bt709"),
    )
    report = restored(source, tmp_path / "out.mkv")  # the codec that keeps opacity is chosen
    assert report.encoder == "ffv1"
    assert report.pix_fmt == "yuva444p"
    after, before = (
        decoded(tmp_path / name, "gray", "extractplanes=a") for name in ("out.mkv", "in.mkv")
    )
    assert len(np.unique(before)) == 48
    np.testing.assert_array_equal(after, before)


def test_vp9_with_opacity_is_decoded_with_it(tmp_path: Path, restored) -> None:
    planes = "lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='X*5'".replace(",", r"\,")
    source = make(
        tmp_path / "in.webm",
        *("-f", "lavfi", "-i", f"testsrc2=s=48x32:r=5:d=0.4,format=yuva420p,geq={planes}"),
        *("-c:v", "libvpx-vp9", "-lossless", "1"),
    )
    report = restored(source, tmp_path / "out.mkv")
    assert report.pix_fmt == "yuva420p"
    opacity = decoded(tmp_path / "out.mkv", "gray", "extractplanes=a")[..., 0].astype(int)
    assert np.abs(opacity - np.arange(48) * 5).max() <= 2


@pytest.mark.parametrize(("place", "number"), [("left", 0), ("center", 1), ("topleft", 2)])
def test_colour_samples_stay_where_they_are(
    tmp_path: Path, restored, place: str, number: int
) -> None:
    """MPEG-2's and JPEG's places differ by half a pixel; the result is marked as its source."""
    source = make(
        tmp_path / "in.mkv",
        *("-f", "lavfi", "-i", f"{SOURCE},gblur=sigma=2,format=yuv420p"),
        *("-c:v", "libx265", "-x265-params", f"log-level=none:chromaloc={number}:lossless=1"),
    )
    restored(source, tmp_path / "out.mkv", crf=0)
    found = probe(tmp_path / "out.mkv", "stream=chroma_location")["streams"][0]
    assert found["chroma_location"] == place
    before, after = (
        decoded_planes(path, "yuv444p").astype(int) for path in (source, tmp_path / "out.mkv")
    )
    assert np.abs(before - after).mean() < 0.5
    # The test can fail: a shift by half a pixel is larger.
    assert np.abs(before[..., 1:] - before[..., :-1])[:, 1:].mean() / 2 > 0.6
