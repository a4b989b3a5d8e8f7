"""A Little Is Enough: malicious clients stay within the spread of honest gradients, all on the same side."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.crafted_rows import (
  Items,
  Knowledge,
  Known,
  common_uploads,
  granted,
  known_gradients,
  map_shared,
  pool_of,
  sent_places,
)
from fedrecjax.attacks.untargeted.row_statistics import Absent, RowStatistics, Spread
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Array, Attack, AttackView, ClientUpdates, State

Direction = Literal["minus", "plus", "against"]


def largest_z(clients: Array, malicious: Array, otherwise: Array | float) -> Array:
  """How many deviations a malicious gradient may be off so that enough honest ones are farther off (Algorithm 3).

  Args:
    clients: that send the gradient, n, malicious ones among them; any shape.
    malicious: m, same shape.
    otherwise: value where the formula has none: the malicious clients need no others for a majority.

  Returns:
    The normal quantile of (n - m - s) / (n - m) with s = floor(n / 2 + 1) - m, at least 0.

  >>> [round(float(largest_z(jnp.float32(50.0), jnp.float32(m), 1.5)), 3) for m in (1, 12, 30)]
  [0.0, 0.336, 1.5]
  """
  honest = clients - malicious
  supporters = jnp.floor(clients / 2 + 1) - malicious
  defined = (supporters > 0) & (honest > supporters)
  share = jnp.where(defined, (honest - supporters) / jnp.where(defined, honest, 1.0), 0.5)
  # Fewer than half of the honest gradients to spare: the formula asks for the other side of the mean.
  return jnp.where(supporters > 0, jnp.maximum(ndtri(share), 0.0), otherwise)


def lie_row(statistics: RowStatistics, z: Array | float, direction: Direction) -> Array:
  """The row that attackers send for one item.

  Args:
    statistics: of honest rows.
    z: deviations from the mean.
    direction: "plus": mean + z deviation; "minus": mean - z deviation; "against": the one of the two, in each
      coordinate, that is on the side of zero.
  """
  side = {"plus": 1.0, "minus": -1.0}.get(direction, -jnp.sign(statistics.mean))
  return statistics.mean + side * z * statistics.deviation


@ATTACKS.register
@traced
def lie(
  *,
  z: float = 1.5,
  z_rule: Literal["fixed", "max"] = "fixed",
  counted: Literal["item", "round"] = "item",
  direction: Direction = "minus",
  knowledge: Knowledge = "own",
  pool: int = 50,
  items: Items = "known",
  absent: Absent = "skipped",
  spread: Spread = "population",
) -> Attack:
  """All attackers send the mean of honest gradients, moved by z deviations in each coordinate.

  What is sent is a gradient, of which the server subtracts the aggregate. With "minus" or "plus" every coordinate of
  every row is moved to one and the same side, whatever the mean; which side does not matter where turning the signs of
  all vectors changes no score, as in matrix factorisation. It hinders learning by what it adds to the rows, not by
  opposing them. "against" moves each coordinate towards zero and, where z deviations exceed the mean, beyond it: there
  the upload undoes what honest clients do.

  Args:
    z: deviations from the mean; 1.5 is the authors' code's. With z_rule=max it stands where the formula has no value.
    z_rule: "fixed", or "max": the largest z at which enough honest gradients are farther off (Algorithm 3), from the
      numbers of clients; at least 0.
    counted: clients n of that formula: "item": those that send the item, estimated from the pool if knowledge=own;
      "round": all places of the round. The attackers m are those of the round, in both.
    direction: "minus": mean - z deviation (the authors' code); "plus": mean + z deviation (Algorithm 3); "against":
      the side of zero in each coordinate.
    knowledge: "own": honest gradients of malicious clients; "benign": of all benign clients of the round.
    pool: malicious clients whose honest gradients are pooled in each round, if knowledge=own.
    items: rows that an attacker sends: "known": of all items of which a gradient is known; "own": of the items that it
      would send if it behaved.
    absent: clients without a row for an item: "skipped", or "zeros" in its statistics.
    spread: variance of n values divided by n, "population", or by n - 1, "sample".

  Returns:
    A model-poisoning attack of clients with data of their own.

  Raises:
    ValueError: if `pool` is not positive or `z` is negative.

  References:
    Baruch et al., "A Little Is Enough: Circumventing Defenses For Distributed Learning", 2019, Algorithm 3.
  """
  check(z >= 0, f"lie.z must not be negative, got {z}")

  def z_of(statistics: RowStatistics, view: AttackView, known: Known) -> Array | float:
    if z_rule == "fixed":
      return z
    malicious = jnp.sum(view.active, dtype=jnp.int32).astype(jnp.float32)
    clients = jnp.float32(view.num_clients)
    if counted == "item":
      honest = statistics.clients.astype(jnp.float32)
      if knowledge == "own":
        honest = jnp.round(honest / jnp.maximum(known.members, 1) * (clients - malicious))
      clients = honest + malicious
    return largest_z(clients, malicious, z)

  def poison(
    state: State, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, State]:
    del key
    known = known_gradients(view, knowledge, pool=pool, absent=absent, spread=spread)

    def row_of(statistics: RowStatistics) -> Array:
      return lie_row(statistics, z_of(statistics, view, known), direction)

    table, shared = jax.vmap(row_of)(known.items), map_shared(row_of, known.shared)
    return common_uploads(view, known, sent_places(view, uploads, known, items), table, shared), state

  return Attack(when_active(poison), requires=granted(knowledge), pool=pool_of("lie", knowledge, pool), colludes=True)
