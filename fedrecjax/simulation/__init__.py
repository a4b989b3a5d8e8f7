"""A run: planned on the host, trained round by round as one compiled program, evaluated, returned as arrays.

Nothing here is specific to a method; methods are parts that a run is given.
"""
