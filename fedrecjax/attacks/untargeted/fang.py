"""Fang's attacks: gradients on the other side of what honest clients want, as far as an aggregation rule lets them.

Fang et al. write them for local models; here they are for gradients, and the server's descent turns both the honest
direction and the deviation from it. Gradient zero stands for the model that the clients received.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.crafted_rows import (
  Items,
  Knowledge,
  Known,
  Sent,
  common_uploads,
  drawn_uploads,
  granted,
  known_gradients,
  pool_of,
  sent_places,
)
from fedrecjax.attacks.untargeted.fang_krum import Center, farthest_selected
from fedrecjax.attacks.untargeted.row_statistics import Absent, RowStatistics, Spread
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.numerics.random import uniform
from fedrecjax.server.shared_parameters import aggregate_shared
from fedrecjax.types import Array, Attack, AttackView, ClientUpdates, State
from fedrecjax.uploads.item_groups import ItemResult, map_items


def deviation_interval(
  statistics: RowStatistics, *, nearest: Array | float, farthest: Array | float
) -> tuple[Array, Array]:
  """Where each coordinate of a malicious row is drawn from if only some honest gradients are known (section 4.3).

  Args:
    statistics: of honest rows.
    nearest: fewest deviations from the mean.
    farthest: most.

  Returns:
    The ends of an interval on the side of the mean that its sign does not point to, the nearer one first.
  """
  away = -jnp.sign(statistics.mean) * statistics.deviation
  return statistics.mean + nearest * away, statistics.mean + farthest * away


def extreme_interval(statistics: RowStatistics, factor: Array | float) -> tuple[Array, Array]:
  """The same if all honest gradients are known: from their extreme on to `factor` times it, away from the mean.

  Where a multiple would come back towards the others, the extreme is divided by the factor instead; where the mean is
  zero, nothing is added to it.
  """

  def beyond(extreme: Array, outward: Array) -> Array:
    return jnp.where(outward * extreme > 0, extreme * factor, extreme / factor)

  sign = jnp.sign(statistics.mean)
  extreme = jnp.where(sign > 0, statistics.low, jnp.where(sign < 0, statistics.high, 0.0))
  return extreme, beyond(extreme, -sign)


@ATTACKS.register
@traced
def fang(
  *,
  version: Literal["trimmed_mean", "krum"] = "trimmed_mean",
  knowledge: Knowledge = "own",
  pool: int = 50,
  items: Items = "known",
  nearest: float = 3.0,
  farthest: float = 4.0,
  factor: float = 2.0,
  draws: Literal["each", "together"] = "each",
  threshold: float = 1e-5,
  center: Center = "received",
  absent: Absent = "skipped",
  spread: Spread = "population",
) -> Attack:
  """Attackers send gradients directed against those of honest clients, item by item.

  Against rules that work on coordinates ("trimmed_mean", which is also the attack on the median), every coordinate is
  drawn from an interval on the side of the honest ones that their mean does not point to. Against "krum" all send
  center - length * sign(mean), with the largest length tried at which Krum selects it among the honest rows that are
  known and as many copies as the round has attackers.

  Args:
    version: the rule that is attacked, "trimmed_mean" (and median) or "krum".
    knowledge: "own": honest gradients of malicious clients (partial knowledge): intervals are in deviations;
      "benign": of all benign clients of the round (full knowledge): intervals are from their extremes.
    pool: malicious clients whose honest gradients are pooled in each round, if knowledge=own.
    items: rows that an attacker sends: "known": of all items of which a gradient is known; "own": of the items that it
      would send if it behaved.
    nearest: fewest deviations from the mean, for trimmed_mean with partial knowledge.
    farthest: most deviations from it.
    factor: b, how far beyond the extremes, for trimmed_mean with full knowledge.
    draws: whether attackers draw from the intervals "each" for itself or "together".
    threshold: of krum: lengths below it are not tried any more.
    center: of krum: what the malicious rows start from: "received", gradient zero, which is the model that clients
      received (Eq. 3); "mean", that of the honest rows.
    absent: clients without a row for an item: "skipped", or "zeros" in its statistics (trimmed_mean alone).
    spread: variance of n values divided by n, "population", or by n - 1, "sample".

  Returns:
    A model-poisoning attack of clients with data of their own.

  Raises:
    ValueError: if a number is out of its range, or for absent=zeros with version=krum.

  References:
    Fang et al., "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", 2020, sections 4.2 and 4.3.
  """
  check(nearest >= 0, f"fang.nearest must not be negative, got {nearest}")
  check(farthest >= nearest, f"fang.farthest must be at least fang.nearest, got {farthest}")
  check(factor > 1, f"fang.factor must be above 1, got {factor}")
  check(threshold > 0, f"fang.threshold must be positive, got {threshold}")
  check(absent == "skipped" or version == "trimmed_mean", "fang.absent must be skipped with version=krum, which selects"
        " among the rows that were sent")

  def drawn(statistics: RowStatistics, key: Array) -> Array:
    if knowledge == "own":
      near, far = deviation_interval(statistics, nearest=nearest, farthest=farthest)
    else:
      near, far = extreme_interval(statistics, factor)
    return near + (far - near) * uniform(key, near.shape)

  def against_krum(view: AttackView, known: Known, sent: Sent) -> ClientUpdates:
    num_items, dim = view.public.items.shape
    copies = jnp.maximum(jnp.sum(view.active, dtype=jnp.int32), 1)

    def rule(rows: Array, count: Array) -> ItemResult:
      return ItemResult(farthest_selected(rows, count, copies, threshold=threshold, center=center)[0])

    made, _ = map_items(rule, known.uploads, num_items=num_items, max_count=known.places, work="pairs")
    table = jnp.zeros((num_items, dim), jnp.float32).at[made.item].set(made.row, mode="drop")
    shared = aggregate_shared(lambda rows, count: rule(rows, count).row, known.uploads, treatment="rule")
    return common_uploads(view, known, sent, table, shared)

  def poison(
    state: State, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, State]:
    known = known_gradients(view, knowledge, pool=pool, absent=absent, spread=spread)
    sent = sent_places(view, uploads, known, items)
    if version == "krum":
      return against_krum(view, known, sent), state
    return drawn_uploads(view, known, sent, key, drawn, together=draws == "together"), state

  return Attack(when_active(poison), requires=granted(knowledge), pool=pool_of("fang", knowledge, pool), colludes=True)
