"""The back ends that run engines of TensorRT and of TensorRT for RTX."""
