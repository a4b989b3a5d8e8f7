"""Who takes part: the clients of a run, its rounds and who is whose neighbour, all drawn on the host from the seed.

What clients do is in `clients`; nothing here is traced.
"""
