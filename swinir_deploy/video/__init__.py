"""Videos through a model: read, restore frame by frame, write, and lose nothing on the way."""
