"""Prepare half precision: measured maxima, a precision plan, and pictures for the proof."""
