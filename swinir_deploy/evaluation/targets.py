"""Whether a graph runs where it was made for."""

from __future__ import annotations

from swinir_deploy.runtimes import RuntimeSpec

__all__ = ["target_note"]

_MADE_FOR = {"ort": "ort", "openvino": "openvino", "trt": "tensorrt", "trt-rtx": "tensorrt"}
"""Back end -> the recipe of ``export --for`` that is meant for it; checkpoints have none."""


def target_note(spec: RuntimeSpec) -> str | None:
    """A sentence where a file was exported for another target than the one that runs it.

    The pixels are right all the same; only the speed is not what it could be.
    """
    wanted = _MADE_FOR.get(spec.backend)
    if "tensorrt" in spec.provider.lower():
        wanted = "tensorrt"
    if wanted is None or spec.target in ("", "any", wanted):
        return None
    io = " --io image" if spec.io == "image" else ""
    return (
        f"{spec.model_id or 'The model'} was exported for {spec.target} and runs on {spec.backend} "
        f"{spec.device}: its graph is not the one that is fastest there. Export the right one, "
        f"with the other options as before: swinir-deploy export --model "
        f"{spec.model_id or 'MODEL'}{io} --for {wanted}"
    )
