"""The containers of picture files: where the pixels are, and what stands beside them."""
