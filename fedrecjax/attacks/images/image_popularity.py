"""A picture made to look like those of popular items."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.attacks.images.changed_images import PixelOptions, changed_images, check_pixels
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Attack, AttackContext, ImageView


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePopularityOptions(PixelOptions):
  """Hyperparameters of :func:`image_popularity`.

  Attributes:
    num_popular: most popular items with a picture, no targets, whose mean features are approached; 1 is a single hook.
      The paper states neither their number nor the distance, which is the mean squared error here.
  """

  num_popular: int = 10


@ATTACKS.register
@traced
@keywords_of(ImagePopularityOptions)
def image_popularity(options: ImagePopularityOptions) -> Attack:
  """Popularity Attack: the targets' provider moves the features of their pictures towards those of popular items.

  Returns:
    An attack by images alone, without malicious clients or synthetic users. Requires `"popularity"`.

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 6.3;
    after Liu and Larson, "Adversarial Item Promotion: Vulnerabilities at the Core of Top-N Recommenders that Use Images
    to Address Cold Start", 2021.
  """
  num_popular = options.num_popular
  check_pixels("image_popularity", options)
  check(num_popular > 0, f"image_popularity.num_popular must be positive, got {num_popular}")

  def init(key: jax.Array, context: AttackContext) -> jax.Array:
    del key
    assert context.popularity is not None and context.has_image is not None
    allowed = np.setdiff1d(np.flatnonzero(context.has_image), context.targets)
    if len(allowed) < num_popular:
      raise ValueError(f"image_popularity.num_popular must be at most the {len(allowed)} items with a picture that are"
                       f" no targets, got {num_popular}")
    order = np.argsort(-context.popularity[allowed], kind="stable")
    return jnp.asarray(allowed[order[:num_popular]], jnp.int32)

  def images(state: jax.Array, view: ImageView, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    hook = jnp.mean(view.features[state], axis=0)
    return changed_images(options, view, lambda _, features: jnp.mean((features - hook) ** 2), key), state

  return Attack(init=init, images=images, requires=frozenset({"popularity"}) | options.requires)
