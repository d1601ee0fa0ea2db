"""A study's configuration, and what its jobs ask for."""
