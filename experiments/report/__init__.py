"""The report of a sweep: one page for people, and tables and figures for papers.

Reads finished cells and runs none. What a table says is decided in :mod:`experiments.results`.
"""
