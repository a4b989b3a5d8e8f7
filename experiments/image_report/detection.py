"""How well purification tells adversarial images from normal ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from experiments.errors import UsageError
from fedrecjax.datasets.image_set import placed
from fedrecjax.vision import auroc, judge, minimum_threshold, normal_threshold, quantile_threshold, rates
from fedrecjax.vision.visuals import Visuals


class Purification(NamedTuple):
  """Images of some items after purification.

  Attributes:
    pixels: uint8 `[K, H, W, 3]`.
    similarity: of the features before and after, float32 `[K]`.
  """

  pixels: np.ndarray
  similarity: np.ndarray


def purified(visuals: Visuals, transform: Any, items: np.ndarray) -> Purification:
  """The images of some items as a server with this defence keeps them.

  Args:
    visuals: images, extractor and diffusion model.
    transform: `Defense.images`.
    items: each with an image, int `[K]`, in any order.
  """
  kept = visuals.kept(transform)
  return Purification(kept.pixels[items], kept.similarity[np.searchsorted(visuals.images.items, items)])


def with_images(visuals: Visuals, pixels: np.ndarray, items: np.ndarray) -> Visuals:
  """The same networks for other images, of some items only.

  Args:
    visuals: of which the networks are taken.
    pixels: uint8 `[T, H, W, 3]`.
    items: whose images these are `[T]`; an item's noise in purification is the same as that of its own image.
  """
  images = placed(
    pixels, items, num_items=visuals.images.num_items, name=f"adversarial {visuals.images.name}",
    origin="uploaded under an attack",
  )
  return Visuals(images, visuals.extractor, visuals.denoiser)


def split_normal(items: np.ndarray, targets: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Normal images that set thresholds, and those that are judged: places in `items` in a drawn order.

  Args:
    items: that have an image `[K]`.
    targets: items `[T]`, in whose place adversarial images stand.
    share: of the normal images that set thresholds.
    seed: of the draw.

  Raises:
    UsageError: if either part has less than two images.
  """
  normal = np.random.default_rng([seed, 4]).permutation(np.flatnonzero(~np.isin(items, targets)))
  count = round(share * len(normal))
  if min(count, len(normal) - count) < 2:
    raise UsageError(f"--calibration_share must leave two images on either side, got {share:g} of the {len(normal)}"
                     " images that are no targets'")
  return normal[:count], normal[count:]


def detection_rows(
  calibration: np.ndarray, judged: np.ndarray, adversarial: np.ndarray, reached: np.ndarray, *, share: float
) -> list[dict[str, Any]]:
  """A row for each way to set the threshold.

  Args:
    calibration: similarities of normal images that set it.
    judged: of other normal images.
    adversarial: of adversarial images `[T]`.
    reached: which of those reached the lists, bool `[T]`.
    share: of normal images that "quantile" and "normal" let be flagged.

  Raises:
    ValueError: if similarities are not finite, or all calibration images have the same.
  """
  found = {
    "minimum": minimum_threshold(calibration),
    "quantile": quantile_threshold(calibration, share),
    "normal": normal_threshold(calibration, share),
  }
  both = np.concatenate([judged, adversarial])
  truth = np.arange(len(both)) >= len(judged)
  normal = np.concatenate([calibration, judged])
  least, largest = normal.min(), adversarial.max()
  common = {
    "auroc": auroc(np.concatenate([normal, adversarial]), np.arange(len(normal) + len(adversarial)) >= len(normal)),
    "threshold_no_false_alarm": float(least),
    "tpr_no_false_alarm": float(np.mean(adversarial < least)),
    "threshold_all_caught": float(largest),
    "fpr_all_caught": float(np.mean(normal <= largest)),
    "normal_mean": float(normal.mean()),
    "normal_sd": float(normal.std(ddof=1)),
    "adversarial_mean": float(adversarial.mean()),
    "adversarial_sd": float(adversarial.std(ddof=1)),
    "num_calibration": len(calibration),
    "num_judged": len(judged),
    "num_adversarial": len(adversarial),
  }
  rows = []
  for name, threshold in found.items():
    flagged = judge(both, threshold)
    judgement = rates(flagged, truth)
    caught = flagged[truth]
    rows.append({
      "threshold": name,
      "rho": threshold,
      "tpr": judgement.true_positive,
      "fpr": judgement.false_positive,
      "accuracy": judgement.accuracy,
      "tpr_reached": float(caught[reached].mean()) if reached.any() else None,
      **common,
    })
  return rows
