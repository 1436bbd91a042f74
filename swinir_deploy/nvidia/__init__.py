"""Access to the GPU, CUDA and the libraries of TensorRT."""
