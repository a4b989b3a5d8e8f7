"""GDMPD: every uploaded image is purified by a diffusion model, and judged by how much that changes its features."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Defense, ImageDefenseView
from fedrecjax.vision.diffusion import PUBLISHED_STEPS, linear_schedule, respaced
from fedrecjax.vision.image_detection import minimum_threshold, normal_threshold, quantile_threshold
from fedrecjax.vision.purification import (
  PUBLISHED_START,
  PUBLISHED_WEIGHT,
  Reduction,
  Reference,
  purify,
)

Threshold = Literal["minimum", "quantile", "normal"]
Flagged = Literal["purify", "refuse"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionOptions:
  """How deep images are drowned in noise.

  Attributes:
    start: depth of diffusion in steps of 1000; the paper's text starts at 1000, where nothing of the image is left.
    respacing: steps that the way back is spread over, of the whole 1000 (GDMP: 250, 45 of which lie within its depth).
  """

  start: int = PUBLISHED_START
  respacing: int = 250


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidanceOptions:
  """How the image itself guides the way back.

  Attributes:
    guidance: scale of the guidance: "constant" as printed (Eq. 26), "gdmp" as in the published code of GDMP.
    guidance_weight: lambda, which the paper sets to 1000.
    reduction: of the squared error that guides: its "mean" over the numbers of an image, or their "sum".
    reference: x_t, what an image is compared with in a step: its input with noise "fresh" in each step or "shared" by
      all, or the "clean" input.
    assumed_bound: perturbation that the scale of GDMP is tuned to, in units of 0..255.
    max_pull: share of the distance to the reference that a step may undo at most.
    literal_sign: whether guidance pushes away from the reference, as printed (Eq. 25).
  """

  guidance: Literal["gdmp", "constant"] = "gdmp"
  guidance_weight: float = PUBLISHED_WEIGHT
  reduction: Reduction = "mean"
  reference: Reference = "fresh"
  assumed_bound: float = 4.0
  max_pull: float = 1.0
  literal_sign: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionOptions:
  """Which images are taken for adversarial, and what becomes of them.

  Attributes:
    threshold: rho, from the images before training, which are taken for normal: their "minimum" similarity, a
      "quantile", or that of a "normal" distribution fitted to them.
    share: share of normal images that "quantile" and "normal" let be flagged.
    flagged: what becomes of a detected image: "purify" keeps it like all others, purified; "refuse" keeps the item's
      last one that was not detected.
  """

  threshold: Threshold = "minimum"
  share: float = 0.01
  flagged: Flagged = "purify"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnguidedOptions(DetectionOptions, DiffusionOptions):
  """Hyperparameters of :func:`gdmpd_unguided`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidedOptions(DetectionOptions, GuidanceOptions, DiffusionOptions):
  """Hyperparameters of :func:`gdmpd`."""


def _purifying(owner: str, options: UnguidedOptions | GuidedOptions) -> Defense:
  by = options if isinstance(options, GuidedOptions) else GuidanceOptions()
  start, respacing, share = options.start, options.respacing, options.share
  check(0 <= start <= PUBLISHED_STEPS, f"{owner}.start must be 0 to {PUBLISHED_STEPS}, got {start}")
  check(2 <= respacing <= PUBLISHED_STEPS, f"{owner}.respacing must be 2 to {PUBLISHED_STEPS}, got {respacing}")
  check((share > 0) & (share < 1), f"{owner}.share must lie in (0, 1), got {share}")
  for name in ("guidance_weight", "assumed_bound", "max_pull"):
    check(getattr(by, name) > 0, f"{owner}.{name} must be positive, got {getattr(by, name)}")
  schedule = respaced(linear_schedule(PUBLISHED_STEPS), respacing)

  def images(images: jax.Array, items: jax.Array, view: ImageDefenseView, key: jax.Array) -> jax.Array:
    return jnp.asarray(
      purify(
        view.denoiser, schedule, images, key, ids=items, start=start, guidance=by.guidance if by is options else "none",
        guidance_weight=by.guidance_weight, reduction=by.reduction, reference=by.reference,
        assumed_bound=by.assumed_bound, max_pull=by.max_pull, literal_sign=by.literal_sign,
      ).images
    )

  def rho(normal: np.ndarray) -> float:
    if options.threshold == "minimum":
      return minimum_threshold(normal)
    return (quantile_threshold if options.threshold == "quantile" else normal_threshold)(normal, float(share))

  return Defense(
    images=images, threshold=rho, refuses=options.flagged == "refuse", requires=frozenset({"denoiser"}),
    adds_shared=True,
  )


@DEFENSES.register
@traced
@keywords_of(GuidedOptions)
def gdmpd(options: GuidedOptions) -> Defense:
  """GDMPD: the server purifies all images by diffusion, guided by the image itself, and detects adversarial ones.

  Returns:
    A defence of images; chain it with an aggregation rule. Requires a diffusion model.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 5,
    Algorithm 4; Wang et al., "Guided Diffusion Model for Adversarial Purification", 2022.
  """
  return _purifying("gdmpd", options)


@DEFENSES.register
@traced
@keywords_of(UnguidedOptions)
def gdmpd_unguided(options: UnguidedOptions) -> Defense:
  """GDMPD(-guidance): the server purifies all images by diffusion alone, and detects adversarial ones.

  Returns:
    A defence of images; chain it with an aggregation rule. Requires a diffusion model.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 6.6.
  """
  return _purifying("gdmpd_unguided", options)
