"""Export the built-in models into the package, so that they run without PyTorch.

    python tools/export_builtin.py         # those that are missing, or of other weights
    python tools/export_builtin.py --all

Run it after a built-in model was trained or added; tests/models/test_builtin_onnx.py compares the
files with a fresh export.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from swinir_deploy import export_onnx, load_model  # noqa: E402
from swinir_deploy.artifacts.info import read_metadata  # noqa: E402
from swinir_deploy.models.catalog import load_catalog  # noqa: E402


def main() -> None:
    """Export every built-in model whose file is not that of its weights."""
    for card in load_catalog().all():
        if not card.builtin:
            continue
        path = ROOT / "swinir_deploy/models/weights" / f"{card.id}.onnx"
        loaded = load_model(card.id)
        found = read_metadata(path) if path.exists() and "--all" not in sys.argv else None
        if found is not None and found.source_sha256 == loaded.source_sha256:
            continue
        report = export_onnx(loaded, path)
        print(f"{path.relative_to(ROOT)}: {report.size_bytes:,} bytes")


if __name__ == "__main__":
    main()
