"""Compare an exported model with the network that it was exported from."""
