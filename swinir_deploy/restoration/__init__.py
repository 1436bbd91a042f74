"""A picture, or a folder of them, through a model."""
