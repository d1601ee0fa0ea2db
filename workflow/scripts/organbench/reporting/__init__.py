"""Figures, methods in words, viewer."""
