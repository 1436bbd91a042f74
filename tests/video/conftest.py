"""A model without a network, and videos restored with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runtimes import FakeRuntime

pytest.importorskip("av", reason="PyAV is not installed: pip install 'swinir-deploy[video]'")

from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.job import VideoOptions
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.restore import restore_file
from swinir_deploy.video.source import Reading

READING = set(Reading.__dataclass_fields__)
ENCODING = set(Encoding.__dataclass_fields__)
Restored = Callable[..., VideoReport]


@pytest.fixture
def restored() -> Restored:
    """Restores a video with a model that enlarges pixels; keywords are options and its spec."""

    def restore(source: Path, target: Path, **asked: Any) -> VideoReport:
        reading = Reading(**{k: asked.pop(k) for k in [*asked] if k in READING})
        encoding = Encoding(**{k: asked.pop(k) for k in [*asked] if k in ENCODING})
        names = ("dedupe", "drop_unsupported")
        options = {k: asked.pop(k) for k in names if k in asked}
        runtime = asked.pop("runtime", None)
        tile, batch = asked.pop("tile", None), asked.pop("batch", None)
        runtime = runtime or FakeRuntime(**{"scale": 1, **asked})
        with runtime:
            model = TiledModel(runtime, tile, 8, batch, progress=False)
            job = VideoOptions(reading, encoding, progress=False, **options)
            return restore_file(model, source, target, job)

    return restore
