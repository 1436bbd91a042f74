"""The back end for engines of this project's own kernels."""
