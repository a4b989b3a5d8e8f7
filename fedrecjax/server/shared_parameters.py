"""Rules for the parameters that all items share, such as the weights of an NCF.

Published code treats each array, flattened, like one more item that every client touched which sent it (PIECK).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fedrecjax.types import ClientUpdates

SharedRule = Literal["rule", "sum"]


def present_first(present: jax.Array) -> jax.Array:
  """Places of the round with those that are present before all others, each in order, int32 `[C]`."""
  return jnp.argsort(~present, stable=True).astype(jnp.int32)


def aggregate_shared(
  rule: Callable[[jax.Array, jax.Array], jax.Array], uploads: ClientUpdates, *, treatment: SharedRule
) -> Any:
  """One update of every shared parameter.

  Args:
    rule: `(rows [C, 1, size], count [1]) -> [1, size]`, as for the rows of an item; rows beyond the count are +inf.
    uploads: with `shared` of `[C, ...]`.
    treatment: "rule" applies the rule to each array; "sum" adds up.

  Returns:
    A pytree of the structure of the shared parameters.
  """
  if uploads.sent is None or treatment == "sum":
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), uploads.shared)
  order = present_first(uploads.sent)
  count = jnp.sum(uploads.sent, dtype=jnp.int32)[None]
  member = (jnp.arange(order.shape[0], dtype=jnp.int32) < count)[:, None, None]

  def of_array(leaf: jax.Array) -> jax.Array:
    rows = leaf.reshape(leaf.shape[0], 1, -1)[order]
    result = rule(jnp.where(member, rows, jnp.inf), count)[0]
    return jnp.where(count > 0, result, 0.0).reshape(leaf.shape[1:])

  return jax.tree.map(of_array, uploads.shared)


def shared_vectors(uploads: ClientUpdates) -> jax.Array:
  """Each client's gradients of all shared parameters as one vector, `[C, size]`."""
  leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(uploads.shared)]
  return jnp.concatenate(leaves, axis=1)
