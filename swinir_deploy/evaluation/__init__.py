"""Proof: metrics, degradations, parity between back ends, and honest timing."""
