"""A sweep's results: files of cells, tables with intervals, curves and pictures.

Nothing here runs a cell.
"""
