"""A model without a network, and videos restored with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_runtimes import FakeRuntime

if TYPE_CHECKING:
    from swinir_deploy.video.reports import VideoReport

    Restored = Callable[..., VideoReport]


@pytest.fixture
def restored() -> Restored:
    """Restores a video with a model that enlarges pixels; keywords are options and its spec."""
    from swinir_deploy.restoration.tiled_model import TiledModel
    from swinir_deploy.video.encoding import Encoding
    from swinir_deploy.video.job import VideoOptions
    from swinir_deploy.video.restore import restore_file
    from swinir_deploy.video.source import Reading

    def restore(source: Path, target: Path, **asked: Any) -> VideoReport:
        def taken(names: list[str]) -> dict[str, Any]:
            return {name: asked.pop(name) for name in names if name in asked}

        reading = Reading(**taken([field.name for field in fields(Reading)]))
        encoding = Encoding(**taken([field.name for field in fields(Encoding)]))
        options = {"progress": False} | taken(["dedupe", "drop_unsupported", "pipe_format"])
        options |= taken(["progress"])
        runtime = asked.pop("runtime", None)
        tile, batch = asked.pop("tile", None), asked.pop("batch", None)
        runtime = runtime or FakeRuntime(**{"scale": 1, **asked})
        with runtime:
            model = TiledModel(runtime, tile, 8, batch, progress=False)
            return restore_file(model, source, target, VideoOptions(reading, encoding, **options))

    return restore
