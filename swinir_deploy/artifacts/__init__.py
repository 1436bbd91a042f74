"""The metadata of exported files, and TensorRT engines on disk."""
