"""Projected gradient descent on pixels against the oracle, by hand, and what it must never do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.vision.perturbation import perturb
from tests.oracles import perturbation as oracle

SHAPE = (3, 4, 3)


def random_image(seed=0):
  """All brightnesses, the two ends among them."""
  image = np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8)
  image[0, 0], image[0, 1] = 0, 255
  return image


def curved(seed=0):
  """A loss with a minimum inside the bound for some values and outside for others, and its gradient."""
  random = np.random.default_rng(seed)
  linear, square = random.normal(size=SHAPE), random.uniform(0.0, 0.5, SHAPE)
  centre = random_image() + random.normal(size=SHAPE) * 3
  linear[1, 1] = square[1, 1] = 0  # a pixel that does not matter

  def slope(pixels):
    away = pixels - centre
    return float(np.sum(linear * pixels + square * away**2 / 2)), linear + square * away

  def loss(pixels):
    away = pixels - centre
    return jnp.sum(linear * pixels + square * away**2 / 2)

  return loss, slope


@pytest.mark.parametrize(
  "options",
  [
    {"bound": 4.0, "steps": 20, "step_size": 1.0, "rounded": True, "keep": "best"},
    {"bound": 2.6, "steps": 7, "step_size": 0.7, "rounded": True, "keep": "best"},
    {"bound": 2.6, "steps": 7, "step_size": 0.7, "rounded": True, "keep": "last"},
    {"bound": 3.3, "steps": 6, "step_size": 0.9, "rounded": False, "keep": "best"},
    {"bound": 3.3, "steps": 6, "step_size": 5.0, "rounded": False, "keep": "last"},
    {"bound": 4.0, "steps": 0, "step_size": 1.0, "rounded": True, "keep": "best"},
    {"bound": 0.0, "steps": 3, "step_size": 1.0, "rounded": True, "keep": "best"},
  ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_images_are_the_oracles(options, warm):
  image = random_image()
  loss, slope = curved()
  start = np.random.default_rng(5).normal(size=SHAPE) * 3 if warm else None
  found = perturb(loss, jnp.asarray(image), start=None if start is None else jnp.asarray(start), **options)
  expected, value = oracle.perturbed(
    image.astype(float), slope, start=np.zeros(SHAPE) if start is None else start, **options
  )
  np.testing.assert_allclose(found.image, expected, atol=1e-4)
  np.testing.assert_allclose(found.delta, expected - image, atol=1e-4)
  assert float(found.loss) == pytest.approx(value, rel=1e-5)


def test_two_steps_by_hand():
  image = jnp.array([[[10, 0, 254]]], jnp.uint8)
  weights = jnp.array([[[1.0, 2.0, -3.0]]])

  def loss(pixels):
    return jnp.sum(weights * pixels)

  # Down from 10 by 1.5 twice; 0 cannot fall; 254 rises to 255. Then 7 + 0 - 765.
  found = perturb(loss, image, bound=4.0, steps=2, step_size=1.5)
  assert found.image.tolist() == [[[7.0, 0.0, 255.0]]]
  assert found.delta.tolist() == [[[-3.0, 0.0, 1.0]]]
  assert float(found.loss) == -758
  # 10 - 2.5 would round to 8 (to even), but no further than the bound of 1.5 allows: 9.
  assert perturb(loss, image, bound=1.5, steps=2, step_size=1.25).image.tolist() == [[[9.0, 0.0, 255.0]]]


@pytest.mark.parametrize("bound", [0.0, 0.4, 1.0, 3.7, 32.0])
@pytest.mark.parametrize("rounded", [True, False])
def test_never_leaves_the_bound(bound, rounded):
  image = random_image(3)
  key = jax.random.key(0)
  found = perturb(
    lambda pixels: jnp.sum(jnp.sin(pixels)), jnp.asarray(image), key, bound=bound, steps=9, step_size=11.0,
    random_start=True, rounded=rounded, keep="last",
  )
  assert np.abs(np.asarray(found.image) - image).max() <= bound + 1e-5
  assert found.image.min() >= 0 and found.image.max() <= 255
  if rounded:
    np.testing.assert_array_equal(found.image, np.round(found.image))
    np.testing.assert_array_equal(np.asarray(found.image).astype(np.uint8), image + np.asarray(found.delta))


def test_a_linear_loss_reaches_the_corner():
  image = random_image(4)
  weights = np.random.default_rng(0).normal(size=SHAPE)
  found = perturb(lambda pixels: jnp.sum(weights * pixels), jnp.asarray(image), bound=4.0)
  np.testing.assert_array_equal(found.image, np.clip(image - 4 * np.sign(weights), 0, 255))


def test_values_without_derivative_stay():
  image = random_image()
  found = perturb(lambda pixels: jnp.sum(pixels[..., 0]), jnp.asarray(image))
  np.testing.assert_array_equal(found.delta[..., 1:], 0)
  assert (np.asarray(found.delta)[..., 0] < 0).any()


def test_the_best_is_never_worse_than_the_start_or_the_last():
  image = jnp.asarray(random_image(6))

  def bumpy(pixels):
    return jnp.sum(jnp.cos(pixels * 1.3))

  best = perturb(bumpy, image, steps=9, step_size=3.0)
  last = perturb(bumpy, image, steps=9, step_size=3.0, keep="last")
  assert float(best.loss) <= float(bumpy(image.astype(jnp.float32)))
  assert float(best.loss) < float(last.loss)
  for found in (best, last):
    assert float(bumpy(found.image)) == pytest.approx(float(found.loss), rel=1e-5)


def test_the_earliest_of_equally_good_images_is_kept():
  image = jnp.full((1, 1, 3), 10, jnp.uint8)
  # 10 and 13 are equally far from 11.5.
  found = perturb(lambda pixels: jnp.sum(jnp.abs(pixels - 11.5)), image, steps=3, step_size=3.0)
  np.testing.assert_array_equal(found.image, 10)


def test_a_warm_start_goes_on_where_the_last_one_stopped():
  image = jnp.asarray(random_image(7))
  loss, _ = curved()
  options = {"bound": 6.0, "step_size": 1.0, "keep": "last"}
  once = perturb(loss, image, steps=4, **options)
  twice = perturb(loss, image, steps=2, start=perturb(loss, image, steps=2, **options).delta, **options)
  np.testing.assert_array_equal(once.image, twice.image)


def test_images_are_attacked_one_by_one_under_vmap():
  images = jnp.stack([jnp.asarray(random_image(seed)) for seed in range(3)])
  goals = jnp.stack([jnp.full(SHAPE, value) for value in (0.0, 100.0, 250.0)])

  def attack(image, goal, bound):
    return perturb(lambda pixels: jnp.sum(jnp.abs(pixels - goal)), image, bound=bound, steps=5)

  bounds = jnp.array([1.0, 4.0, 8.0])
  together = jax.jit(jax.vmap(attack))(images, goals, bounds)
  for place in range(3):
    alone = attack(images[place], goals[place], float(bounds[place]))
    np.testing.assert_array_equal(together.image[place], alone.image)


def test_an_undefined_loss_is_reported():
  assert np.isnan(perturb(lambda pixels: jnp.sum(jnp.log(-pixels)), jnp.asarray(random_image())).loss)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"bound": -1.0}, "bound must not be negative"),
    ({"steps": -1}, "steps must not be negative"),
    ({"step_size": -1.0}, "step_size must not be negative"),
    ({"keep": "first"}, "keep must be"),
    ({"random_start": True}, "random_start needs a key"),
    ({"random_start": True, "key": jax.random.PRNGKey(0), "start": jnp.zeros(SHAPE)}, "and no start"),
  ],
)
def test_bad_arguments_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    perturb(jnp.sum, jnp.asarray(random_image()), **options)


def test_a_floating_image_cannot_be_rounded():
  with pytest.raises(ValueError, match="integer type"):
    perturb(jnp.sum, jnp.zeros(SHAPE))
