"""The Popularity Attack against its oracle, whom it imitates, and what its pictures never do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.attacks import image_popularity
from tests.attacks.malicious_round import M, context_of, public_of
from tests.oracles import image_popularity as oracle
from tests.oracles import perturbation
from tests.support.small_images import BARE, F, plain_extract, plain_pull_back, provided, visuals_of

VISUALS = visuals_of(M)
FEATURES, IMAGES, HAS_IMAGE = VISUALS.features, VISUALS.images.pixels, VISUALS.images.has_image
# Ties, and most of all interactions with items that lack a picture or are promoted.
POPULARITY = np.array([9, 3, 7, 3, 90, 80, 7, 70, 1, 0, 3, 7, 2, 0])
MODEL = models.vncf(dim=3, hidden=(5,), num_features=F)
PIXELS = {"bound": 4.0, "steps": 5, "step_share": 0.3, "restart": True, "rounded": True, "adaptive": False}


def context(targets):
  return context_of(MODEL, targets, popularity=POPULARITY)._replace(has_image=HAS_IMAGE)


def blurred(images, key):
  """A purifier: a third of the range is left, and noise is added."""
  return 85 + images / 3 + jax.random.normal(key, images.shape)


def sent_by(attack, targets, *, features=FEATURES, **options):
  state = attack.init(jax.random.key(0), context(targets))
  sent, after = provided(
    attack, state, MODEL, public_of(MODEL, 1), features, targets, IMAGES[targets], key=jax.random.key(2), **options
  )
  np.testing.assert_array_equal(after, state)
  return np.asarray(sent)


@pytest.mark.parametrize(
  ("targets", "num_popular", "changes"),
  [
    ([5], 10, {}),
    ([5, 0, 3], 2, {"restart": False, "rounded": False, "bound": 2.6}),
    ([13, 5], 1, {"adaptive": True}),
    ([5, 0, 3, 13, 1, 2, 6, 8, 9, 10], 1, {}),  # more than are changed at a time
  ],
)
def test_images_are_the_oracles(targets, num_popular, changes):
  pixels = PIXELS | changes
  clean = IMAGES[targets].astype(float)
  current = clean + np.random.default_rng(0).uniform(-6, 6, clean.shape)
  attack = image_popularity(num_popular=num_popular, **pixels)
  sent = sent_by(attack, targets, current=current, purify=blurred if pixels["adaptive"] else None)
  popular = oracle.popular_items(POPULARITY, HAS_IMAGE, targets, num_popular)
  plain = oracle.image_slope(FEATURES.astype(float), popular, plain_extract, plain_pull_back)

  def slope(image):
    if pixels["adaptive"]:
      image = np.asarray(blurred(jnp.asarray(image[None], jnp.float32), jax.random.key(2))[0], float)
    return plain(image)

  for place, image in enumerate(clean):
    expected, value = perturbation.perturbed(
      image, slope, bound=pixels["bound"], steps=5, step_size=0.3 * pixels["bound"],
      start=np.zeros_like(image) if pixels["restart"] else current[place] - image, rounded=pixels["rounded"],
      keep="best",
    )
    np.testing.assert_allclose(sent[place], expected, atol=0 if pixels["rounded"] else 1e-4)
    assert value < slope(image)[0]


def test_popular_items_have_pictures_and_are_no_targets():
  targets = [5, 0]
  found = image_popularity(num_popular=5).init(jax.random.key(0), context(targets))
  assert found.tolist() == [2, 6, 11, 1, 3] == oracle.popular_items(POPULARITY, HAS_IMAGE, targets, 5)
  assert not set(found.tolist()) & {*BARE, *targets}


def test_a_single_hook_is_approached():
  attack = image_popularity(num_popular=1, bound=60.0)
  sent = sent_by(attack, [5])[0]
  hook = FEATURES[0]
  before, after = (np.linalg.norm(plain_extract(image.astype(float)) - hook) for image in (IMAGES[5], sent))
  assert after < before / 4


def test_features_are_those_that_the_server_has_now():
  attack = image_popularity(num_popular=1)
  moved = FEATURES.copy()
  moved[0] *= -1
  assert (sent_by(attack, [5]) != sent_by(attack, [5], features=moved)).any()
  others = FEATURES.copy()
  others[[1, 2, 5]] *= -1
  np.testing.assert_array_equal(sent_by(attack, [5]), sent_by(attack, [5], features=others))


def test_it_knows_popularity_and_has_no_clients():
  attack = image_popularity()
  assert attack.requires == {"popularity"} and attack.poison is None
  assert image_popularity(adaptive=True).requires == {"popularity", "image_defense"}


def test_too_few_items_with_a_picture():
  # 14 items, two of them without a picture and two targets.
  with pytest.raises(ValueError, match=r"image_popularity\.num_popular must be at most the 10 items with a picture"):
    image_popularity(num_popular=11).init(jax.random.key(0), context([5, 0]))
  found = image_popularity(num_popular=10).init(jax.random.key(0), context([5, 0]))
  assert sorted(found.tolist()) == sorted(set(range(M)) - {*BARE, 5, 0})


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("bound", -1.0, "must not be negative, got -1.0"),
    ("steps", -1, "must not be negative, got -1"),
    ("step_share", -0.5, "must not be negative"),
    ("num_popular", 0, "must be positive, got 0"),
  ],
)
def test_impossible_numbers_are_named(field, value, message):
  with pytest.raises(ValueError, match=f"^image_popularity.{field} {message}"):
    image_popularity(**{field: value})
