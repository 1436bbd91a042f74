"""Files, memory, packages and processors of this machine."""
