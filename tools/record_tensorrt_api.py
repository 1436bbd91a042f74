"""Record what TensorRT's bindings have, for tests/nvidia/test_tensorrt_api.py.

    python tools/record_tensorrt_api.py tests/fakes/tensorrt_api.json WHEEL [WHEEL ...]

The GPU libraries are gigabytes; the bindings alone are a wheel of a megabyte
(``pip download --no-deps tensorrt-cu12-bindings==10.3.0``). They import once something stands in
for the dozen C functions that they link to: this makes such libraries with the C compiler, imports
the real bindings of each wheel on top of them, and writes down the members of every class that
:mod:`swinir_deploy.nvidia.tensorrt_api` names. Nothing of TensorRT is called.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from swinir_deploy.nvidia import tensorrt_api

MODULE = "TensorRTModule"
"""The protocol of the bindings themselves; the others are classes in them."""

_READER = """
import json, sys, warnings
warnings.simplefilter("ignore")
module = __import__(sys.argv[1])
here = {name: getattr(module, name) for name in sys.argv[3:] if hasattr(module, name)}
classes = {name: sorted(dir(thing)) for name, thing in {sys.argv[2]: module, **here}.items()}
print(json.dumps({"version": module.__version__, "classes": classes}))
"""


def used_names() -> dict[str, list[str]]:
    """Class -> its members that this package uses."""
    used = {}
    for name in tensorrt_api.__all__ + _enumerations():
        protocol = getattr(tensorrt_api, name)
        if getattr(protocol, "_is_protocol", False):
            members = set(protocol.__annotations__) | set(vars(protocol))
            used[name] = sorted(m for m in members if not m.startswith("_") or m == "__version__")
    return used


def _enumerations() -> list[str]:
    return [n for n in vars(tensorrt_api) if n[0].isupper() and n not in tensorrt_api.__all__]


def record(wheel: Path) -> dict[str, Any]:
    """Version and public members of the bindings in one wheel."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        (library,) = Path(folder).glob("tensorrt*_bindings/tensorrt*.so")
        _stand_ins(library, Path(folder))
        classes = [name for name in used_names() if name != MODULE]
        command = [sys.executable, "-c", _READER, library.parent.name, MODULE, *classes]
        paths = {"PYTHONPATH": folder, "LD_LIBRARY_PATH": folder}
        done = subprocess.run(
            command, env={**os.environ, **paths}, capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout)
    members = {
        name: " ".join(m for m in has if not m.startswith("_") or m == "__version__")
        for name, has in found["classes"].items()
    }
    return {"wheel": wheel.name, "version": found["version"], "classes": members}


def _stand_ins(library: Path, folder: Path) -> None:
    """Libraries with the names that the bindings ask for, which define what they miss."""
    needed = _run("readelf", "-d", library)
    names = re.findall(r"\[(libnv[^\]]*)\]", needed)
    missing = re.findall(r" U ([A-Za-z]\w*)$", _run("nm", "-D", "--undefined-only", library), re.M)
    functions = [name for name in missing if not name.startswith(("Py", "_"))]
    source = folder / "stand_in.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
    for name in names:
        _run("cc", "-w", "-fno-builtin", "-shared", "-fPIC", "-o", folder / name, source)


def _run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Record the wheels named on the command line."""
    target, *wheels = map(Path, sys.argv[1:])
    records = sorted((record(wheel) for wheel in wheels), key=lambda r: str(r["wheel"]))
    target.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
