"""What an exported file says of itself, and engines on disk."""
