"""Attacks whose clients train honestly, on data that the attacker made: fake profiles, flipped labels, worst items.

Attacks that choose what is uploaded are in the other families.
"""
