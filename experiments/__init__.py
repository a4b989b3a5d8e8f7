"""The command line of fedrecjax: sweeps, their results, reports and plots.

What a library user may want is in `fedrecjax`; nothing there imports from here.
"""
