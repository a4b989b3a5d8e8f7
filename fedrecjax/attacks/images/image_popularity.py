"""A picture made to look like those of popular items."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.attacks.images.changed_images import PixelSettings, changed_images, check_pixels
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, ImageView


@ATTACKS.register
@traced
def image_popularity(
  *,
  bound: float = 4.0,
  steps: int = 20,
  step_share: float = 0.25,
  restart: bool = True,
  rounded: bool = True,
  adaptive: bool = False,
  num_popular: int = 10,
) -> Attack:
  """Popularity Attack: the targets' provider moves the features of their pictures towards those of popular items.

  Args:
    bound: largest change of a pixel value, epsilon, in units of 0..255; the paper states no norm.
    steps: steps along the signs of the gradient; the paper states no solver.
    step_share: size of a step as a share of the bound.
    restart: whether each epoch starts from the clean picture; else from the last one uploaded.
    rounded: whether pixel values are whole numbers.
    adaptive: whether the provider knows the server's defense of images and takes its derivative for 1.
    num_popular: most popular items with a picture, no targets, whose mean features are approached; 1 is a single hook.
      The paper states neither their number nor the distance, which is the mean squared error here.

  Returns:
    An attack by images alone, without malicious clients or synthetic users. Requires `"popularity"`.

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 6.3;
    after Liu and Larson, "Adversarial Item Promotion: Vulnerabilities at the Core of Top-N Recommenders that Use Images
    to Address Cold Start", 2021.
  """
  pixels = PixelSettings(bound, steps, step_share, restart, rounded, adaptive)
  check_pixels("image_popularity", pixels)
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
    return changed_images(pixels, view, lambda _, features: jnp.mean((features - hook) ** 2), key), state

  needed = {"popularity"} | ({"image_defense"} if adaptive else set())
  return Attack(init=init, images=images, requires=frozenset(needed))
