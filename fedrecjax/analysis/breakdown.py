"""Which items an attacker breaks under an aggregation rule: Spattack's proposition 2, and the count that it estimates.

Per-item aggregation gives every item a breakdown of its own: an item with few benign uploaders falls to a few
malicious ones. A rule is broken on an item where malicious rows of one huge value take the aggregate out of the range
of the benign rows; for krum, where its authors' proof no longer holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.analysis.power_law import PowerLaw

BoolArray = npt.NDArray[np.bool_]

# Far above the rounding error of share * count for any count in use, far below one client.
_FLOOR_MARGIN = 1e-6
_HUGE = 1e12


class Rule(NamedTuple):
  """When an aggregation rule gives way on an item.

  With b benign and m malicious rows, m > 0, it does where m + margin exceeds breakdown_point * (m + b).

  Attributes:
    name: as in :mod:`fedrecjax.defenses`.
    breakdown_point: alpha, the share of malicious rows.
    at_equality: whether a share of exactly alpha is enough.
    margin: rows by which the rule gives way earlier.
    statistic: the rule for one coordinate of an item's rows, `[n] -> scalar`; None where it is not for one coordinate.
  """

  name: str
  breakdown_point: float
  at_equality: bool
  margin: int = 0
  statistic: Callable[[np.ndarray], float] | None = None


def mean_rule() -> Rule:
  """The mean: one malicious row is enough (Spattack, proposition 1).

  Clipping rows before (`norm_bound`) does not change the count; it bounds how far the aggregate can be moved.
  """
  return Rule("mean", 0.0, at_equality=False, statistic=lambda rows: float(np.mean(rows)))


def median_rule() -> Rule:
  """The coordinate-wise median: half of the rows, for with as many malicious as benign rows the middle two differ.

  Spattack's trimmed mean gives way there too: it knows the number of malicious clients and drops as many values, those
  furthest from the median.
  """
  return Rule("median", 0.5, at_equality=True, statistic=lambda rows: float(np.median(rows)))


def trimmed_mean_rule(share: float) -> Rule:
  """The mean without the floor(share * n) largest and smallest of an item's n values.

  Args:
    share: beta, at least 0 and below one half; more malicious rows than that leave one among those averaged.

  Raises:
    ValueError: if `share` is out of its range.
  """
  if not 0 <= share < 0.5:
    raise ValueError(f"the trimmed mean's share must be at least 0 and below 0.5, got {share}")

  def statistic(rows: np.ndarray) -> float:
    trimmed = math.floor(share * len(rows) + _FLOOR_MARGIN)
    return float(np.sort(rows)[trimmed : len(rows) - trimmed].mean())

  return Rule("trimmed_mean", share, at_equality=False, statistic=statistic)


def krum_rule() -> Rule:
  """Krum that knows how many of an item's n rows are malicious: proven for 2 m + 2 < n only.

  It is counted as broken without that, from m = b - 2 on. Rows of one huge value are taken from m = b - 1 on. With
  fewer than three benign rows it has no neighbours left to score by.

  References:
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", 2017, proposition 1.
  """
  return Rule("krum", 0.5, at_equality=True, margin=1)


def rules(*, trimmed_share: float) -> dict[str, Rule]:
  """All rules by name.

  Args:
    trimmed_share: of :func:`trimmed_mean_rule`.

  Raises:
    ValueError: as :func:`trimmed_mean_rule`.
  """
  return {rule.name: rule for rule in (mean_rule(), median_rule(), trimmed_mean_rule(trimmed_share), krum_rule())}


def malicious_clients(ratio: float, num_benign: int) -> int:
  """The most malicious clients that are at most a share `ratio` of all clients.

  Spattack's ratio is one of benign and malicious clients together; `attacker.malicious_ratio` is one of the benign.

  Args:
    ratio: rho, at least 0 and below 1.
    num_benign: benign clients.

  Raises:
    ValueError: if `ratio` is out of its range.

  >>> malicious_clients(0.05, 3753)  # the paper's example
  197
  """
  if not 0 <= ratio < 1:
    raise ValueError(f"ratio must be at least 0 and below 1, got {ratio}")
  return math.floor(ratio / (1 - ratio) * num_benign + _FLOOR_MARGIN)


def is_broken(rule: Rule, benign: npt.ArrayLike, malicious: npt.ArrayLike) -> BoolArray:
  """Whether the rule gives way.

  Args:
    rule: the aggregation rule.
    benign: benign rows of each item, counts or expected counts, any shape.
    malicious: malicious rows of each item, of a shape that goes with it; below 1 they break nothing.

  Returns:
    bool of the common shape.
  """
  good, bad = np.asarray(benign, np.float64), np.asarray(malicious, np.float64)
  excess = bad + rule.margin - rule.breakdown_point * (bad + good)
  enough = excess >= -_FLOOR_MARGIN if rule.at_equality else excess > _FLOOR_MARGIN
  return enough & (bad >= 1)


def share_broken(rule: Rule, benign: npt.ArrayLike, malicious: npt.ArrayLike) -> npt.NDArray[np.float64]:
  """The share of items broken among those with a benign row.

  With the degrees of items and every malicious client uploading all, this is the count that proposition 2 estimates.

  Args:
    rule: the aggregation rule.
    benign: benign rows of each item `[..., M]`.
    malicious: malicious rows of each item `[..., M]`, or one number for all.

  Returns:
    `[...]`; NaN where no item has a benign row.
  """
  touched = np.asarray(benign) > 0
  broken = np.sum(is_broken(rule, benign, malicious) & touched, axis=-1)
  items = np.sum(touched, axis=-1)
  return np.where(items > 0, broken / np.maximum(items, 1), np.nan)


def degree_bound(rule: Rule, num_malicious: int) -> float:
  """The degree b at which m malicious rows just reach the breakdown point; items up to there are broken.

  It is (1 - alpha) / alpha * m for a rule without margin, the fraction in proposition 2. At a bound that is a whole
  number, items of that very degree are broken where the rule gives way at equality.

  Returns:
    The degree; infinity for a breakdown point of 0, and 0 without a malicious row.
  """
  if num_malicious < 1:
    return 0.0
  if rule.breakdown_point == 0:
    return math.inf
  return (num_malicious + rule.margin) / rule.breakdown_point - num_malicious


def proposition_2(law: PowerLaw, rule: Rule, num_malicious: int) -> float:
  """The share of items that m malicious clients break, if degrees follow a power law and each uploads every item.

  An item is broken if its degree is at most x = (1 - alpha) / alpha * m. Of p(k) = C k^-beta, the part above x is taken
  as the integral from x to infinity, C / (beta - 1) * x^(1 - beta), and the share is 1 minus that:

    1 - C / (beta - 1) * ((1 - alpha) / alpha * m)^(1 - beta)

  In the copy of the paper read here the fraction before m is illegible; it has been derived. For whole x the integral
  is more than the sum that it stands for, hence "at least" in the proposition. It calls this share "percent".

  Args:
    law: of the degrees. With x_min = 1 it is the law that the paper assumes of all items; a law of the tail counts for
      its share of the items.
    rule: gives alpha, and what it adds to the bound.
    num_malicious: m.

  Returns:
    The share, 0 where the formula is negative; NaN where x lies below x_min, of which a law of the tail says nothing.

  References:
    Spattack (AAAI 2025), proposition 2.
  """
  bound = degree_bound(rule, num_malicious)
  if math.isinf(bound):
    return 1.0
  if bound < law.minimum:
    return 0.0 if law.tail_share == 1 else math.nan
  above = math.exp(law.log_constant + (1 - law.exponent) * math.log(bound)) / (law.exponent - 1)
  return max(0.0, 1 - law.tail_share * above)


def leaves_range(rule: Rule, benign: npt.ArrayLike, malicious: npt.ArrayLike, *, seed: int = 0) -> BoolArray:
  """Whether malicious rows of one huge value take the aggregate out of the range of the benign rows, by doing it.

  Benign values are drawn from a normal distribution, once for each pair of counts that occurs.

  Args:
    rule: one with a statistic.
    benign: benign rows of each item, any shape.
    malicious: malicious rows of each item, same shape.
    seed: of the benign values.

  Returns:
    bool of the same shape; False where there is no benign row.

  Raises:
    ValueError: if the rule has no statistic.
  """
  if rule.statistic is None:
    raise ValueError(f"{rule.name} is not a statistic of one coordinate")
  counts = np.stack([np.asarray(benign), np.asarray(malicious)])
  pairs, place = np.unique(counts.reshape(2, -1), axis=1, return_inverse=True)
  rng = np.random.default_rng(seed)
  outside = np.zeros(pairs.shape[1], np.bool_)
  for number, (good, bad) in enumerate(pairs.T):
    if good > 0:
      rows = rng.standard_normal(good)
      aggregate = rule.statistic(np.concatenate([rows, np.full(bad, _HUGE)]))
      outside[number] = not rows.min() <= aggregate <= rows.max()
  return outside[place].reshape(counts.shape[1:])
