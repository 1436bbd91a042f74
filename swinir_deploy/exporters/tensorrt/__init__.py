"""Build engines of TensorRT 10.x, 11.x or TensorRT for RTX from checked ONNX models.

:mod:`swinir_deploy.nvidia.tensorrt_library` holds the differences between the libraries. The code
here is the same for all of them.
"""
