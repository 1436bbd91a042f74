"""What runs on the GPU: kernels in Triton, one file a part of the network.

Activations are NHWC in FP16 or BF16. Their channels are stored padded with zeros to a multiple of
64 (:func:`swinir_deploy.kernels.packing.stored_channels`), so that every load is aligned; weights
are padded alike, so that the zeros stay zeros. Products have half-precision operands and FP32 sums;
LayerNorm, softmax and everything between two products are FP32.

No picture size is compiled in: heights, widths and batch are arguments. Constants
(``tl.constexpr``, in capitals) come from the network's widths alone.
"""
