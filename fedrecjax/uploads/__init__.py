"""Uploads as sparse item rows: laying them out, merging repeats, and rules over the rows of one item.

What clients compute before they upload is in `clients`; what a defence makes of it is in `defenses`.
"""

from fedrecjax.uploads.rows import item_rows, keep_clients

__all__ = ["item_rows", "keep_clients"]
