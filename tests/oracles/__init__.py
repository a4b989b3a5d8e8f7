"""Slow NumPy readings of the papers' equations, against which the simulator is tested.

Everything is float64 and loops over clients, items and coordinates. Nothing here imports the
package under test, so an error shared by both has to come from the same misreading of a paper.
"""
