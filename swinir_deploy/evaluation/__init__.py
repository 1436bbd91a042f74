"""Measure models on test pictures by the paper's protocol: degradations, metrics, reports."""
