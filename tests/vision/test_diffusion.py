"""Schedules, steps, sampling and the training loss against the oracle and against published values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.vision.diffusion import (
  from_pixels,
  linear_schedule,
  noised,
  posterior,
  respaced,
  sample,
  step_noise,
  to_pixels,
  training_loss,
  variational_term,
)
from tests.oracles import diffusion as oracle

STEPS = 12
SHAPE = (2, 3, 3)


@pytest.fixture
def random():
  return np.random.default_rng(5)


def pixels(random, shape=SHAPE):
  """Pixel values on [-1, 1], black and full ones among them."""
  values = random.integers(0, 256, shape)
  values.flat[:2] = 0, 255
  return values / 127.5 - 1


def float32(values):
  return jnp.asarray(values, jnp.float32)


@pytest.mark.parametrize(("steps", "count"), [(1000, None), (1000, 25), (40, None), (40, 7), (40, 2)])
def test_schedule_is_the_oracles(steps, count):
  schedule, betas = linear_schedule(steps), oracle.linear_betas(steps)
  timestep = list(range(steps))
  if count is not None:
    schedule, timestep = respaced(schedule, count), oracle.kept_indices(steps, count)
    betas = oracle.respaced_betas(betas, timestep)
  kept = [oracle.alpha_bar(betas, t) for t in range(len(betas) + 1)]
  variance = [oracle.posterior_variance(betas, t + 1) for t in range(len(betas))]
  expected = {
    "betas": betas,
    "alphas_cumprod": kept[1:],
    "alphas_cumprod_previous": kept[:-1],
    "posterior_variance": variance,
    "posterior_log_variance": np.log([variance[1], *variance[1:]]),
    "noise_variance": 1 - np.array(kept[1:]),
  }
  for field, numbers in expected.items():
    np.testing.assert_allclose(getattr(schedule, field), numbers, rtol=2e-6, err_msg=field)
    assert getattr(schedule, field).dtype == np.float32
  assert schedule.timestep.tolist() == timestep
  assert schedule.timestep.dtype == np.int32


def test_published_schedule():
  schedule = linear_schedule()
  assert schedule.betas[0] == np.float32(1e-4)  # not 0, as in the formula that GDMPD prints
  assert schedule.betas[-1] == np.float32(2e-2)
  assert schedule.alphas_cumprod[-1] == pytest.approx(4.0358e-5, rel=1e-4)
  assert schedule.posterior_log_variance[0] == pytest.approx(-9.8167, abs=5e-5)


@pytest.mark.parametrize(
  ("count", "first", "last", "beta"),
  [(250, [0, 4, 8], [995, 999], 0.0775193), (100, [0, 10, 20], [989, 999], 0.182180)],
)
def test_published_respacing(count, first, last, beta):
  schedule = respaced(linear_schedule(), count)
  assert schedule.timestep[: len(first)].tolist() == first
  assert schedule.timestep[-len(last) :].tolist() == last
  assert schedule.betas[-1] == pytest.approx(beta, rel=1e-5)


def test_published_respacing_of_250():
  schedule = respaced(linear_schedule(), 250)
  assert schedule.timestep[44] == 177
  assert schedule.posterior_log_variance[0] == pytest.approx(-9.36463, abs=5e-6)


def test_respacing_twice_keeps_original_timesteps():
  schedule = respaced(respaced(linear_schedule(100), 12), 4)
  assert schedule.timestep.tolist() == [oracle.kept_indices(100, 12)[place] for place in oracle.kept_indices(12, 4)]
  assert schedule.alphas_cumprod[-1] == pytest.approx(linear_schedule(100).alphas_cumprod[-1], rel=1e-5)


@pytest.mark.parametrize("arguments", [(1,), (0,), (10,)], ids=str)
def test_bad_schedules(arguments):
  with pytest.raises(ValueError, match=r"^(num_steps must be at least 2|last must lie between 0 and 0\.01)"):
    linear_schedule(*arguments)


@pytest.mark.parametrize("count", [1, 13])
def test_bad_respacing(count):
  with pytest.raises(ValueError, match=f"^count must be from 2 to the schedule's 12 steps, got {count}$"):
    respaced(linear_schedule(12, last=1e-3), count)


@pytest.mark.parametrize("index", [0, 1, 6, STEPS - 1])
def test_noised(random, index):
  schedule, betas = linear_schedule(STEPS, last=8e-3), oracle.linear_betas(STEPS, last=8e-3)
  clean, noise = pixels(random), random.normal(size=SHAPE)
  found = noised(schedule, float32(clean), jnp.int32(index), float32(noise))
  np.testing.assert_allclose(found, oracle.noised(betas, index + 1, clean, noise), atol=2e-6)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("index", [0, 1, 6, STEPS - 1])
def test_posterior(random, index, clip):
  schedule, betas = linear_schedule(STEPS, last=8e-3), oracle.linear_betas(STEPS, last=8e-3)
  output, noisy = random.normal(size=(*SHAPE[:2], 6)), 1.5 * random.normal(size=SHAPE)
  found = posterior(schedule, float32(output), float32(noisy), jnp.int32(index), clip=clip)
  expected = oracle.predicted(betas, index + 1, output, noisy, clip)
  for field, ours, theirs in zip(found._fields, found, expected, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=field)
  assert clip == bool(np.abs(found.clean).max() <= 1)


def test_posterior_by_hand():
  # Two steps with beta 1/4 and 1/2: alpha-bar 3/4 and 3/8, posterior variance 0 and 1/2 (1/4) / (5/8) = 1/5.
  two = linear_schedule(2, first=0.25 / 500, last=0.5 / 500)
  np.testing.assert_allclose(two.alphas_cumprod, [0.75, 0.375])
  np.testing.assert_allclose(two.posterior_variance, [0, 0.2], rtol=1e-6)
  # Noise 0 and v = 1: the clean image is x / sqrt(3/8), clipped; the variance is beta.
  output = jnp.array([0.0, 0, 0, 1, 1, 1])
  found = posterior(two, output, jnp.array([0.3, 0.0, -0.9]), jnp.int32(1))
  clean = [0.3 / 0.375**0.5, 0, -1]
  np.testing.assert_allclose(found.clean, clean, rtol=1e-6)
  # Mean: sqrt(3/4) (1/2) / (5/8) x0 + sqrt(1/2) (1/4) / (5/8) x = 0.69282 x0 + 0.28284 x.
  by_hand = [0.692820 * clean[0] + 0.282843 * 0.3, 0, -0.692820 - 0.282843 * 0.9]
  np.testing.assert_allclose(found.mean, by_hand, rtol=1e-5)
  np.testing.assert_allclose(found.log_variance, np.log([0.5] * 3), rtol=1e-6)


def test_last_step_back_adds_no_noise():
  mean, log_variance, noise = jnp.full(3, 0.5), jnp.full(3, np.log(0.04)), jnp.array([1.0, -2, 0])
  np.testing.assert_allclose(step_noise(mean, log_variance, jnp.int32(1), noise), [0.7, 0.1, 0.5], rtol=1e-6)
  np.testing.assert_array_equal(step_noise(mean, log_variance, jnp.int32(0), noise), mean)


def test_sampling_is_the_oracles():
  schedule = respaced(linear_schedule(20, last=1e-2), 6)
  shape = (3, 2, 2, 3)

  def denoise(library):
    def output(images, timesteps):
      timesteps = library.asarray(timesteps, dtype=library.float32).reshape(-1, 1, 1, 1)
      noise = 0.6 * images + 0.02 * timesteps
      return library.concatenate([noise, library.sin(3 * images)], axis=-1)

    return output

  key = jax.random.key(3)
  found = jax.jit(lambda key: sample(denoise(jnp), schedule, key, shape))(key)
  draws = [np.asarray(jax.random.normal(jax.random.fold_in(key, index), shape), np.float64) for index in range(7)]
  kept = oracle.kept_indices(20, 6)
  betas = oracle.respaced_betas(oracle.linear_betas(20, last=1e-2), kept)
  expected = oracle.sample(denoise(np), betas, kept, draws[:6], draws[6])
  np.testing.assert_allclose(found, expected, atol=2e-5)
  assert np.std(np.asarray(found)) > 0.1


def test_sampling_reaches_the_only_image():
  # A network that knows the data, a single image, predicts its noise exactly: sampling must end there.
  schedule = linear_schedule(50)
  image = from_pixels(np.array([[[10, 200, 90], [0, 255, 128]]], np.uint8))[None]

  def denoiser(images, timesteps):
    kept, variance = (numbers[timesteps][:, None, None, None] for numbers in (
      jnp.asarray(schedule.alphas_cumprod), jnp.asarray(schedule.noise_variance)))
    noise = (images - jnp.sqrt(kept) * image) / jnp.sqrt(variance)
    return jnp.concatenate([noise, -jnp.ones_like(noise)], axis=-1)

  found = sample(denoiser, schedule, jax.random.key(0), (4, 1, 2, 3))
  np.testing.assert_allclose(found, np.broadcast_to(image, found.shape), atol=1e-4)


def test_training_loss_is_the_oracles(random):
  schedule, betas = linear_schedule(STEPS, last=8e-3), oracle.linear_betas(STEPS, last=8e-3)
  index = np.array([0, 0, 1, 5, STEPS - 1])
  shape = (len(index), *SHAPE)
  clean, noise = pixels(random, shape), random.normal(size=shape)
  output = random.normal(size=(*shape[:-1], 6))
  output[0, ..., :3] = noise[0] + 0.1 * random.normal(size=SHAPE)  # near enough for a likelihood above the floor
  seen = []

  def denoiser(images, timesteps):
    seen.append((images, timesteps))
    return float32(output)

  found = training_loss(denoiser, schedule, float32(clean), jnp.asarray(index), float32(noise), variance_weight=0.02)
  for place, at in enumerate(index):
    expected = oracle.training_loss(betas, at + 1, output[place], clean[place], noise[place], 0.02)
    np.testing.assert_allclose(found.total[place], expected, rtol=2e-4)
    np.testing.assert_allclose(seen[0][0][place], oracle.noised(betas, at + 1, clean[place], noise[place]), atol=2e-6)
  assert seen[0][1].tolist() == index.tolist()


def test_network_is_told_original_timesteps(random):
  schedule = respaced(linear_schedule(40), 5)
  told = []

  def denoiser(images, timesteps):
    told.extend(timesteps.tolist())
    return jnp.zeros((*images.shape[:-1], 6))

  clean = float32(pixels(random, (5, *SHAPE)))
  training_loss(denoiser, schedule, clean, jnp.arange(5), jnp.zeros_like(clean))
  assert told == oracle.kept_indices(40, 5)


def test_perfect_prediction_costs_nothing(random):
  schedule = linear_schedule(40)
  clean, noise = float32(pixels(random)), float32(random.normal(size=SHAPE))
  noisy = noised(schedule, clean, jnp.int32(9), noise)
  exact = jnp.concatenate([noise, -jnp.ones(SHAPE)], axis=-1)
  assert float(variational_term(schedule, exact, clean, noisy, jnp.int32(9))) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("index", [0, 7])
def test_variational_term_trains_the_variance_only(random, index):
  schedule = linear_schedule(STEPS, last=8e-3)
  clean, noise = float32(pixels(random)), float32(random.normal(size=SHAPE))
  noisy = noised(schedule, clean, jnp.int32(index), noise)
  output = jnp.concatenate([noise + 0.05, jnp.zeros(SHAPE)], axis=-1)
  gradient = jax.grad(variational_term, argnums=1)(schedule, output, clean, noisy, jnp.int32(index))
  assert np.all(np.asarray(gradient[..., :3]) == 0)
  assert np.all(np.isfinite(gradient)) and np.abs(gradient[..., 3:]).max() > 1e-4


def test_pixels_survive_the_way_there_and_back():
  values = np.arange(256, dtype=np.uint8)
  there = from_pixels(values)
  assert (there[0], there[255]) == (-1, 1)
  np.testing.assert_array_equal(to_pixels(there), values)
  np.testing.assert_array_equal(to_pixels(jnp.array([-3.0, 1.2])), [0, 255])
