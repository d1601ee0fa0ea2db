"""Volumes and label maps, prepared cases, and who has which role."""
