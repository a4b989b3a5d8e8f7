"""The L2 term of clients' losses as a number; its gradient is added where rows are made."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fedrecjax.types import Array, ClientUpdates, ClientView


def penalties(l2: Array, l2_rows: str, view: ClientView, uploads: ClientUpdates) -> Array:
  """Half the weight times the squared norms of what each client of a round penalizes, `[C]`.

  Args:
    l2: weight of each client, float32 `[C]`; 0 for one without the term.
    l2_rows: "uploaded" rows count once for each client, "copies" each time that they are uploaded, the "table" whole
      and with the shared parameters; see :class:`fedrecjax.config.TrainConfig`.
    view: what the clients know and train on.
    uploads: of the clients, for "uploaded" with one row per client and item.
  """
  squares = jnp.sum(view.private * view.private, axis=1)
  table = jnp.sum(view.public.items * view.public.items, axis=1)
  if l2_rows == "table":
    squares += jnp.sum(table) + sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(view.public.shared))
  else:
    client, item = uploads.client, uploads.item
    if l2_rows == "copies":
      item = view.samples.uploaded
      client = jnp.broadcast_to(view.samples.client[:, None], item.shape)
    squares = squares.at[client].add(table.at[item].get(mode="fill", fill_value=0.0), mode="drop")
  return l2 / 2 * squares
