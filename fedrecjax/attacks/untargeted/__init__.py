"""Attacks that spoil the recommender for everybody by crafted gradients.

They know nothing of targets; statistics of honest rows, which a targeted attack may use too, live here.
"""
