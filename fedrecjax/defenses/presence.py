"""Who takes part in a round once a filter has rejected clients."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fedrecjax.types import ClientUpdates, DefenseView


def without_rejected(view: DefenseView, before: ClientUpdates, after: ClientUpdates) -> DefenseView:
  """The round as every stage after a filter sees it: a client of which nothing is left is not in it.

  It is not present, does not count as a client and claims no samples. Clients that had sent nothing stay.

  Args:
    view: of the stage that filtered.
    before: what that stage was given.
    after: what it has left, in the same places.
  """

  def sends(uploads: ClientUpdates) -> jax.Array:
    used = (uploads.item < view.num_items).astype(jnp.int32)
    rows = jnp.zeros(view.num_clients, jnp.int32).at[uploads.client].add(used) > 0
    return rows if uploads.sent is None else rows | uploads.sent

  present = view.present & (sends(after) | ~sends(before))
  return view._replace(
    present=present,
    clients=jnp.sum(present, dtype=jnp.int32),
    samples=jnp.where(present, view.samples, 0.0),
  )
