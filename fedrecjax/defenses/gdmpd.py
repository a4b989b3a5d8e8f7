"""GDMPD: every uploaded image is purified by a diffusion model, and judged by how much that changes its features."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Defense, ImageDefenseView
from fedrecjax.vision.diffusion import PUBLISHED_STEPS, linear_schedule, respaced
from fedrecjax.vision.image_detection import minimum_threshold, normal_threshold, quantile_threshold
from fedrecjax.vision.purification import (
  PUBLISHED_START,
  PUBLISHED_WEIGHT,
  Guidance,
  Reduction,
  Reference,
  purify,
)

Threshold = Literal["minimum", "quantile", "normal"]
Flagged = Literal["purify", "refuse"]


def _purifying(
  owner: str, *, guidance: Guidance, guidance_weight: jax.Array | float, reduction: Reduction, reference: Reference,
  assumed_bound: jax.Array | float, max_pull: jax.Array | float, literal_sign: bool, start: int, respacing: int,
  threshold: Threshold, share: jax.Array | float, flagged: Flagged,
) -> Defense:
  check(0 <= start <= PUBLISHED_STEPS, f"{owner}.start must be 0 to {PUBLISHED_STEPS}, got {start}")
  check(2 <= respacing <= PUBLISHED_STEPS, f"{owner}.respacing must be 2 to {PUBLISHED_STEPS}, got {respacing}")
  check((share > 0) & (share < 1), f"{owner}.share must lie in (0, 1), got {share}")
  for name, number in (("guidance_weight", guidance_weight), ("assumed_bound", assumed_bound), ("max_pull", max_pull)):
    check(number > 0, f"{owner}.{name} must be positive, got {number}")
  schedule = respaced(linear_schedule(PUBLISHED_STEPS), respacing)

  def images(images: jax.Array, items: jax.Array, view: ImageDefenseView, key: jax.Array) -> jax.Array:
    return jnp.asarray(
      purify(
        view.denoiser, schedule, images, key, ids=items, start=start, guidance=guidance,
        guidance_weight=guidance_weight, reduction=reduction, reference=reference, assumed_bound=assumed_bound,
        max_pull=max_pull, literal_sign=literal_sign,
      ).images
    )

  def rho(normal: np.ndarray) -> float:
    if threshold == "minimum":
      return minimum_threshold(normal)
    return (quantile_threshold if threshold == "quantile" else normal_threshold)(normal, float(share))

  return Defense(
    images=images, threshold=rho, refuses=flagged == "refuse", requires=frozenset({"denoiser"}), adds_shared=True
  )


@DEFENSES.register
@traced
def gdmpd(
  *,
  start: int = PUBLISHED_START,
  respacing: int = 250,
  guidance: Literal["gdmp", "constant"] = "gdmp",
  guidance_weight: float = PUBLISHED_WEIGHT,
  reduction: Reduction = "mean",
  reference: Reference = "fresh",
  assumed_bound: float = 4.0,
  max_pull: float = 1.0,
  literal_sign: bool = False,
  threshold: Threshold = "minimum",
  share: float = 0.01,
  flagged: Flagged = "purify",
) -> Defense:
  """GDMPD: the server purifies all images by diffusion, guided by the image itself, and detects adversarial ones.

  Args:
    start: depth of diffusion in steps of 1000; the paper's text starts at 1000, where nothing of the image is left.
    respacing: steps that the way back is spread over, of the whole 1000 (GDMP: 250, 45 of which lie within its depth).
    guidance: scale of the guidance: "constant" as printed (Eq. 26), "gdmp" as in the published code of GDMP.
    guidance_weight: lambda, which the paper sets to 1000.
    reduction: of the squared error that guides: its "mean" over the numbers of an image, or their "sum".
    reference: x_t, what an image is compared with in a step: its input with noise "fresh" in each step or "shared" by
      all, or the "clean" input.
    assumed_bound: perturbation that the scale of GDMP is tuned to, in units of 0..255.
    max_pull: share of the distance to the reference that a step may undo at most.
    literal_sign: whether guidance pushes away from the reference, as printed (Eq. 25).
    threshold: rho, from the images before training, which are taken for normal: their "minimum" similarity, a
      "quantile", or that of a "normal" distribution fitted to them.
    share: share of normal images that "quantile" and "normal" let be flagged.
    flagged: what becomes of a detected image: "purify" keeps it like all others, purified; "refuse" keeps the item's
      last one that was not detected.

  Returns:
    A defence of images; chain it with an aggregation rule. Requires a diffusion model.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 5,
    Algorithm 4; Wang et al., "Guided Diffusion Model for Adversarial Purification", 2022.
  """
  return _purifying(
    "gdmpd", guidance=guidance, guidance_weight=guidance_weight, reduction=reduction, reference=reference,
    assumed_bound=assumed_bound, max_pull=max_pull, literal_sign=literal_sign, start=start, respacing=respacing,
    threshold=threshold, share=share, flagged=flagged,
  )


@DEFENSES.register
@traced
def gdmpd_unguided(
  *,
  start: int = PUBLISHED_START,
  respacing: int = 250,
  threshold: Threshold = "minimum",
  share: float = 0.01,
  flagged: Flagged = "purify",
) -> Defense:
  """GDMPD(-guidance): the server purifies all images by diffusion alone, and detects adversarial ones.

  Args:
    start: depth of diffusion in steps of 1000.
    respacing: steps that the way back is spread over, of the whole 1000.
    threshold: rho, from the images before training: their "minimum" similarity, a "quantile", or a "normal" fit's.
    share: share of normal images that "quantile" and "normal" let be flagged.
    flagged: what becomes of a detected image: "purify" keeps it like all others, purified; "refuse" keeps the item's
      last one that was not detected.

  Returns:
    A defence of images; chain it with an aggregation rule. Requires a diffusion model.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 6.6.
  """
  return _purifying(
    "gdmpd_unguided", guidance="none", guidance_weight=PUBLISHED_WEIGHT, reduction="mean", reference="fresh",
    assumed_bound=4.0, max_pull=1.0, literal_sign=False, start=start, respacing=respacing, threshold=threshold,
    share=share, flagged=flagged,
  )
