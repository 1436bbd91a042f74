"""Cut the built-in calibration pictures from free pictures that scikit-image ships.

    python tools/make_calibration_pictures.py swinir_deploy/precision/crops.png

Writes one PNG: crops of 64x64 pixels side by side, in the order of ``CROPS``. The pictures are
reduced first, so that a crop is as sharp and as full of things as the small pictures that
super-resolution is given. Sources and licences: README.md beside the PNG.
"""

from __future__ import annotations

import sys
from pathlib import Path

import skimage.data
from PIL import Image

SIDE = 64

CROPS: tuple[tuple[str, int, tuple[int, int]], ...] = (
    ("astronaut.png", 2, (80, 24)),
    ("astronaut.png", 2, (12, 120)),
    ("coffee.png", 2, (120, 60)),
    ("coffee.png", 2, (20, 120)),
    ("rocket.jpg", 2, (130, 30)),
    ("camera.png", 2, (80, 20)),
    ("brick.png", 2, (40, 90)),
    ("hubble_deep_field.jpg", 3, (150, 130)),
)
"""File in skimage.data, by what it is reduced, left and top of the crop in the reduced picture."""


def crop(name: str, reduction: int, left_top: tuple[int, int]) -> Image.Image:
    """One crop of ``SIDE`` x ``SIDE`` RGB pixels."""
    path = Path(skimage.data.__file__).with_name(name)
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").reduce(reduction)
    left, top = left_top
    box = (left, top, left + SIDE, top + SIDE)
    if box[2] > reduced.width or box[3] > reduced.height:
        raise ValueError(f"{name} has {reduced.size} pixels once reduced; the crop is {box}")
    return reduced.crop(box)


def main() -> None:
    """Write the sheet to the path that is given."""
    (output,) = sys.argv[1:]
    sheet = Image.new("RGB", (SIDE * len(CROPS), SIDE))
    for index, (name, reduction, left_top) in enumerate(CROPS):
        sheet.paste(crop(name, reduction, left_top), (index * SIDE, 0))
    sheet.save(output, optimize=True)


if __name__ == "__main__":
    main()
