"""Make a half-precision graph run with exact rounding on a CPU without such arithmetic.

ONNX Runtime's CPU provider has no BF16 kernels. It computes FP16 nodes in FP32 and does not round
between some of them. In the graph made here, every node computes in FP32, and its result is
rounded to its type in the original graph. So overflow and loss of precision show as on a GPU.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from swinir_deploy.errors import CheckFailedError

__all__ = ["round_every_result"]

_ROUNDED_TYPES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

_OWN_TYPES = ("Cast", "CastLike")
"""Operators that state their result's type; every back end has them for every type."""


def round_every_result(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which FP16 and BF16 nodes compute in FP32 and round every result.

    Args:
        model: a model whose types can be inferred and whose constants are initializers.

    Returns:
        A model with the same inputs and outputs. Run it without graph optimizations, which would
        remove the casts.

    Raises:
        CheckFailedError: the type of a value cannot be inferred, so it could not be rounded.
    """
    typed = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    graph = typed.graph
    untyped = [value.name for node in graph for value in node.outputs if value.dtype is None]
    if untyped:
        raise CheckFailedError(
            f"The types of {len(untyped)} values cannot be inferred, such as {untyped[0]!r}, so "
            "half precision cannot be checked for this graph. Use --precision fp32."
        )
    for node in list(graph):
        if node.op_type in _OWN_TYPES:
            continue
        for index, value in enumerate(node.inputs):
            if value is not None and value.dtype in _ROUNDED_TYPES:
                widen = _cast(value, ir.DataType.FLOAT)
                graph.insert_before(node, widen)
                node.replace_input_with(index, widen.outputs[0])
        for value in list(node.outputs):
            if value.dtype in _ROUNDED_TYPES:
                narrow = _cast(value, value.dtype)
                uses = [use for use in value.uses() if use.node is not narrow]
                graph.insert_after(node, narrow)
                for use in uses:
                    use.node.replace_input_with(use.idx, narrow.outputs[0])
                value.dtype = ir.DataType.FLOAT
    return ir.to_proto(typed)


def _cast(value: ir.Value, to: ir.DataType) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": to})
    node.outputs[0].dtype = to
    node.outputs[0].shape = value.shape
    return node
