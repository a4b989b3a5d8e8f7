"""The command line of fedrecjax: sweeps, their results, reports and plots."""
