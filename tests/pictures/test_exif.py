"""EXIF blocks, sound and damaged, against Pillow's reader."""

import io
import struct

import numpy as np
import pytest
from files_made import exif
from PIL import Image

from swinir_deploy.pictures.exif import corrected_exif, exif_of_resolution, read_exif

SHORT, LONG, ASCII, RATIONAL, UNDEFINED = 3, 4, 2, 5, 7


def by_pillow(block):
    found = Image.Exif()
    found.load(b"Exif\0\0" + block)
    return found


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, SHORT, LONG, 8, 9])
@pytest.mark.parametrize("value", range(1, 9))
def test_an_orientation_of_any_whole_number_is_read(order, kind, value):
    assert read_exif(exif([(274, kind, 1, value)], order)).orientation == value


@pytest.mark.parametrize(
    "entry",
    [
        (274, SHORT, 1, 0),
        (274, SHORT, 1, 9),
        (274, 9, 1, -1),
        (274, ASCII, 2, b"6\0\0\0"),
        (274, UNDEFINED, 4, b"\x06\0\0\0"),
        (274, 11, 1, struct.pack("<f", 6)),
        (274, SHORT, 0, 6),
    ],
)
def test_other_orientations_are_not_applied_and_that_is_said(entry):
    facts = read_exif(exif([entry]))
    assert facts.orientation == 1
    assert "none of 1 to 8" in facts.note
    assert not facts.problem


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (b"", "does not begin"),
        (b"garbage-garbage", "does not begin"),
        (b"II*\0", "does not begin"),
        (b"II\x2b\0\x08\0\0\0", "version"),
        (b"II*\0\xff\xff\xff\x7f", "no directory"),
        (b"II*\0\x02\0\0\0" + bytes(20), "no directory"),
        (b"II*\0\x08\0\0\0\xff\0" + bytes(12), "cut short"),
        (b"II*\0\x08\0\0\0\xff\xff" + bytes(100), "claims"),
        (exif([(274, SHORT, 0x7FFFFFFF, 6)]), "beyond the end"),
        (exif([(271, ASCII, 40, 5000)]), "beyond the end"),
        (exif([(271, 99, 1, 0)]), "type 99"),
        (exif([(274, SHORT, 1, 6)])[:-4], "no end"),
        (exif([(34665, LONG, 1, 9999)]), "no directory"),
    ],
)
def test_damage_is_found(block, says):
    assert says in read_exif(block).problem


def test_what_is_sound_in_a_damaged_block_still_turns_the_picture():
    block = exif([(271, ASCII, 40, 5000), (274, SHORT, 1, 6)])
    facts = read_exif(block)
    assert facts.problem and facts.orientation == 6


@pytest.mark.parametrize("unit", [2, 3])
def test_resolution(unit):
    exact = Image.Exif()
    exact[282], exact[283], exact[296] = 300.0, 150.5, unit
    block = exact.tobytes().removeprefix(b"Exif\0\0")
    factor = 1 if unit == 2 else 2.54
    assert read_exif(block).dpi == pytest.approx((300 * factor, 150.5 * factor))


def test_a_resolution_of_zero_or_over_zero_is_none():
    for numbers in ((0, 1), (72, 0), (0, 0)):
        behind = struct.pack("<4I", *numbers, *numbers)
        block = exif([(282, RATIONAL, 1, 38), (283, RATIONAL, 1, 46)], behind=behind)
        assert read_exif(block).dpi is None


def camera_block():
    """A block as a camera writes it: maker's notes, sizes, a thumbnail."""
    block = Image.Exif()
    block[271], block[274], block[256], block[257] = "Maker", 6, 4000, 3000
    details = block.get_ifd(34665)
    details[37500] = b"maker's notes, which point to places in the block"
    details[40962], details[40963] = 4000, 3000
    details[36867] = "2026:01:02 03:04:05"
    block.get_ifd(34853)[1] = "N"
    thumbnail = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(thumbnail, "JPEG")
    data = block.tobytes().removeprefix(b"Exif\0\0")
    # A second directory with the thumbnail, behind everything.
    start = len(data)
    entries = [(513, LONG, 1, start + 30), (514, LONG, 1, len(thumbnail.getvalue()))]
    second = exif(entries, ">")[8:]
    assert len(second) == 30
    assert data.startswith(b"MM")
    place = 8 + 2 + 12 * struct.unpack_from(">H", data, 8)[0]
    data = data[:place] + struct.pack(">I", start) + data[place + 4 :] + second
    return data + thumbnail.getvalue(), thumbnail.getvalue()


def test_a_corrected_block_is_that_of_the_new_picture():
    block, thumbnail = camera_block()
    assert thumbnail in block
    found = by_pillow(corrected_exif(block, 16000, 12000))
    assert (found[271], found[274], found[256], found[257]) == ("Maker", 1, 16000, 12000)
    details = found.get_ifd(34665)
    assert (details[40962], details[40963]) == (16000, 12000)
    assert details[36867] == "2026:01:02 03:04:05"
    assert found.get_ifd(34853)[1] == "N"
    changed = corrected_exif(block, 16000, 12000)
    assert thumbnail[:40] not in changed
    notes = b"maker's notes, which point to places in the block"
    assert changed.index(notes) == block.index(notes), "they may point to places in the block"
    assert not found.get_ifd(1)


def test_a_side_that_a_short_number_cannot_hold_becomes_a_long_one():
    block = exif([(256, SHORT, 1, 4000)])
    assert by_pillow(corrected_exif(block, 70_000, 10))[256] == 70_000


def test_an_orientation_of_a_wrong_type_is_corrected():
    for entry in ((274, ASCII, 2, b"6\0\0\0"), (274, SHORT, 2, b"\6\0\6\0")):
        assert by_pillow(corrected_exif(exif([entry]), 5, 6))[274] == 1


def test_a_block_of_a_resolution_is_read_by_pillow():
    found = by_pillow(exif_of_resolution((300, 72.5)))
    assert (found[282], found[283], found[296]) == (300, 72.5, 2)


def test_random_bytes_are_a_problem_or_facts_and_nothing_else():
    rng = np.random.default_rng(3)
    sound, _ = camera_block()
    for _ in range(400):
        block = bytearray(sound)
        for place in rng.integers(0, len(block), 4):
            block[place] = rng.integers(0, 256)
        facts = read_exif(bytes(block[: rng.integers(1, len(block))]))
        assert 1 <= facts.orientation <= 8
        whole = read_exif(bytes(block))
        if not whole.problem:
            by_pillow(corrected_exif(bytes(block), 10, 20))
