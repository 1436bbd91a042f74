"""libvips has one text for the errors and warnings of all threads, and damage is told in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.metadata import Metadata
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.vips import samples_of
from swinir_deploy.pictures.write import stream_picture, write_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def leave_a_text() -> None:
    """Let libvips itself say something, as a decoder does about damage."""
    pyvips.vips_lib.vips_operation_new(b"no_such_thing")


def take_the_text() -> str:
    text = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode()
    pyvips.vips_lib.vips_error_clear()
    return str(text)


@dataclass
class StandIn:
    """An image of libvips, for which something happens while it is decoded."""

    warns: bool
    other: threading.Thread | None = None
    looks_up: bool = False
    width = height = bands = 1
    format = "uchar"
    was_alive: bool = False

    def write_to_memory(self) -> bytes:
        if self.warns:
            leave_a_text()
        if self.looks_up:
            image = pyvips.Image.black(1, 1)
            pyvips.vips_lib.vips_object_get_argument(
                image.vobject,
                b"copy",
                pyvips.ffi.new("GParamSpec **"),
                pyvips.ffi.new("VipsArgumentClass **"),
                pyvips.ffi.new("VipsArgumentInstance **"),
            )
        if self.other is not None:
            self.other.start()
            self.other.join(0.3)
            self.was_alive = self.other.is_alive()
        return b"\0"


@pytest.mark.parametrize(
    ("suffix", "by_rows"),
    [(suffix, False) for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp", ".gif", ".avif")]
    + [(suffix, True) for suffix in (".png", ".jpg", ".tif")],
)
def test_writing_leaves_the_text_alone(tmp_path: Path, suffix: str, by_rows: bool) -> None:
    metadata = Metadata(xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    picture = Picture(PIXELS, metadata=metadata, dpi=(72, 72))
    write_picture(tmp_path / f"first{suffix}", picture)
    take_the_text()
    leave_a_text()
    if by_rows:
        layout = PictureLayout(30, 40, 3, False, np.dtype(np.uint8), metadata=metadata)
        with stream_picture(tmp_path / f"a{suffix}", layout) as sink:
            sink.write_rows(PIXELS)
    else:
        write_picture(tmp_path / f"a{suffix}", picture)
    assert take_the_text().count("no_such_thing") == 1


def test_a_warning_is_damage() -> None:
    with pytest.raises(ValueError, match="no_such_thing"):
        samples_of(StandIn(warns=True))
    assert take_the_text() == ""


def test_what_others_look_up_is_no_damage() -> None:
    assert samples_of(StandIn(warns=False, looks_up=True)).shape == (1, 1, 1)
    with pytest.raises(ValueError, match=r"no_such_thing[^;]*$") as raised:
        samples_of(StandIn(warns=True, looks_up=True))
    assert "property" not in str(raised.value)


def test_opening_another_picture_hides_no_warning(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(PIXELS))
    read: list[Picture] = []
    other = threading.Thread(target=lambda: read.append(read_picture(tmp_path / "a.png")))
    image = StandIn(warns=True, other=other)
    with pytest.raises(ValueError, match="no_such_thing"):
        samples_of(image)
    assert image.was_alive, "it waits until the other picture is decoded"
    other.join(10)
    assert np.array_equal(read[0].pixels, PIXELS)


def test_side_by_side_whole_pictures_are_whole_and_damaged_ones_are_not(tmp_path: Path) -> None:
    """Four threads read and write; every second JPEG lacks the end of its last rows."""
    write_picture(tmp_path / "whole.jpg", Picture(PIXELS))
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-40] + b"\xff\xd9")
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(60):
            try:
                write_picture(tmp_path / f"{number}.png", Picture(PIXELS))
                read_picture(tmp_path / "whole.jpg")
            except PictureError as error:
                wrong.append(f"{number}, {turn}: {error}")
            try:
                read_picture(tmp_path / "cut.jpg")
                wrong.append(f"{number}, {turn}: damage was not seen")
            except PictureError:
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
