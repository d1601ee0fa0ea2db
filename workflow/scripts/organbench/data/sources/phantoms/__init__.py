"""Procedural CT-ORG-like patients: a CT volume and its label map from nothing but a seed."""
