"""No defence: uploads are added up, or averaged per item."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.hyperparameters import traced
from fedrecjax.types import ClientUpdates, Defense, DefenseView, ItemRows, State, Update

Scale = Literal["sum", "mean"]


@DEFENSES.register
@traced
def none(*, scale: Scale = "sum") -> Defense:
  """Plain aggregation of all uploads.

  Args:
    scale: "sum" adds an item's rows up (PIECK, FedRecAttack); "mean" divides by the number of clients that
      uploaded the item (Spattack).

  Returns:
    A defence with an aggregation rule only.
  """

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[Update, State]:
    row = uploads.row
    if scale == "mean":
      counts = jnp.zeros(view.num_items).at[uploads.item].add(1.0, mode="drop")
      row = row / jnp.maximum(counts.at[uploads.item].get(mode="clip"), 1.0)[:, None]
    return Update(ItemRows(uploads.item, row)), state

  return Defense(aggregate=aggregate, unique_rows=scale == "mean")
