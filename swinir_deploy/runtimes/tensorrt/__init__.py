"""The back ends of engines."""
