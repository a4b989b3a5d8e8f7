"""Popular item mining from what clients receive, which attackers and a defence of clients both use.

True popularity, from the data, is in `datasets` and `analysis`.
"""
