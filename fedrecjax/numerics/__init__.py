"""Arithmetic without a federation in it: random numbers, search, sorting, distances, directions.

What knows of clients, items or rounds belongs elsewhere.
"""
