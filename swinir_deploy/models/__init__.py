"""Find, download, read and check models, from a name to a network with its weights."""
