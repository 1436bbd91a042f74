"""Draw what a model does, to look at: baseline, result and truth of every picture in a row.

    python tools/contact_sheet.py --model tiny-sr-x4 --data Set5/HR --out sheet.png

Pictures are degraded and restored by the paper's protocol, as ``swinir-deploy eval`` does it. Each
row shows the crop of one picture in which the model changed most, enlarged without smoothing.
``--beside`` shows another model's result from the same input.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from swinir_deploy import load_catalog, open_runtime
from swinir_deploy.evaluation.protocol import Candidate, Protocol, Sample
from swinir_deploy.evaluation.testsets import list_pictures
from swinir_deploy.pictures.read import read_picture

Pixels = npt.NDArray[np.uint8]

CROP, ENLARGED, CAPTION = 96, 3, 14
"""Side of a crop in pixels, its enlargement, and the height of a line of text."""


def busiest_crop(result: Pixels, sample: Sample) -> tuple[slice, slice]:
    """Where result and baseline differ most, as rows and columns."""
    changed = np.abs(result.astype(float) - sample.baseline).mean(2)
    total = np.pad(changed, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    side = min(CROP, *changed.shape)
    boxes = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
    boxes = boxes + total[:-side, :-side]
    top, left = (int(i) for i in np.unravel_index(boxes.argmax(), boxes.shape))
    return slice(top, top + side), slice(left, left + side)


def row(name: str, results: dict[str, Pixels], sample: Sample, protocol: Protocol) -> Image.Image:
    """Baseline, results, truth and the first result's enlarged error, each with a caption."""
    result = next(iter(results.values()))
    where = busiest_crop(result, sample)
    metric = protocol.metrics[0]

    def captioned(name: str, pixels: Pixels) -> tuple[str, Pixels]:
        return f"{name} {protocol.score(pixels, sample.truth)[metric]:.2f} dB", pixels

    error = np.abs(result.astype(int) - sample.truth) * 4
    panels = (
        captioned(f"{name}: {protocol.baseline}", sample.baseline),
        *(captioned(*named) for named in results.items()),
        ("truth", sample.truth),
        ("error x 4", error.clip(0, 255).astype(np.uint8)),
    )
    side = CROP * ENLARGED
    strip = Image.new("RGB", (len(panels) * (side + 4), side + CAPTION), "white")
    draw = ImageDraw.Draw(strip)
    for number, (caption, pixels) in enumerate(panels):
        crop = pixels[where].repeat(3, 2) if pixels.shape[2] == 1 else pixels[where]
        enlarged = crop.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        strip.paste(Image.fromarray(np.ascontiguousarray(enlarged)), (number * (side + 4), CAPTION))
        draw.text((number * (side + 4) + 2, 1), caption, fill="black")
    return strip


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="an id of the catalogue")
    parser.add_argument("--data", type=Path, required=True, help="folder of good pictures")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--file", help="a file of that model, exported or still in training")
    parser.add_argument("--beside", help="another model or file, to compare with")
    parser.add_argument("--seed", type=int, default=0, help="of real-world degradations")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    card = load_catalog().get(options.model)
    protocol = Protocol(
        card.task, card.gray, card.scale, card.noise, card.quality, card.real, options.seed
    )
    files = {options.model: options.file or options.model}
    if options.beside:
        files[Path(options.beside).stem] = options.beside
    rows = []
    with ExitStack() as stack:
        candidates = {
            name: Candidate(stack.enter_context(open_runtime(file, options.backend)))
            for name, file in files.items()
        }
        for path in list_pictures(options.data)[0]:
            sample = protocol.sample(read_picture(path).pixels)
            results = {name: one.restore(sample.degraded) for name, one in candidates.items()}
            rows.append(row(path.stem, results, sample, protocol))
    sheet = Image.new("RGB", (rows[0].width, sum(strip.height for strip in rows)), "white")
    for number, strip in enumerate(rows):
        sheet.paste(strip, (0, sum(above.height for above in rows[:number])))
    sheet.save(options.out)


if __name__ == "__main__":
    main()
