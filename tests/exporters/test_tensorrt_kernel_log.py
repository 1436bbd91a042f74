"""Reading the compiler's list of kernels, on lines as TensorRT for RTX 1.7 writes them."""

from __future__ import annotations

from swinir_deploy.exporters.tensorrt.kernel_log import (
    Kernel,
    activation_bytes,
    block_of_each,
    parse_kernels,
    weight_bytes,
)
from swinir_deploy.nvidia.tensorrt_library import Message

BLOCK = "layers.0.residual_group.blocks"
LOG = f"""Layer(s) of the engine
Name: __mye1_myl0_0, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, Metadata: 
Name: conv_first/Conv_myl0_1, LayerType: correlation, Inputs: [ {{ Name: a, Dimensions: [1,4,8,8], Strides: [256,1,32,4], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }}], Constants: [ {{ Name: w, Dimensions: [60,4,3,3], Strides: [36,9,3,1], StrideOrder: [3,2,1,0], Datatype: Half, Format: (Linear) Row major linear format }}], Outputs: [ {{ Name: s, Dimensions: [1,60,8,8], Strides: [3840,1,480,60], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: conv_first/Conv]
Name: __myl_CastMeanSubMulMeanAddSqrtDivMulMulAddCast_myl0_2, LayerType: kgen, Inputs: [ {{ Name: s, Dimensions: [64,60], Strides: [60,1], StrideOrder: [1,0], Datatype: Half, Format: (Linear) Row major linear format }}], Constants: [], Outputs: [ {{ Name: n, Dimensions: [64,60], Strides: [60,1], StrideOrder: [1,0], Datatype: Half, Format: (Linear) Row major linear format }}, {{ Name: f, Dimensions: [64,1], Strides: [1,1], StrideOrder: [1,0], Datatype: Float, Format: (Linear) Row major linear format }}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: {BLOCK}.0.norm1/LayerNormalization]
Name: __mye2+__mye3_myl0_3, LayerType: gemm, Inputs: [ {{ Name: n, Dimensions: [-1,60], Strides: [60,1], StrideOrder: [1,0], Datatype: Half, Format: (Linear) Row major linear format }}], Constants: [], Outputs: [ {{ Name: q, Dimensions: [3,-1,96], Strides: [-1,96,1], StrideOrder: [2,1,0], Datatype: Half, Format: (Linear) Row major linear format }}], TacticName: t, StreamId: 0, Metadata: 
Name: cast_hvar^4_myl0_4, LayerType: cast, Inputs: [], Constants: [], Outputs: [ {{ Name: h, Dimensions: [1], Strides: [1], StrideOrder: [0], Datatype: Int64, Format: (Linear) Row major linear format }}], TacticName: , StreamId: 0, Metadata: 
Name: _gemm_mha_v2_myl0_5, LayerType: kgen, Inputs: [], Constants: [], Outputs: [ {{ Name: o, Dimensions: [-1,64,16], Strides: [16,-1,1], StrideOrder: [1,2,0], Datatype: Half, Format: (Arbitrary) Format with strides }}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: {BLOCK}.0.attn/Softmax][ONNX Layer: {BLOCK}.0.attn/MatMul]
Name: __myl_FcAddAdd_myl0_6, LayerType: runtime_fusion, Inputs: [], Constants: [], Outputs: [ {{ Name: p, Dimensions: [64,60], Strides: [60,1], StrideOrder: [1,0], Datatype: Half, Format: (Linear) Row major linear format }}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: {BLOCK}.0.mlp.fc2/Gemm][ONNX Layer: {BLOCK}.0/Add][ONNX Layer: {BLOCK}.1/Reshape]
Name: __mye9_myl0_7, LayerType: signal, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, Metadata: 
Name: __myl_ReshTranSlicMove_myl0_8, LayerType: kgen, Inputs: [], Constants: [], Outputs: [ {{ Name: r, Dimensions: [64,60], Strides: [60,1], StrideOrder: [1,0], Datatype: Half, Format: (Linear) Row major linear format }}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: layers.0.junction/Transpose]
Name: __myl_TranCast_myl0_9, LayerType: kgen, Inputs: [], Constants: [], Outputs: [ {{ Name: c, Dimensions: [2,64,60], Strides: [3840,60,1], StrideOrder: [2,1,0], Datatype: Float, Format: (Linear) Row major linear format }}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: closing/Cast]
Name: __myl_AddMul_myl0_10, LayerType: kgen, Inputs: [], Constants: [], Outputs: [], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: closing/Add]
"""  # noqa: E501, W291
MESSAGES = [
    Message("verbose", "Name: not a layer"),
    Message("info", "Total Activation Memory: 123735552 bytes"),
    Message("info", "Total Weights Memory: 3325190 bytes"),
    Message("verbose", LOG),
]


def kernels() -> list[Kernel]:
    return parse_kernels(MESSAGES)


def test_every_line_is_a_kernel_of_its_kind() -> None:
    assert [kernel.kind for kernel in kernels()] == [
        "shape",
        "convolution",
        "normalization",
        "matmul",
        "shape",
        "attention",
        "matmul",
        "shape",
        "relayout",
        "cast",
        "pointwise",
    ]


def test_names_tensors_and_nodes_are_read() -> None:
    convolution, norm = kernels()[1:3]
    assert convolution.name == "conv_first/Conv_myl0_1"
    assert [tensor.shape for tensor in convolution.inputs] == [(1, 4, 8, 8)]
    assert [(t.name, t.shape, t.dtype, t.size_bytes) for t in norm.outputs] == [
        ("n", (64, 60), "Half", 64 * 60 * 2),
        ("f", (64, 1), "Float", 64 * 4),
    ]
    assert norm.onnx_nodes == (f"{BLOCK}.0.norm1/LayerNormalization",)
    assert kernels()[3].outputs[0].size_bytes is None, "a dynamic size"


def test_kernels_belong_to_the_block_they_work_for() -> None:
    first = f"{BLOCK}.0"
    assert block_of_each(kernels()) == [
        None,
        None,
        first,
        first,  # its nodes are forgotten, the next kernel's are not
        None,
        first,
        first,  # two of three nodes
        None,
        None,
        None,
        None,
    ]


def test_memory_is_read() -> None:
    assert activation_bytes(MESSAGES) == 123735552
    assert weight_bytes(MESSAGES) == 3325190
    assert activation_bytes([]) == 0
    assert parse_kernels([]) == []
