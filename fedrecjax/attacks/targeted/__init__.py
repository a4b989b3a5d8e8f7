"""Attacks that promote chosen items by crafted gradients, and what they know users by.

Attacks through pictures are in `images`; attacks that spoil the recommender for everybody are in `untargeted`.
"""
