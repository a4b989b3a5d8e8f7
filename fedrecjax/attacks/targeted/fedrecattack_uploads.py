"""How malicious clients share one wanted update of the item table among uploads of few and short rows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.numerics.random import normal
from fedrecjax.types import Array
from fedrecjax.uploads.rows import clip_rows, row_norms

# Below the logarithm of any positive float by more than a Gumbel variable makes up for.
_LAST = -200.0


class Shares(NamedTuple):
  """What the clients of a round send, in the order in which they took it.

  Attributes:
    place: of each client among those given, int32 `[A]`.
    items: its items, int32 `[A, kappa]`.
    rows: `[A, kappa, d]`.
    sets: every malicious client's items `[malicious, kappa]`, -1 for those that have not taken part.
  """

  place: Array
  items: Array
  rows: Array
  sets: Array


def draw_items(key: Array, weights: Array, targets: Array, count: int) -> Array:
  """Draws different items, each time with probability in proportion to the weights of those left (Eq. 22).

  Args:
    key: for the draws.
    weights: `[M]`, 0 or more; items of weight 0 are drawn when no others are left, all alike.
    targets: never drawn, int32 `[T]`.
    count: static, at most M - T.

  Returns:
    int32 `[count]`.
  """
  # Perturbed by Gumbel noise, the largest logarithms are such a draw.
  logits = jnp.where(weights > 0, jnp.log(jnp.where(weights > 0, weights, 1.0)), _LAST)
  perturbed = logits + jax.random.gumbel(key, weights.shape, jnp.float32)
  return lax.top_k(perturbed.at[targets].set(-jnp.inf), count)[1].astype(jnp.int32)


def share_out(
  residual: Array,
  sets: Array,
  client: Array,
  active: Array,
  targets: Array,
  key: Array,
  *,
  row_norm: Array | float,
  selection_variance: Array | float,
  upload_variance: Array | float,
) -> Shares:
  """Lets the clients of a round send, one after another, what the ones before have left (Eq. 21 to 24).

  Each sends the rows of its own items, scaled down to the bound. The items are the targets and others that it draws
  when it first takes part. The order is random.

  Args:
    residual: the wanted update `[M, d]`.
    sets: each malicious client's items, int32 `[malicious, kappa]`, -1 for those that have not taken part.
    client: malicious client in each place, int32 `[A]`.
    active: whether the place is taken, bool `[A]`.
    targets: int32 `[T]`.
    key: each client's draws come from it and the client's number.
    row_norm: bound of a row's L2 norm, C.
    selection_variance: of normal noise on each number of the residual, added for the draw of items alone.
    upload_variance: of normal noise on each number of the uploaded rows, added after scaling; what is taken from the
      residual has it.
  """
  count = sets.shape[1] - targets.shape[0]
  of_client = jax.vmap(lambda one: jax.random.split(jax.random.fold_in(key, one), 4))(client)
  drawn = jax.vmap(lambda keys: jax.random.uniform(keys[0], (), jnp.float32))(of_client)
  turn = jnp.where(active, drawn, jnp.inf)
  order = jnp.argsort(turn).astype(jnp.int32)
  shape = (sets.shape[1], residual.shape[1])
  noise = jnp.sqrt(upload_variance) * jax.vmap(lambda keys: normal(keys[3], shape))(of_client)

  def choose(residual: Array, for_noise: Array, for_items: Array) -> Array:
    noisy = residual + jnp.sqrt(selection_variance) * normal(for_noise, residual.shape)
    return jnp.concatenate([targets, draw_items(for_items, row_norms(noisy), targets, count)])

  def send(carry: tuple[Array, Array], place: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    def take(residual: Array, sets: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
      keys, number = of_client[place], client[place]
      own = sets[number]
      items = lax.cond(own[0] < 0, lambda: choose(residual, keys[1], keys[2]), lambda: own)
      rows = clip_rows(residual[items], row_norm) + noise[place]
      return (residual.at[items].add(-rows), sets.at[number].set(items)), (items, rows)

    def rest(residual: Array, sets: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
      return (residual, sets), (jnp.zeros(shape[0], jnp.int32), jnp.zeros(shape, jnp.float32))

    return lax.cond(active[place], take, rest, *carry)

  (_, sets), (items, rows) = lax.scan(send, (residual, sets), order)
  return Shares(order, items, rows, sets)
