"""Read and write picture files; no model is needed."""
