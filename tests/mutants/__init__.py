"""Seeded mistakes and the tests that find them: `python -m tests.mutants`."""
