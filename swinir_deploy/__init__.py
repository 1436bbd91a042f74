"""Taking SwinIR from a checkpoint to production."""

__version__ = "0.1.0"
