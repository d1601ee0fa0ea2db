"""Summaries, tests, verdicts, ranks and costs."""
