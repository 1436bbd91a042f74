"""The GPU, CUDA and TensorRT's libraries."""
