"""The one name of each library that runs models, and the other names that people give it.

``--backend``, ``--provider``, ``--target`` and ``--for`` take all of them; what is printed and
written has the first.
"""

from __future__ import annotations

__all__ = ["library_name"]

_OTHER_NAMES = {
    "ort": ("onnxruntime", "onnx-runtime"),
    "openvino": ("ov",),
    "tensorrt": ("trt",),
    "rtx": ("trt-rtx", "tensorrt-rtx", "nv-tensorrt-rtx"),
    "torch": ("pytorch",),
    "torch-compile": ("pytorch-compile",),
}
_NAME_OF = {other: name for name, others in _OTHER_NAMES.items() for other in others}


def library_name(text: str) -> str:
    """Return the name of the library that is meant, or the text itself if it is no other name.

    Upper and lower case, and ``_`` and ``-``, count as equal in other names.
    """
    plain = text.strip().lower().replace("_", "-")
    return _NAME_OF.get(plain, plain if plain in _OTHER_NAMES else text)
