"""The command `python -m experiments.compatibility`: which models, attacks and defences run together.

Checks of one combination are tests.
"""
