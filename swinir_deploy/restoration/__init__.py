"""Restore a picture, or a folder of pictures, with a model."""
