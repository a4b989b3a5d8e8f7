"""Who takes part in a round once a filter has rejected clients, and where there is enough left for a rule."""

from __future__ import annotations

from collections.abc import Callable

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


def idle_items(uploads: ClientUpdates, num_items: int, in_force: Callable[[jax.Array], jax.Array]) -> jax.Array:
  """Where a rule for the rows of each item had too few of them, see :class:`fedrecjax.types.Update`.

  Args:
    uploads: one row per client and item.
    num_items: M.
    in_force: `(count [M]) -> bool [M]`, whether the rule makes something of its own of so many rows.

  Returns:
    Items at which it did not, and items that anybody uploaded, int32 `[2]`.
  """
  count = jnp.zeros(num_items, jnp.int32).at[uploads.item].add(1, mode="drop")
  touched = count > 0
  return jnp.stack([jnp.sum(one, dtype=jnp.int32) for one in (touched & ~in_force(count), touched)])


def idle_round(in_force: jax.Array, clients: jax.Array) -> jax.Array:
  """The same of a rule over whole uploads, by whether it is in force, bool scalar; a round without clients is none."""
  return jnp.stack([~in_force & (clients > 0), clients > 0]).astype(jnp.int32)
