"""The Gaussian attack: malicious clients send draws from the distribution of honest gradients."""

from __future__ import annotations

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.crafted_rows import (
  Items,
  Knowledge,
  drawn_uploads,
  granted,
  known_gradients,
  pool_of,
  sent_places,
)
from fedrecjax.attacks.untargeted.row_statistics import Absent, RowStatistics, Spread
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.numerics.random import normal
from fedrecjax.types import Array, Attack, AttackView, ClientUpdates, State


def gaussian_row(statistics: RowStatistics, drawn: Array) -> Array:
  """A row with the statistics of honest ones, from standard normal draws of its shape."""
  return statistics.mean + statistics.deviation * drawn


@ATTACKS.register
@traced
def gaussian(
  *,
  knowledge: Knowledge = "own",
  pool: int = 50,
  items: Items = "own",
  absent: Absent = "skipped",
  spread: Spread = "population",
) -> Attack:
  """Each coordinate of each row is drawn from a normal distribution with the mean and deviation of honest gradients.

  Every attacker draws anew for every row, and for every gradient of shared parameters.

  Args:
    knowledge: "own": honest gradients of malicious clients; "benign": of all benign clients of the round.
    pool: malicious clients whose honest gradients are pooled in each round, if knowledge=own.
    items: rows that an attacker sends: "own": of the items that it would send if it behaved; "known": of all items
      of which a gradient is known, as if uploads were dense vectors.
    absent: clients without a row for an item: "skipped", or "zeros" in its statistics.
    spread: variance of n values divided by n, "population", or by n - 1, "sample".

  Returns:
    A model-poisoning attack of clients with data of their own.

  Raises:
    ValueError: if `pool` is not positive.

  References:
    Fang et al., "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", 2020, section 5 (baseline).
  """

  def draw(statistics: RowStatistics, key: Array) -> Array:
    return gaussian_row(statistics, normal(key, statistics.mean.shape))

  def poison(
    state: State, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, State]:
    known = known_gradients(view, knowledge, pool=pool, absent=absent, spread=spread)
    return drawn_uploads(view, known, sent_places(view, uploads, known, items), key, draw), state

  return Attack(
    when_active(poison), requires=granted(knowledge), pool=pool_of("gaussian", knowledge, pool), colludes=True
  )
