"""Is it fast? Models and back ends timed against each other."""
