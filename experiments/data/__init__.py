"""The command `python -m experiments.data`: what a data set holds, before anything is trained on it.

The numbers are gathered in `fedrecjax.analysis`; a sweep prints the same block.
"""
