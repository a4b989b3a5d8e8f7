"""Whether a paper's figure could be one further run of ours: one rule for all tables."""

from __future__ import annotations

import collections
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from fedrecjax.metrics.stats import student_quantile

LEAST_SEEDS = 5
WIDEST = 0.2
# Where a rate comes nearer to 0 or 1, logits hang on single users.
AWAY = 0.01
LEAST_HALF_WIDTH = 0.005
LEAST_GAP = 0.3
NEAR_A_MODE = 0.1

Outcome = Literal["agrees", "differs", "cannot tell", "not comparable"]
OUTCOMES: tuple[Outcome, ...] = ("agrees", "differs", "cannot tell", "not comparable")

RULE = (
  "Verdict: a paper's figure, of one run, against the 95 % prediction interval of one further run of ours (Student,"
  f" from {LEAST_SEEDS} seeds on; of logits where all seeds are from {AWAY:g} to {1 - AWAY:g}, else of the rates"
  f" themselves, at least ±{LEAST_HALF_WIDTH:g} and within 0 to 1). Two modes (the widest gap between seeds is"
  f" {LEAST_GAP:g} or more, and twice as wide as either side): agrees within {NEAR_A_MODE:g} of one that occurs."
  f" Cannot tell: fewer seeds, or an interval wider than {WIDEST:g}."
)


class Verdict(NamedTuple):
  """How a paper's figure compares with our seeds.

  Attributes:
    outcome: in a word or two.
    detail: the interval, which mode, or the reason.
  """

  outcome: Outcome
  detail: str

  def __str__(self) -> str:
    return f"{self.outcome}: {self.detail}"


def verdict(printed: float, seeds: Sequence[float], not_comparable: str = "") -> Verdict:
  """Compares a paper's figure with our seeds, as :data:`RULE` says.

  Args:
    printed: the paper's figure, a rate.
    seeds: ours, a rate of each.
    not_comparable: why the two cannot be compared; empty where they can.

  >>> str(verdict(0.5, [0.49, 0.5, 0.51, 0.5, 0.5]))
  'agrees: [0.4785, 0.5215]'
  >>> str(verdict(0.9, [0.0, 0.0, 0.01, 0.95, 0.0]))
  'agrees: 1 of 5 seeds'
  """
  if not_comparable:
    return Verdict("not comparable", not_comparable)
  if len(seeds) < LEAST_SEEDS:
    return Verdict("cannot tell", f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}")
  lower, upper = modes(seeds)
  if upper:
    near = min((lower, upper), key=lambda mode: _distance(printed, mode))
    if _distance(printed, near) <= NEAR_A_MODE:
      return Verdict("agrees", f"{len(near)} of {len(seeds)} seeds")
    return Verdict("differs", f"neither mode of {len(lower)} and {len(upper)} seeds")
  low, high = prediction_interval(seeds)
  detail = f"[{low:.4f}, {high:.4f}]"
  if high - low > WIDEST:
    return Verdict("cannot tell", detail)
  return Verdict("agrees" if low <= printed <= high else "differs", detail)


def prediction_interval(seeds: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
  """Where one further run falls with this probability, if seeds are normal on the scale that :data:`RULE` names.

  Args:
    seeds: two or more rates.
    confidence: the probability.

  Returns:
    The interval's ends, within [0, 1].

  Raises:
    ValueError: if there are fewer than two, or one is no rate.
  """
  if len(seeds) < 2 or not all(0.0 <= value <= 1.0 for value in seeds):
    raise ValueError(f"expected two or more rates, got {list(seeds)}")
  away = all(AWAY <= value <= 1.0 - AWAY for value in seeds)
  scaled = [math.log(value / (1.0 - value)) for value in seeds] if away else list(seeds)
  half = student_quantile((1.0 + confidence) / 2.0, len(seeds) - 1)
  half *= statistics.stdev(scaled) * math.sqrt(1.0 + 1.0 / len(seeds))
  center = statistics.fmean(scaled)
  if away:
    return _rate(center - half), _rate(center + half)
  half = max(half, LEAST_HALF_WIDTH)
  return max(0.0, center - half), min(1.0, center + half)


def modes(seeds: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """The lower and the upper mode of the seeds, in order; all are in the lower where there are no two.

  >>> modes([0.9, 0.0, 0.02]), modes([0.4, 0.75, 0.1])
  (((0.0, 0.02), (0.9,)), ((0.1, 0.4, 0.75), ()))
  """
  ordered = tuple(sorted(seeds))
  gaps = [after - before for before, after in itertools.pairwise(ordered)]
  if not gaps:
    return ordered, ()
  widest = max(gaps)
  place = gaps.index(widest) + 1
  lower, upper = ordered[:place], ordered[place:]
  across = max(mode[-1] - mode[0] for mode in (lower, upper))
  apart = widest >= LEAST_GAP and widest >= 2.0 * across
  return (lower, upper) if apart else (ordered, ())


def counted(verdicts: Iterable[Verdict]) -> str:
  """How often each outcome occurs.

  >>> counted([Verdict("differs", ""), Verdict("agrees", ""), Verdict("differs", "")])
  '1 agrees, 2 differs'
  """
  counts = collections.Counter(one.outcome for one in verdicts)
  return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])


def _distance(printed: float, mode: Sequence[float]) -> float:
  return max(mode[0] - printed, printed - mode[-1], 0.0)


def _rate(logit: float) -> float:
  return 1.0 / (1.0 + math.exp(-logit))
