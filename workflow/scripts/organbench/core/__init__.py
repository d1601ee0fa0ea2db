"""Errors, files that are whole or absent, a job's log and end."""
