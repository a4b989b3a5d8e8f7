"""Purification against the oracle with a toy network, two steps by hand, and what guidance does and must not do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from fedrecjax.vision import purification
from fedrecjax.vision.diffusion import Schedule, linear_schedule, respaced
from fedrecjax.vision.purification import pull_limits, purify, purify_all, steps_back, straight_through
from tests.oracles import purification as oracle
from tests.support.traces import no_new_trace

compiled = functools.partial(jax.jit, static_argnames=("guidance", "reduction", "reference", "literal_sign", "rounded"))
jitted_purify = compiled(purify)

SIZE = (3, 4, 3)
FULL = linear_schedule()
SHORT = respaced(FULL, 50)
MIXING = np.array([[0.6, -0.2, 0.1], [0.1, 0.5, -0.3], [-0.2, 0.3, 0.4]])
GAIN = np.array([[0.5, 0.1, 0.0], [-0.3, 0.2, 0.4], [0.0, -0.5, 0.3]])


def toy(parameters, images, timesteps):
  """A linear map of each pixel, which the step shifts; the variance's coefficients stay within their range."""
  mixing, gain = parameters
  shift = 0.3 * jnp.sin(timesteps / 50.0)[:, None, None, None]
  return jnp.concatenate([images @ mixing + shift, jnp.tanh(images @ gain + shift)], axis=-1)


def plain_toy(image, step):
  """The same for one image, in NumPy."""
  shift = 0.3 * np.sin(step / 50)
  return image @ MIXING + shift, np.tanh(image @ GAIN + shift)


NETWORK = Partial(toy, (jnp.asarray(MIXING, jnp.float32), jnp.asarray(GAIN, jnp.float32)))


def random_images(count=3, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (count, *SIZE)).astype(np.uint8)


def noise_of(key, number, schedule, reference):
  """The noise that `purify` draws for an image: of its counterparts, and of the way back, by step from 1."""
  of_reference, of_way = jax.random.split(jax.random.fold_in(key, number))
  drawn = ({}, {})
  for index, timestep in enumerate(np.asarray(schedule.timestep).tolist()):
    own = index if reference == "fresh" else 0
    drawn[0][timestep + 1] = np.asarray(jax.random.normal(jax.random.fold_in(of_reference, own), SIZE), float)
    drawn[1][timestep + 1] = np.asarray(jax.random.normal(jax.random.fold_in(of_way, index), SIZE), float)
  return drawn


DEFAULTS = {
  "start": 177, "guidance": "gdmp", "guidance_weight": 1000.0, "reduction": "mean", "reference": "fresh",
  "assumed_bound": 4.0, "max_pull": 1.0, "literal_sign": False,
}


def purified(images, key, **options):
  """Always three images, not rounded: few programs serve all tests."""
  assert len(images) == 3
  options = {"ids": jnp.arange(3), "rounded": False, **DEFAULTS, **options}
  return jitted_purify(NETWORK, SHORT, jnp.asarray(images, jnp.float32), key, **options)


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"start": 178, "guidance_weight": 0.5},
    {"start": 300, "reference": "shared", "guidance_weight": 0.2, "assumed_bound": 16.0},
    {"start": 300, "reference": "clean", "guidance": "constant", "guidance_weight": 30.0},
    {"start": 300, "guidance": "constant", "reduction": "sum", "guidance_weight": 2.0, "max_pull": 0.25},
    {"start": 100, "guidance": "constant", "literal_sign": True, "guidance_weight": 40.0},
    {"start": 1000, "guidance": "none"},
    {"start": 1},
    {"start": 0},
  ],
)
def test_images_are_the_oracles(changes):
  options = DEFAULTS | changes
  images, key, ids = random_images(), jax.random.key(3), (5, 11, 0)
  found = purified(images, key, ids=jnp.array(ids), **changes)
  expected_options = options | {"weight": options["guidance_weight"]}
  del expected_options["guidance_weight"]
  kept = (np.asarray(SHORT.timestep) + 1).tolist()
  for place, number in enumerate(ids):
    of_reference, of_way = noise_of(key, number, SHORT, options["reference"])
    expected, capped = oracle.purified(
      images[place].astype(float), np.linspace(1e-4, 0.02, 1000).tolist(), kept, plain_toy,
      diffusion_noise=of_reference, reverse_noise=of_way, **expected_options,
    )
    np.testing.assert_allclose(found.images[place], expected, atol=5e-3)
    assert int(found.capped[place]) == capped


def test_two_steps_of_one_pixel_by_hand(monkeypatch):
  # 1 - beta is 0.64 and 0.5625: 0.8 and 0.6 of the image are left, with noise of 0.6 and 0.8.
  schedule = Schedule(
    betas=np.float32([0.36, 0.4375]), alphas_cumprod=np.float32([0.64, 0.36]),
    alphas_cumprod_previous=np.float32([1, 0.64]), posterior_variance=np.float32([0, 0.4375 * 0.36 / 0.64]),
    posterior_log_variance=np.log(np.float32([0.4375 * 0.36 / 0.64] * 2)), timestep=np.int32([0, 1]),
    noise_variance=np.float32([0.36, 0.64]),
  )
  monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: jnp.full(shape, 0.5, dtype))

  def denoiser(images, timesteps):
    """Sees no noise; the variance is beta."""
    return jnp.concatenate([jnp.zeros_like(images), jnp.ones_like(images)], axis=-1)

  jitted = compiled(functools.partial(purify, denoiser, schedule))

  def of_pixel(**options):
    image = jnp.full((1, 1, 1, 3), 191.25)  # 0.5 on [-1, 1]
    return jitted(
      image, jax.random.key(0), start=2, guidance="constant", guidance_weight=1.0, rounded=False,
      **options,
    ).images[0, 0, 0, 0]

  # Noised: 0.6 * 0.5 + 0.8 * 0.5 = 0.7, the reference too. Predicted clean image: 0.7 / 0.6, clipped to 1.
  # Mean: 0.4375 * 0.8 / 0.64 * 1 + 0.36 * 0.75 / 0.64 * 0.7.
  first = 0.546875 + 0.421875 * 0.7 + 0.4375**0.5 * 0.5
  assert first == pytest.approx(1.1729064)
  # Last step: the mean is the predicted clean image, 1.17 / 0.8 clipped to 1; the reference is 0.8 * 0.5 + 0.6 * 0.5.
  # The pull is 2 * 0.36 / 3, or without the 3 for a sum; no noise.
  assert of_pixel() == pytest.approx((2 - 0.24 * (first - 0.7)) * 127.5, rel=1e-6)
  assert of_pixel(reduction="sum") == pytest.approx((2 - 0.72 * (first - 0.7)) * 127.5, rel=1e-6)
  assert of_pixel(reduction="sum", max_pull=0.5) == pytest.approx((2 - 0.5 * (first - 0.7)) * 127.5, rel=1e-6)
  assert of_pixel(literal_sign=True) == 255
  # The clean reference: 0.5, already in the first step, where the pull is 2 * 0.4375 / 3.
  first -= 2 * 0.4375 / 3 * (0.7 - 0.5)
  assert of_pixel(reference="clean") == pytest.approx((2 - 0.24 * (first - 0.5)) * 127.5, rel=1e-6)


def distances(**options):
  """Mean squared distance of purified images from their inputs."""
  images = random_images()
  found = purified(images, jax.random.key(1), start=300, **options)
  return np.mean(np.square(np.asarray(found.images) - images), axis=(1, 2, 3))


@pytest.mark.parametrize(
  ("reference", "guidance", "weight"), [("fresh", "gdmp", 2.0), ("shared", "gdmp", 2.0), ("clean", "constant", 60.0)]
)
def test_guidance_pulls_towards_the_image(reference, guidance, weight):
  options = {"reference": reference, "guidance": guidance}
  weak, strong = (distances(**options, guidance_weight=share * weight) for share in (0.3, 1.0))
  assert (strong < weak).all() and (weak < distances(**options, guidance_weight=0.0)).all()


def test_the_printed_sign_pushes_away():
  options = {"guidance": "constant", "literal_sign": True}
  assert (distances(**options, guidance_weight=60.0) > distances(**options, guidance_weight=0.0)).all()


def test_guidance_without_weight_is_none():
  images, key = random_images(), jax.random.key(2)
  expected = purified(images, key, guidance="none").images
  for options in ({"guidance": "gdmp"}, {"guidance": "constant", "reduction": "sum"}):
    found = purified(images, key, guidance_weight=0.0, **options)
    np.testing.assert_allclose(found.images, expected, atol=1e-3)
    np.testing.assert_array_equal(found.capped, 0)


def test_no_step_leaves_images_as_they_are():
  images = random_images() / np.float32(3)
  np.testing.assert_array_equal(purified(images, jax.random.key(0), start=0).images, images)


def test_pulls_that_are_too_strong_are_held_and_counted():
  images, key = random_images(), jax.random.key(0)
  options = {"start": 300, "guidance": "constant", "reduction": "sum", "guidance_weight": 1000.0}
  held = purified(images, key, **options)
  assert (np.asarray(held.capped) >= int(steps_back(SHORT, 300)) - 2).all()
  # Held to 1, the last step moves the prediction by what the image lacks to its counterpart: far less than a range.
  assert np.abs(np.asarray(held.images) - images).mean() < 40
  free = purified(images, key, max_pull=jnp.inf, **options)
  np.testing.assert_array_equal(free.capped, 0)
  assert set(np.unique(free.images)) == {0.0, 255.0}


def test_limits_of_pulls_at_the_published_size():
  numbers = 3 * 256 * 256
  gdmp = np.asarray(pull_limits(FULL, numbers))
  # GDMP's scale with its published numbers, from its formula: at indices 44, 177, 499, 899 and 999.
  beta = np.linspace(1e-4, 0.02, 1000)
  left = np.cumprod(1 - beta)
  expected = 2 * beta / numbers * np.sqrt((1 - left) / left) * 3 * 1000 * 255 / 8
  np.testing.assert_allclose(gdmp, expected, rtol=1e-4)
  np.testing.assert_allclose(gdmp[[44, 177, 499, 899, 999]], [1.5e-4, 2.2e-3, 3.3e-2, 1.06, 3.06], rtol=0.02)
  assert (gdmp > 2).sum() == 39
  constant = np.asarray(pull_limits(FULL, numbers, guidance="constant"))
  np.testing.assert_allclose(constant[[0, -1]], [2e3 * 1e-4 / numbers, 2e3 * 0.02 / numbers], rtol=1e-5)
  summed = np.asarray(pull_limits(FULL, numbers, guidance="constant", reduction="sum"))
  np.testing.assert_allclose(summed, constant * numbers, rtol=1e-5)
  assert not np.asarray(pull_limits(FULL, numbers, guidance="none")).any()


@pytest.mark.parametrize(
  ("start", "steps"), [(0, 0), (1, 1), (4, 1), (5, 2), (177, 44), (178, 45), (999, 249), (1000, 250)]
)
def test_start_counts_steps_of_the_original_schedule(start, steps):
  # The respaced steps are the originals of index 0, 4, 8, ..., 173, 177, ..., 995, 999.
  assert int(steps_back(respaced(FULL, 250), start)) == steps
  assert int(steps_back(FULL, start)) == start


def test_images_do_not_depend_on_their_batch():
  images, present, key = random_images(7), np.ones(7, bool), jax.random.key(9)
  found = purify_all(NETWORK, SHORT, images, present, key, batch=3, guidance_weight=50.0)
  # Another size of batch is another program, which may round the last bit otherwise.
  whole = purify_all(NETWORK, SHORT, images, present, key, batch=7, guidance_weight=50.0)
  assert np.abs(found.images.astype(int) - whole.images).max() <= 1
  assert (found.images != whole.images).mean() < 0.01
  # Other company, the same image; and images 1 and 2 are in other places of their batches.
  changed = images.copy()
  changed[[3, 5]] = 7
  present[0] = False
  other = purify_all(NETWORK, SHORT, changed, present, key, batch=3, guidance_weight=50.0)
  np.testing.assert_array_equal(other.images[[1, 2, 4, 6]], found.images[[1, 2, 4, 6]])
  assert (other.images[3] != found.images[3]).any()


def test_items_without_an_image_are_left_alone_and_change_nothing_for_others():
  images, key = random_images(5), jax.random.key(9)
  present = np.array([True, False, True, False, True])
  whole = purify_all(NETWORK, SHORT, images, np.ones(5, bool), key, batch=3)
  found = purify_all(NETWORK, SHORT, images, present, key, batch=3)
  assert found.images.dtype == np.uint8
  np.testing.assert_array_equal(found.images[~present], images[~present])
  np.testing.assert_array_equal(found.images[present], whole.images[present])
  assert (found.images[present] != images[present]).any(axis=(1, 2, 3)).all()
  nothing = purify_all(NETWORK, SHORT, images, np.zeros(5, bool), key, batch=3)
  np.testing.assert_array_equal(nothing.images, images)


def test_equal_images_of_different_items_get_different_noise():
  images = np.repeat(random_images(1), 2, axis=0)
  found = purify_all(NETWORK, SHORT, images, np.ones(2, bool), jax.random.key(0), batch=3, start=900)
  assert (found.images[0] != found.images[1]).any()


def test_numbers_and_parameters_do_not_recompile():
  images, present, key = random_images(2), np.ones(2, bool), jax.random.key(0)
  before = purify_all(NETWORK, SHORT, images, present, key, batch=3)
  other = Partial(toy, (NETWORK.args[0][0] * 2, NETWORK.args[0][1]))
  with no_new_trace(purification._purify_batch):
    for denoiser, options in (
      (NETWORK, {"start": 90}), (NETWORK, {"guidance_weight": 3.0, "max_pull": 0.5, "assumed_bound": 8.0}), (other, {})
    ):
      after = purify_all(denoiser, SHORT, images, present, key, batch=3, **options)
      assert (after.images != before.images).any()


def test_straight_through_has_the_values_of_the_purifier_and_the_derivative_of_nothing():
  images, key = jnp.asarray(random_images(), jnp.float32), jax.random.key(0)
  weights = jnp.asarray(np.random.default_rng(0).normal(size=images.shape), jnp.float32)

  def transform(images):
    return purified(images, key, start=60).images

  through = straight_through(transform)
  np.testing.assert_array_equal(through(images), transform(images))
  gradient = jax.jit(jax.grad(lambda images: jnp.sum(weights * through(images))))(images)
  np.testing.assert_array_equal(gradient, weights)
  # What follows the purifier is differentiated at the purified image.
  gradient = jax.grad(lambda images: jnp.sum(through(images) ** 2))(images)
  np.testing.assert_allclose(gradient, 2 * transform(images))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"guidance": "strong"}, "guidance must be one of"),
    ({"reduction": "max"}, "reduction must be one of"),
    ({"reference": "chain"}, "reference must be one of"),
    ({"start": -1}, "start must not be negative"),
    ({"guidance_weight": -1.0}, "guidance_weight must not be negative"),
    ({"assumed_bound": 0.0}, "assumed_bound must be positive"),
    ({"max_pull": 0.0}, "max_pull must be positive"),
  ],
)
def test_bad_arguments_are_refused(options, message):
  images = random_images(1)
  with pytest.raises(ValueError, match=message):
    purify(NETWORK, SHORT, jnp.asarray(images), jax.random.key(0), **options)


def test_bad_image_sets_are_refused():
  images, present, key = random_images(2), np.ones(2, bool), jax.random.key(0)
  for bad, message in (
    (lambda: purify(NETWORK, SHORT, images[0], key), r"must be \[B, H, W, 3\]"),
    (lambda: purify_all(NETWORK, SHORT, images / 255, present, key, batch=3), "must be uint8"),
    (lambda: purify_all(NETWORK, SHORT, images, present[:1], key, batch=3), r"must be bool \[2\]"),
    (lambda: purify_all(NETWORK, SHORT, images, present * 1, key, batch=3), r"must be bool \[2\]"),
    (lambda: purify_all(NETWORK, SHORT, images, present, key, batch=0), "batch must be positive"),
    (lambda: purify_all(NETWORK, SHORT, images, present, key, batch=3, start=-1), "start must not be negative"),
    (lambda: purify_all(NETWORK, SHORT, images, present, key, batch=3, max_pull=0), "max_pull must be positive"),
  ):
    with pytest.raises(ValueError, match=message):
      bad()
