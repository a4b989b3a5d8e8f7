"""The server's side of an upload of images (Yuan et al., 2023, Algorithm 1 and Section 5), one image at a time."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Received(NamedTuple):
  """What becomes of one uploaded image.

  Attributes:
    kept: the image that the server has from now on.
    features: Phi of it.
    largest_change: of a pixel value, from the clean image.
    mean_change: likewise.
    similarity: of the features before and after purification (Eq. 27); 1 where nothing is purified.
    flagged: whether it is taken for adversarial.
    refused: whether the item keeps what it had.
  """

  kept: np.ndarray
  features: np.ndarray
  largest_change: float
  mean_change: float
  similarity: float
  flagged: bool
  refused: bool


def cosine(first: np.ndarray, second: np.ndarray) -> float:
  """Cosine of two vectors."""
  lengths = math.sqrt(sum(float(x) ** 2 for x in first)) * math.sqrt(sum(float(x) ** 2 for x in second))
  return sum(float(x) * float(y) for x, y in zip(first, second, strict=True)) / lengths


def threshold(normal: Sequence[float], rule: str, share: float) -> float:
  """rho: the minimum of normal similarities (Section 6.6), an order statistic, or the point of a normal fit.

  The order statistic is the one below which floor(share n) of n lie; the fit is by mean and sample deviation.
  """
  ordered = sorted(normal)
  if rule == "minimum":
    return ordered[0]
  if rule == "quantile":
    return ordered[math.floor(share * len(ordered) + 1e-9)]
  mean = sum(ordered) / len(ordered)
  deviation = math.sqrt(sum((one - mean) ** 2 for one in ordered) / (len(ordered) - 1))
  return mean + deviation * standard_normal_point(share)


def standard_normal_point(share: float) -> float:
  """Where the standard normal distribution function is `share`, by bisection."""
  low, high = -40.0, 40.0
  for _ in range(200):
    middle = (low + high) / 2
    if (1 + math.erf(middle / math.sqrt(2))) / 2 < share:
      low = middle
    else:
      high = middle
  return low


def received(
  sent: np.ndarray,
  clean: np.ndarray,
  *,
  had: np.ndarray,
  had_features: np.ndarray,
  extract: Callable[[np.ndarray], np.ndarray],
  purify: Callable[[np.ndarray], np.ndarray] | None = None,
  rho: float = -1.0,
  refuses: bool = False,
) -> Received:
  """One uploaded image.

  Args:
    sent: as uploaded, on 0..255.
    clean: the item's own image.
    had: the image that the server has of the item.
    had_features: Phi of it.
    extract: Phi.
    purify: what the server does to images, or None.
    rho: images less similar to themselves are taken for adversarial.
    refuses: whether such images are refused.
  """
  kept, alike = sent, 1.0
  if purify is not None:
    kept = purify(sent)
    alike = cosine(extract(sent), extract(kept))
  flagged = alike < rho
  refused = flagged and refuses
  change = np.abs(sent - clean)
  return Received(
    had if refused else kept, had_features if refused else extract(kept), float(change.max()),
    float(change.sum() / change.size), alike, flagged, refused,
  )
