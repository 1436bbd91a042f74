"""Closed streams, readers that go away, full devices, signals, and pictures through pipes."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")

PROGRAM = f"{shlex.quote(sys.executable)} -m swinir_deploy"


def shell(line: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        ["bash", "-c", line.replace("swinir-deploy", PROGRAM)],
        capture_output=True,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert b"Exception ignored" not in done.stderr, done.stderr
    return done  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------- closed streams


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("json_option", ["", "--json"])
def test_closed_streams_do_not_matter_to_the_work(
    onnx_file: Path, picture: Path, tmp_path: Path, closed: str, json_option: str
) -> None:
    done = shell(
        f"swinir-deploy restore {picture} {tmp_path}/out.png -m {onnx_file} {json_option} {closed}"
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "out.png").size == (28, 22)


def test_what_libraries_print_never_goes_into_a_file(tmp_path: Path) -> None:
    """The next file that is opened would get the number of a closed stdout."""
    code = (
        "import os; from swinir_deploy.cli.streams import prepare_streams; prepare_streams(); "
        f"f = open({str(tmp_path / 'file')!r}, 'w'); os.write(1, b'noise'); os.write(2, b'noise')"
    )
    subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} >&- 2>&-"], check=True
    )
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("stream", ["| head -n 0", "2>&1 >/dev/null | head -n 0"])
def test_a_reader_that_goes_away_does_not_end_the_work(
    onnx_file: Path, folder: Path, tmp_path: Path, stream: str
) -> None:
    shell(f"swinir-deploy restore {folder} {tmp_path}/out -m {onnx_file} {stream}")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["a.png", "b.png"]


def test_notes_that_nobody_reads_are_no_failure(
    onnx_file: Path, folder: Path, tmp_path: Path
) -> None:
    line = f"swinir-deploy restore {folder} {tmp_path}/out -m {onnx_file}"
    done = shell(f"({line}; echo $? >{tmp_path}/code) 2>&1 >/dev/null | head -n 0")
    assert done.returncode == 0
    deadline = time.monotonic() + 60
    while not (tmp_path / "code").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "code").read_text() == "0\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["", "--json"])
def test_a_full_device_for_the_answer_is_an_error(option: str) -> None:
    done = shell(f"swinir-deploy models {option} >/dev/full")
    assert done.returncode == 4
    assert b"Cannot write to stdout: No space left on device" in done.stderr


# ------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_service_leaves_nothing(
    checkpoint: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "swinir_deploy", "export", "--model", checkpoint, "--json"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Exporting small" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    error = json.loads(stdout)
    assert error["exit_code"] == 128 + number
    assert f"Ended by {number.name}" in error["error"]["message"]
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------- pipes


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_picture_goes_through_pipes(onnx_file: Path, picture: Path, tmp_path: Path) -> None:
    shell(f"swinir-deploy restore {picture} {tmp_path}/file.png -m {onnx_file}")
    expected = pixels_of((tmp_path / "file.png").read_bytes())
    done = shell(f"cat {picture} | swinir-deploy restore - - -m {onnx_file} | cat")
    assert Image.open(io.BytesIO(done.stdout)).format == "PNG"
    assert np.array_equal(pixels_of(done.stdout), expected)
    assert b"Restored - -> stdout" in done.stderr
    into_file = shell(f"cat {picture} | swinir-deploy restore - {tmp_path}/b.png -m {onnx_file}")
    assert b"Restored - ->" in into_file.stdout
    assert np.array_equal(pixels_of((tmp_path / "b.png").read_bytes()), expected)
    named = shell(f"swinir-deploy restore <(cat {picture}) {tmp_path}/c.png -m {onnx_file}")
    assert named.returncode == 0, named.stderr
    assert np.array_equal(pixels_of((tmp_path / "c.png").read_bytes()), expected)


@pytest.mark.parametrize(("format_name", "kind"), [("tif", "TIFF"), ("webp", "WEBP")])
def test_the_format_of_a_pipe(onnx_file: Path, picture: Path, format_name: str, kind: str) -> None:
    done = shell(f"swinir-deploy restore - - --format {format_name} -m {onnx_file} -q <{picture}")
    assert Image.open(io.BytesIO(done.stdout)).format == kind
    assert done.stderr == b""


def test_a_jpeg_stays_one(onnx_file: Path, picture: Path, tmp_path: Path) -> None:
    Image.open(picture).save(tmp_path / "a.jpg")
    done = shell(f"swinir-deploy restore - - -m {onnx_file} <{tmp_path}/a.jpg")
    assert Image.open(io.BytesIO(done.stdout)).format == "JPEG"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("echo no picture | swinir-deploy restore - -", 4, b"Cannot read stdin: it begins with"),
        ("swinir-deploy restore - - </dev/null", 4, b"Cannot read stdin: it has 0 bytes"),
        ("swinir-deploy restore - - <&-", 4, b"Cannot read stdin: it has 0 bytes"),
        ("head -c 60 {picture} | swinir-deploy restore - -", 4, b"stdin"),
        ("swinir-deploy restore - - --json <{picture}", 2, b"both write to stdout"),
        ("swinir-deploy restore {folder} -", 2, b"is a folder, and stdout takes one picture"),
        ("swinir-deploy restore - {folder}/a.png <{picture}", 2, b"Give --overwrite"),
    ],
)
def test_pipes_that_cannot_be(
    onnx_file: Path, picture: Path, folder: Path, line: str, code: int, says: bytes
) -> None:
    done = shell(line.format(picture=picture, folder=folder) + f" -m {onnx_file}")
    assert done.returncode == code, done.stderr
    assert says in done.stderr + done.stdout and b"/tmp" not in done.stderr.replace(
        str(folder.parent).encode(), b""
    )


def test_a_full_device_for_the_picture_is_an_error(onnx_file: Path, picture: Path) -> None:
    done = shell(f"swinir-deploy restore {picture} - -m {onnx_file} >/dev/full")
    assert done.returncode == 4
    assert b"Cannot write to stdout" in done.stderr
