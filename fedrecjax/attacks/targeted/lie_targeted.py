"""A Little Is Enough around a targeted objective: boosting gradients kept within the spread of honest ones."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.explicit_boosting import ExplicitBoostingState, explicit_boosting
from fedrecjax.attacks.untargeted.crafted_rows import (
  Knowledge,
  Known,
  attach,
  granted,
  known_gradients,
  pool_of,
  sent_places,
)
from fedrecjax.attacks.untargeted.row_statistics import Absent, RowStatistics, Spread, overall_statistics
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Array, Attack, AttackView, ClientUpdates
from fedrecjax.uploads.rows import concatenate, keep_clients

Untouched = Literal["overall", "free", "silent"]


def within_spread(gradient: Array, statistics: RowStatistics, z: Array | float) -> Array:
  """The gradient with each coordinate brought into mean - z deviation .. mean + z deviation."""
  reach = z * statistics.deviation
  return jnp.clip(gradient, statistics.mean - reach, statistics.mean + reach)


@ATTACKS.register
@traced
def lie_targeted(
  *,
  z: float = 1.5,
  init_std: float = 1.0,
  items: Literal["targets", "known"] = "targets",
  untouched: Untouched = "overall",
  knowledge: Knowledge = "own",
  pool: int = 50,
  absent: Absent = "skipped",
  spread: Spread = "population",
) -> Attack:
  """Explicit boosting of the targets, each coordinate clipped to mean +- z deviations of honest gradients.

  The objective and the free vector that each attacker trains by it are those of `explicit_boosting`. Gradients of
  shared parameters are clipped to those of honest clients in the same way.

  Args:
    z: deviations from the mean that a coordinate may have.
    init_std: standard deviation of the free vectors' normal initialisation.
    items: rows that are sent: "targets"; or "known": those of all items of which a gradient is known besides, where
      the objective's gradient is zero before it is clipped, as if uploads were dense vectors.
    untouched: a target of which no gradient is known: "overall" clips to the statistics of all known rows together,
      "free" sends its row as it is, "silent" does not send it.
    knowledge: "own": honest gradients of malicious clients; "benign": of all benign clients of the round.
    pool: malicious clients whose honest gradients are pooled in each round, if knowledge=own.
    absent: clients without a row for an item: "skipped", or "zeros" in its statistics.
    spread: variance of n values divided by n, "population", or by n - 1, "sample".

  Returns:
    A model-poisoning attack of clients with data of their own.

  Raises:
    ValueError: if `z` is negative, or `pool` or `init_std` is not positive.

  References:
    Rong et al., "FedRecAttack", 2022, Table VIII (P4); Baruch et al., "A Little Is Enough", 2019, section 3.3.
  """
  check(z >= 0, f"lie_targeted.z must not be negative, got {z}")
  check(init_std > 0, f"lie_targeted.init_std must be positive, got {init_std}")
  boosting = explicit_boosting(init_std=init_std)

  def target_rows(wanted: ClientUpdates, known: Known, num_items: int) -> ClientUpdates:
    statistics = _at(known.items, wanted.item)
    is_known = statistics.clients > 0
    row = within_spread(wanted.row, statistics, z)
    if untouched == "silent":
      return wanted._replace(item=jnp.where(is_known, wanted.item, num_items), row=row)
    other = wanted.row
    if untouched == "overall":
      other = within_spread(other, overall_statistics(known.uploads, num_items, spread=spread), z)
    return wanted._replace(row=jnp.where(is_known[:, None], row, other))

  def other_rows(view: AttackView, uploads: ClientUpdates, known: Known) -> ClientUpdates:
    places = sent_places(view, uploads, known, "known")
    num_items = view.public.items.shape[0]
    is_target = jnp.zeros(num_items + 1, bool).at[view.targets].set(True)
    others = places._replace(item=jnp.where(is_target[places.item], num_items, places.item))
    return attach(view, others, within_spread(jnp.zeros_like(places.own), _at(known.items, places.item), z), ())

  def poison(
    state: ExplicitBoostingState, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, ExplicitBoostingState]:
    assert boosting.poison is not None
    known = known_gradients(view, knowledge, pool=pool, absent=absent, spread=spread)
    wanted, state = boosting.poison(state, uploads, view, key)
    sent = target_rows(wanted, known, view.public.items.shape[0])
    if wanted.sent is not None:
      clipped = jax.tree.map(
        lambda statistics, leaf: within_spread(leaf, statistics, z), known.shared, wanted.shared,
        is_leaf=lambda one: isinstance(one, RowStatistics),
      )
      sent = keep_clients(sent._replace(shared=clipped), wanted.sent, view.public.items.shape[0])
    return (concatenate(sent, other_rows(view, uploads, known)) if items == "known" else sent), state

  return Attack(
    when_active(poison), boosting.init, requires=granted(knowledge), pool=pool_of("lie_targeted", knowledge, pool),
    colludes=True,
  )


def _at(statistics: RowStatistics, item: Array) -> RowStatistics:
  """Statistics of the items of the given places `[E]`; of some item where a place is unused."""
  return jax.tree.map(lambda leaf: leaf.at[item].get(mode="clip"), statistics)
