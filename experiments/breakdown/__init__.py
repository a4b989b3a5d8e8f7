"""The command `python -m experiments.breakdown`: which items attackers break, predicted and measured.

The arithmetic is in `fedrecjax.analysis`.
"""
