"""Take SwinIR from a checkpoint to production.

    from swinir_deploy import export_onnx, restore

    export_onnx("tiny-sr-x4", "tiny-sr-x4.onnx")
    restore("photo.png", "photo-x4.png", model="tiny-sr-x4.onnx")

``__init__.pyi`` lists all public names. Each name is imported when it is first used. So ``import
swinir_deploy`` is fast, and a machine that only runs exported models needs no torch.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from swinir_deploy._version import __version__
from swinir_deploy.system.telemetry import refuse_onnxruntime_telemetry

refuse_onnxruntime_telemetry()

_import, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]


def __getattr__(name: str) -> Any:
    from swinir_deploy.system.packages import naming_the_extra

    with naming_the_extra():
        return _import(name)


def __dir__() -> list[str]:
    return list(__all__)
