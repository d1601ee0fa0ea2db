"""Which OrganBench this is: what files that leave it say of themselves. `pyproject.toml` says the same."""

VERSION = "0.1.0"
