#!/usr/bin/env bash
# Build the wheel and the sdist, look inside, install the wheel with the [ort] extra alone in a clean
# environment, and restore a picture there from an ONNX file. BIN: the development environment's bin.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$BIN/python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$BIN/python" - "$work"/dist/*.whl "$work"/dist/*.tar.gz <<'PY'
import subprocess
import sys
import tarfile
import zipfile

wheel, sdist = sys.argv[1:]
names = zipfile.ZipFile(wheel).namelist()
roots = {name.split("/")[0] for name in names}
foreign = {root for root in roots if root != "swinir_deploy" and not root.endswith(".dist-info")}
assert not foreign, f"the wheel puts {foreign} into site-packages"
tracked = subprocess.run(
    ["git", "ls-files", "swinir_deploy"], capture_output=True, text=True, check=True
).stdout.split()
missing = sorted(set(tracked) - set(names))
assert tracked and not missing, f"the wheel lacks {missing}"
with tarfile.open(sdist) as archive:
    members = archive.getmembers()
links = [m.name for m in members if m.issym() or m.islnk()]
assert not links, f"the sdist holds links: {links}"
tops = {m.name.split("/")[1] for m in members if m.name.count("/")}
assert not tops & {"exporters", "runtimes", "models.yaml"}, tops
print(f"wheel: {len(names)} files, sdist: {len(members)} files, no links, one package")
PY

"$PYTHON" -m venv "$work/env"
wheel=$(echo "$work"/dist/*.whl)
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt "${wheel}[ort]"

"$BIN/swinir-deploy" export --model tiny-sr-x4 -o "$work/tiny.onnx"
cd "$work"
"$work/env/bin/python" - <<'PY'
from importlib.util import find_spec

for absent in ("torch", "onnx", "safetensors", "onnxscript"):
    assert find_spec(absent) is None, f"{absent} is installed: this does not show what it should"
PY
picture=$("$work/env/bin/python" -c \
    "import swinir_deploy, pathlib; print(pathlib.Path(swinir_deploy.__file__).parent / 'demo/chelsea.png')")
"$work/env/bin/swinir-deploy" restore "$picture" restored.png --model tiny.onnx
"$work/env/bin/python" - "$picture" <<'PY'
import sys

from PIL import Image

source, restored = Image.open(sys.argv[1]), Image.open("restored.png")
assert restored.size == (source.width * 4, source.height * 4), restored.size
small = restored.resize(source.size, Image.Resampling.BICUBIC)
worst = max(abs(a - b) for a, b in zip(source.resize((8, 8)).tobytes(), small.resize((8, 8)).tobytes()))
assert worst <= 2, f"the restored picture is another one: {worst} levels apart on average"
print(f"restored {source.size} -> {restored.size} without torch")
PY
