"""Engines of this project's own kernels, compiled without a GPU."""
