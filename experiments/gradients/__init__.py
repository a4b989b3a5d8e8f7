"""The command `python -m experiments.gradients`: uploads of chosen rounds as the server sees them.

ClusterAttack, Figure 4: each upload as a point of a plane, and how far apart it alone would leave the items.
"""
