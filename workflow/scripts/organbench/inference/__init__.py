"""Predicting whole volumes."""
