"""Preprocessing and postprocessing graphs around the core: padding, conversion and cropping.

They are written in ONNX's textual syntax and merged with the traced core. So these steps are part
of the file and are the same in every back end.
"""

from __future__ import annotations

import onnx
import onnx.parser

from swinir_deploy.artifacts.metadata import IoLayout
from swinir_deploy.network.config import SwinIRConfig

__all__ = ["INPUT_NAME", "OUTPUT_NAME", "closing_edge", "opening_edge"]

INPUT_NAME = "input"
OUTPUT_NAME = "output"

_PAD_TO_WINDOW = """
    shape = Shape <start = 2, end = 4> (picture)
    window = Constant <value_ints = [{window}]> ()
    almost = Constant <value_ints = [{window_less_one}]> ()
    begin = Constant <value_ints = [0, 0, 0, 0, 0, 0]> ()
    reaching = Add (shape, almost)
    counts = Div (reaching, window)
    sides = Mul (counts, window)
    missing = Sub (sides, shape)
    pads = Concat <axis = 0> (begin, missing)
    padded = Pad <mode = "reflect"> (picture, pads)
"""

_FROM_BYTES = """
    floats = Cast <to = 1> (input)
    planar = Transpose <perm = [0, 3, 1, 2]> (floats)
    full = Constant <value_float = 255.0> ()
    picture = Div (planar, full)
"""

_CROP = """
    sides = Shape <start = {height_axis}, end = {width_end}> (input)
    scale = Constant <value_ints = [{scale}]> ()
    ends = Mul (sides, scale)
    starts = Constant <value_ints = [0, 0]> ()
    axes = Constant <value_ints = [2, 3]> ()
    cropped = Slice (restored, starts, ends, axes)
"""

_TO_BYTES = """
    zero = Constant <value_float = 0.0> ()
    one = Constant <value_float = 1.0> ()
    full = Constant <value_float = 255.0> ()
    clipped = Clip (cropped, zero, one)
    levels = Mul (clipped, full)
    rounded = Round (levels)
    interleaved = Transpose <perm = [0, 2, 3, 1]> (rounded)
    output = Cast <to = 2> (interleaved)
"""


def opening_edge(config: SwinIRConfig, io: IoLayout) -> onnx.GraphProto:
    """Return the graph from ``input`` to ``padded``, float32 NCHW in 0..1.

    The picture is padded right and bottom by reflection to multiples of the window, as
    ``check_image_size`` of models/network_swinir.py does.

    Args:
        config: hyper-parameters of the network.
        io: layout of ``input``: ``tensor`` for NCHW float32, ``image`` for NHWC uint8.
    """
    side = config.side_multiple
    pad = _PAD_TO_WINDOW.format(window=side, window_less_one=side - 1)
    if io == "image":
        body = _FROM_BYTES + pad
        return _parse("uint8[N, H, W, C] input", "float[N, C, PH, PW] padded", body)
    body = "picture = Identity (input)\n" + pad
    return _parse("float[N, C, H, W] input", "float[N, C, PH, PW] padded", body)


def closing_edge(config: SwinIRConfig, io: IoLayout) -> onnx.GraphProto:
    """Return the graph from ``restored`` and ``input`` to ``output``, cropped to the picture.

    For ``image`` the values are clamped to 0..1, multiplied by 255 and rounded half to even, as
    main_test_swinir.py does.

    Args:
        config: hyper-parameters of the network.
        io: layout of ``output``: ``tensor`` for NCHW float32, ``image`` for NHWC uint8.
    """
    axis = 1 if io == "image" else 2
    crop = _CROP.format(height_axis=axis, width_end=axis + 2, scale=config.upscale)
    restored = "float[N, C, PH, PW] restored"
    if io == "image":
        inputs = f"{restored}, uint8[N, H, W, CI] input"
        return _parse(inputs, "uint8[N, SH, SW, C] output", crop + _TO_BYTES)
    inputs = f"{restored}, float[N, CI, H, W] input"
    body = crop + "output = Identity (cropped)\n"
    return _parse(inputs, "float[N, C, SH, SW] output", body)


def _parse(inputs: str, outputs: str, body: str) -> onnx.GraphProto:
    return onnx.parser.parse_graph(f"edge ({inputs}) => ({outputs}) {{{body}}}")
