"""A sweep's results: files of cells, tables with intervals, curves and pictures, and what of them is kept in docs.

Nothing here runs a cell.
"""
