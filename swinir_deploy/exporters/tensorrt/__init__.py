"""From a checked ONNX model to an engine of TensorRT 10.x, 11.x or TensorRT for RTX.

What the three libraries differ in stands in :mod:`swinir_deploy.nvidia.tensorrt_library`; here is
one way for all of them.
"""
