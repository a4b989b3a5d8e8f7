"""Data poisoning by fake profiles: malicious clients hold the targets and filler items, and train honestly.

Rong et al., "FedRecAttack: Model Poisoning Attack to Federated Recommendation", 2022, section VI (Table VII), use
these as baselines. A client that may upload `max_rows` rows holds half as many items, since each brings a negative.
"""

from __future__ import annotations

import numpy as np

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext


def filler_count(owner: str, max_rows: int, context: AttackContext) -> int:
  """Filler items of a profile: floor(max_rows / 2) less the targets.

  Args:
    owner: of the field max_rows, for messages.
    max_rows: rows that a client may upload.
    context: knows targets and items.

  Raises:
    ValueError: if the targets alone do not fit, or if there are not more other items.
  """
  num_targets = len(context.targets)
  count, others = max_rows // 2 - num_targets, context.num_items - num_targets
  check(count >= 0, f"{owner}.max_rows={max_rows} leaves no room for {num_targets} targets and their negatives;"
        f" attacker.num_targets must be at most {max_rows // 2}")
  check(count < others, f"{owner}.max_rows={max_rows}: {count} filler items asked for, {others} available, of which one"
        " must be left for negatives")
  return count


def by_popularity(popularity: np.ndarray, targets: np.ndarray) -> np.ndarray:
  """All items but the targets, most popular first, equally popular ones by id."""
  order = np.argsort(-popularity, kind="stable")
  return order[~np.isin(order, targets)]


def _fillers(field: str, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
  check(count <= len(pool), f"{field}: {count} filler items asked for, {len(pool)} available")
  return rng.choice(pool, count, replace=False)


@ATTACKS.register
@traced
def random(*, max_rows: int = 60) -> Attack:
  """Fake profiles of the targets and fillers drawn uniformly from all other items.

  Args:
    max_rows: item rows that a malicious client may upload (kappa, FedRecAttack VI-A).

  Returns:
    A data-poisoning attack; it knows nothing.

  References:
    Rong et al., FedRecAttack, 2022, section VI-B.
  """
  check(max_rows > 0, f"random.max_rows must be positive, got {max_rows}")

  def profiles(rng: np.random.Generator, context: AttackContext) -> list[np.ndarray]:
    others = np.setdiff1d(np.arange(context.num_items), context.targets)
    count = filler_count("random", max_rows, context)
    fillers = [_fillers("random.max_rows", others, count, rng) for _ in range(context.num_malicious)]
    return [np.append(context.targets, one) for one in fillers]

  return Attack(profiles=profiles)


@ATTACKS.register
@traced
def bandwagon(*, max_rows: int = 60, popular_share: float = 0.1) -> Attack:
  """Fake profiles of the targets, some of the most popular items and many others.

  Args:
    max_rows: item rows that a malicious client may upload (kappa, FedRecAttack VI-A).
    popular_share: share of a profile's items (fillers and targets, rounded down) drawn from the tenth of the items
      with most interactions; the rest is drawn from all items not chosen yet.

  Returns:
    A data-poisoning attack that knows how popular items are.

  Raises:
    ValueError: if `popular_share` is outside 0..1.

  References:
    Rong et al., FedRecAttack, 2022, section VI-B; the rounding is that of the published code.
  """
  check(max_rows > 0, f"bandwagon.max_rows must be positive, got {max_rows}")
  check(0 <= popular_share <= 1, f"bandwagon.popular_share must lie in 0..1, got {popular_share}")

  def profiles(rng: np.random.Generator, context: AttackContext) -> list[np.ndarray]:
    assert context.popularity is not None
    ranked = by_popularity(context.popularity, context.targets)
    top = ranked[: context.num_items // 10]
    count = filler_count("bandwagon", max_rows, context)
    from_top = min(int(popular_share * (max_rows // 2) + 1e-9), count)
    made = []
    for _ in range(context.num_malicious):
      popular_items = _fillers("bandwagon.popular_share", top, from_top, rng)
      rest = _fillers("bandwagon.max_rows", np.setdiff1d(ranked, popular_items), count - from_top, rng)
      made.append(np.concatenate([context.targets, popular_items, rest]))
    return made

  return Attack(profiles=profiles, requires=frozenset({"popularity"}))


@ATTACKS.register
@traced
def popular(*, max_rows: int = 60) -> Attack:
  """Fake profiles of the targets and the most popular items, the same for every malicious client.

  Args:
    max_rows: item rows that a malicious client may upload (kappa, FedRecAttack VI-A).

  Returns:
    A data-poisoning attack that knows how popular items are.

  References:
    Rong et al., FedRecAttack, 2022, section VI-B.
  """
  check(max_rows > 0, f"popular.max_rows must be positive, got {max_rows}")

  def profiles(rng: np.random.Generator, context: AttackContext) -> list[np.ndarray]:
    del rng
    assert context.popularity is not None
    count = filler_count("popular", max_rows, context)
    ranked = by_popularity(context.popularity, context.targets)
    return [np.append(context.targets, ranked[:count])] * context.num_malicious

  return Attack(profiles=profiles, requires=frozenset({"popularity"}))
