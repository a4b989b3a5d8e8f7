"""The command `python -m experiments.sweep`: flags to cells, cells to results, and where they run.

What results look like on disk and on paper is in `results`; the tables of the papers are in `recipes`.
"""
