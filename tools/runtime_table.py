"""Which versions of ONNX Runtime and OpenVINO run which exported files: docs/runtimes.md.

    python tools/runtime_table.py build/runtimes          # everything, about a quarter of an hour
    python tools/runtime_table.py build/runtimes --only onnxruntime --versions 1.17.3 1.23.2
    python tools/runtime_table.py build/runtimes --write  # put the table into docs/runtimes.md

Exports a built-in model with every operator set and recipe, installs each version into a folder of
its own below the given one (it is removed again), and runs every file there on one picture. A cell
says yes where the result is the network's. Versions that were tried already are not tried again:
remove results.json to do so. Each version needs a wheel for the Python that runs this: 3.11 has
one of all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/runtimes.md"
BEGIN, END = "<!-- runtime table: begin -->", "<!-- runtime table: end -->"

MODEL = "tiny-sr-x4"

FILES: dict[str, dict[str, Any]] = {
    **{f"opset {opset}": {"opset": opset} for opset in range(17, 24)},
    "ort": {"target": "ort"},
    "openvino": {"target": "openvino"},
    "tensorrt": {"target": "tensorrt"},
    "image": {"io": "image"},
    "fp16": {"precision": "fp16"},
    "bf16": {"precision": "bf16"},
}
"""Column -> arguments of the export; what is not named is the default."""

VERSIONS = {
    "onnxruntime": (
        *("1.17.0", "1.17.3", "1.18.1", "1.19.2", "1.20.1", "1.21.1", "1.22.1", "1.23.2"),
        *("1.24.4", "1.25.1", "1.26.0", "1.27.0", "1.28.0", "1.29.0", "1.30.0", "1.31.0", "1.32.0"),
    ),
    "openvino": (
        *("2024.0.0", "2024.1.0", "2024.2.0", "2024.3.0", "2024.4.0", "2024.5.0", "2024.6.0"),
        *("2025.0.0", "2025.1.0", "2025.2.0", "2025.3.0", "2025.4.0"),
        *("2026.0.0", "2026.1.0", "2026.2.0", "2026.3.0", "2026.4.0"),
    ),
}

NUMPY = {"onnxruntime": ("1.19", "numpy<2"), "openvino": ("2024.5", "numpy<2")}
"""Versions before the first named one need the NumPy of the second."""

LIMITS = {"fp16": 40.0, "bf16": 35.0}
"""Lowest PSNR in dB against the FP32 network; 60 dB for FP32 files."""

CHECK = """
import json, sys, numpy as np
library, folder, files = sys.argv[1], sys.argv[2], sys.argv[3:]
data = np.load(folder + "/picture.npz")
def onnxruntime_run(path, picture):
    import onnxruntime as ort
    options = ort.SessionOptions(); options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: picture})[0]
def openvino_run(path, picture):
    import openvino as ov
    core = ov.Core()
    model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = model.create_infer_request(); request.infer([picture])
    return np.array(request.get_output_tensor().data)
for name in files:
    is_image = name == "image.onnx"
    try:
        picture = data["bytes" if is_image else "floats"]
        out = globals()[library + "_run"](folder + "/" + name, picture)
        expected = data["expected"]
        if is_image: out = out.transpose(0, 3, 1, 2) / 255.0; expected = np.clip(expected, 0, 1)
        error = np.mean((out.astype(float) - expected) ** 2)
        answer = {"psnr_db": float(10 * np.log10(1 / max(1e-12, error)))}
    except Exception as error:
        answer = {"error": " ".join(str(error).split())[:600]}
    print(json.dumps({name: answer}), flush=True)
"""


def export_all(folder: Path) -> None:
    """Write every file, and the picture with the network's result."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    import torch

    from swinir_deploy import export_onnx, load_model
    from swinir_deploy.comparison import sample_picture
    from swinir_deploy.pictures.values import nchw_values, nhwc_levels

    model = load_model(MODEL)
    for column, arguments in FILES.items():
        path = folder / f"{column.replace(' ', '-')}.onnx"
        if not path.exists():
            print(f"exporting {path.name}", file=sys.stderr)
            export_onnx(model, path, **arguments)
    levels = nhwc_levels(sample_picture(1, 3, 29, 37))
    floats = nchw_values(levels)
    with torch.inference_mode():
        expected = model.network(torch.from_numpy(floats)).numpy()
    np.savez(folder / "picture.npz", floats=floats, bytes=levels, expected=expected)


def tried(library: str, version: str, folder: Path) -> dict[str, Any]:
    """Install a version, and return column -> what its file gave: ``psnr_db`` or ``error``."""
    place = folder / f"{library}-{version}"
    before, numpy = NUMPY[library]
    is_old = numbers(version) < numbers(before)
    packages = [f"{library}=={version}", numpy if is_old else "numpy"]
    try:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "--target", str(place), *packages], capture_output=True, text=True
        )
        if done.returncode:
            return {"cannot be installed": {"error": done.stderr.strip().splitlines()[-1][:300]}}
        names = {f"{column.replace(' ', '-')}.onnx": column for column in FILES}
        code = f"import sys; sys.path.insert(0, {str(place)!r})\n{CHECK}"
        found: dict[str, Any] = {}
        left = list(names)
        while left:  # a version that crashes goes on behind the file that did it
            command = [sys.executable, "-S", "-c", code, library, str(folder), *left]
            run = subprocess.run(command, capture_output=True, text=True)
            for line in run.stdout.splitlines():
                if line.startswith("{"):
                    name, answer = next(iter(json.loads(line).items()))
                    found[names[name]] = answer
                    left.remove(name)
            if left:
                reason = f"ended with {run.returncode}: {run.stderr.strip()[-200:]}"
                found[names[left.pop(0)]] = {"error": reason}
        return found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, which compare as versions do."""
    return tuple(int(part) for part in version.split("."))


def cell(column: str, answer: dict[str, Any] | None) -> str:
    """Return ``yes``, ``no`` where the file is refused, or the PSNR where the result is wrong."""
    if answer is None:
        return "?"
    if "error" in answer:
        return "no"
    limit = LIMITS.get(column, 45.0 if column == "image" else 60.0)
    return "yes" if answer["psnr_db"] >= limit else f"wrong ({answer['psnr_db']:.0f} dB)"


def table(results: dict[str, Any]) -> str:
    """Return the tables of both libraries in Markdown; equal neighbours share a row."""
    titles = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
    parts = []
    for library, title in titles.items():
        rows: list[tuple[list[str], list[str]]] = []
        for version in VERSIONS[library]:
            answers = results.get(f"{library} {version}")
            if answers is None:
                continue
            cells = [cell(column, answers.get(column)) for column in FILES]
            if rows and rows[-1][1] == cells:
                rows[-1][0].append(version)
            else:
                rows.append(([version], cells))
        lines = [f"| {title} | {' | '.join(FILES)} |", "|---" * (len(FILES) + 1) + "|"]
        for versions, cells in rows:
            name = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
            lines.append(f"| {name} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    """Try what was not tried yet, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the files and results.json")
    parser.add_argument("--only", choices=sorted(VERSIONS), help="one library")
    parser.add_argument("--versions", nargs="+", help="these versions alone")
    parser.add_argument("--write", action="store_true", help="put the table into docs/runtimes.md")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "results.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    export_all(folder)
    for library, versions in VERSIONS.items():
        for version in versions:
            name = f"{library} {version}"
            is_wanted = arguments.only in (None, library) and (
                arguments.versions is None or version in arguments.versions
            )
            if not is_wanted or name in results:
                continue
            print(f"trying {name}", file=sys.stderr)
            results[name] = tried(library, version, folder)
            record.write_text(json.dumps(results, indent=1))
    text = table(results)
    print(text)
    if arguments.write:
        document = DOCUMENT.read_text(encoding="utf-8")
        head, _, rest = document.partition(BEGIN)
        _, _, tail = rest.partition(END)
        DOCUMENT.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
