"""The server's step: an aggregated update applied to the public parameters."""

from __future__ import annotations

import jax

from fedrecjax.types import ItemRows, Public


def apply_rows(public: Public, rows: ItemRows, learning_rate: jax.Array | float) -> Public:
  """One step of gradient descent on the items that the update names.

  Rows are added straight into the table. A dense gradient of all M items would cost three passes over the table
  in every round, most of the time of a round on sets with tens of thousands of items.

  Args:
    public: before the step.
    rows: aggregated update in gradient direction.
    learning_rate: step size.

  Returns:
    Public parameters after the step.
  """
  items = public.items.at[rows.item].add(-learning_rate * rows.row, mode="drop")
  return public._replace(items=items)
