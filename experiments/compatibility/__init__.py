"""The command `python -m experiments.compatibility`: which models, attacks and defences run together."""
