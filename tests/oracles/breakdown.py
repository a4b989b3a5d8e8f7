"""Power laws of item degrees (Clauset et al., 2009) and the items that attackers break (Spattack).

Rules are applied to rows, sums and integrals are added up, draws are enumerated.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

_TERMS = 3000


def zeta(exponent: float, start: int) -> float:
  """The sum of k^-exponent over k >= start: 3000 terms, and the integral over the rest.

  Each further term is close to the integral over the unit around it, to 1e-8 of the rest.
  """
  end = start + _TERMS
  rest = (end - 0.5) ** (1 - exponent) / (exponent - 1)
  return math.fsum(k**-exponent for k in range(start, end)) + rest


def log_likelihood(degrees: Sequence[int], exponent: float, start: int) -> float:
  """Of the degrees at or above `start` under p(k) = k^-exponent / zeta (Clauset et al., Eq. 3.5)."""
  tail = [k for k in degrees if k >= start]
  logs = math.fsum(math.log(k) for k in tail)
  return -len(tail) * math.log(zeta(exponent, start)) - exponent * logs


def most_likely_exponent(degrees: Sequence[int], start: int) -> float:
  """The exponent in (1, 30) of largest likelihood, by ternary search: there is one peak."""
  low, high = 1.0001, 30.0
  while high - low > 1e-7:
    left, right = low + (high - low) / 3, high - (high - low) / 3
    if log_likelihood(degrees, left, start) < log_likelihood(degrees, right, start):
      low = left
    else:
      high = right
  return (low + high) / 2


def standard_error(exponent: float, start: int, num_items: int) -> float:
  """Of the exponent: 1 / sqrt(n (log zeta)''), Clauset et al., Eq. 3.6, by second differences."""
  step = 1e-3
  logs = [math.log(zeta(exponent + shift, start)) for shift in (-step, 0.0, step)]
  return 1 / math.sqrt(num_items * (logs[0] - 2 * logs[1] + logs[2]) / step**2)


def distance(degrees: Sequence[int], exponent: float, start: int) -> float:
  """Largest difference between the distribution functions of the law and the data (Eq. 3.9)."""
  tail = [k for k in degrees if k >= start]
  total, law, largest = zeta(exponent, start), 0.0, 0.0
  for k in range(start, max(tail) + 1):
    law += k**-exponent / total
    found = sum(one <= k for one in tail) / len(tail)
    largest = max(largest, abs(law - found))
  return largest


def best_start(degrees: Sequence[int], min_items: int) -> int:
  """The degree whose tail, of at least `min_items` items, is nearest its law (section 3.3)."""
  best, smallest = 0, math.inf
  for start in sorted(set(degrees))[:-1]:
    if start < 1 or sum(k >= start for k in degrees) < min_items:
      continue
    found = distance(degrees, most_likely_exponent(degrees, start), start)
    if found < smallest:
      best, smallest = start, found
  return best


def breaks(rule: str, benign: int, malicious: int, trimmed_share: str = "0") -> bool:
  """Whether a rule is broken on an item.

  Benign rows are 1, 2, ..., and malicious ones 10^9: broken is a mean, median or trimmed mean above
  the largest benign row. Krum is broken where 2 m + 2 < n does not hold and there is an attacker.

  Args:
    rule: mean, median, trimmed_mean or krum.
    benign: rows, at least 1.
    malicious: rows.
    trimmed_share: of the trimmed mean, a decimal fraction.
  """
  rows = [Fraction(k) for k in range(1, benign + 1)] + [Fraction(10**9)] * malicious
  count = len(rows)
  if rule == "krum":
    return malicious > 0 and not 2 * malicious + 2 < count
  if rule == "mean":
    kept = rows
  elif rule == "median":
    kept = rows[(count - 1) // 2 : count // 2 + 1]
  else:
    trimmed = math.floor(Fraction(trimmed_share) * count)
    kept = rows[trimmed : count - trimmed]
  return sum(kept) / len(kept) > benign


def krum(rows: Sequence[float], num_malicious: int) -> int:
  """The place of Krum's choice: the least sum of squared distances to the n - f - 2 nearest others.

  Args:
    rows: n values.
    num_malicious: f, with n - f - 2 at least 1.
  """
  scores = []
  for place, one in enumerate(rows):
    squares = sorted((one - other) ** 2 for at, other in enumerate(rows) if at != place)
    scores.append(math.fsum(squares[: len(rows) - num_malicious - 2]))
  return scores.index(min(scores))


def proposition_2(
  exponent: float, constant: float, breakdown_point: float, malicious: int, tail_share: float = 1.0
) -> float:
  """1 minus the share of items with so many users that m malicious clients stay below alpha.

  An item of degree x holds while m / (m + x) < alpha, that is for x > (1 - alpha) / alpha m. The
  integral of C x^-beta from there on is taken over u = log x, by Simpson's rule.
  """
  bound = (1 - breakdown_point) / breakdown_point * malicious
  intervals, end = 4000, 60 / (exponent - 1)
  width = end / intervals
  total = 0.0
  for place in range(intervals + 1):
    weight = 1 if place in (0, intervals) else 4 if place % 2 else 2
    total += weight * constant * (bound * math.exp(place * width)) ** (1 - exponent)
  return 1 - tail_share * total * width / 3


def share_up_to(exponent: float, start: int, degree: int) -> float:
  """Probability of a degree of at most `degree` under the law from `start` on."""
  return math.fsum(k**-exponent for k in range(start, degree + 1)) / zeta(exponent, start)


def expected_uploaders(
  lists: Sequence[Sequence[int]], num_items: int, num_negatives: int
) -> list[float]:
  """Clients that upload each item: those that hold it, and those that draw it at least once."""
  result = [0.0] * num_items
  for items in lists:
    outside = [item for item in range(num_items) if item not in items]
    for item in set(items):
      result[item] += 1
    for item in outside:
      result[item] += 1 - (1 - 1 / len(outside)) ** (num_negatives * len(items))
  return result


def inclusion_probabilities(weights: Sequence[float], count: int) -> list[float]:
  """Probability of each item to be among `count` drawn one after another without replacement.

  At every draw the items left have probabilities in proportion to their weights.
  """
  result = [0.0] * len(weights)

  def draw(left: tuple[int, ...], probability: float, draws: int) -> None:
    total = sum(weights[item] for item in left)
    if draws == 0:
      return
    for item in left:
      chance = probability * weights[item] / total
      if chance > 0:
        result[item] += chance
        draw(tuple(other for other in left if other != item), chance, draws - 1)

  draw(tuple(range(len(weights))), 1.0, count)
  return result
