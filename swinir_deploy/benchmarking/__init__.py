"""Measure and compare the speed of models and back ends."""
