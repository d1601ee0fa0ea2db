"""Metrics of one case."""
