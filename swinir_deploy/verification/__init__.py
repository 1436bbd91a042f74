"""Is it right? An exported model against the network that it came from."""
