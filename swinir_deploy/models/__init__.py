"""From a name to a network with its weights."""
