"""Purification by a network of the diffusion model's kind, rather than by a formula."""

import jax
import numpy as np

from fedrecjax.vision import UNetConfig, denoiser_of, init_ddpm, linear_schedule, purify_all, respaced

CONFIG = UNetConfig(width=32, channel_mult=(1,), attention_levels=())


def test_all_images_are_purified_by_the_network():
  params = init_ddpm(CONFIG, jax.random.key(0)).average
  # Output layers start as zeros, and would predict no noise whatever the image.
  params = jax.tree.map(lambda leaf: leaf + 0.01 * jax.random.normal(jax.random.key(1), leaf.shape), params)
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
  present = np.array([True, False, True])
  schedule = respaced(linear_schedule(), 20)
  arguments = (schedule, images, present, jax.random.key(2))
  found = purify_all(denoiser_of(CONFIG, params), *arguments, batch=2)
  assert found.images.dtype == np.uint8 and found.images.shape == images.shape
  assert (found.images[1] == images[1]).all() and found.capped[1] == 0
  assert (found.images[[0, 2]] != images[[0, 2]]).mean() > 0.5
  again = purify_all(denoiser_of(CONFIG, params), *arguments, batch=2)
  assert (again.images == found.images).all()
  # The reference pulls back towards what was uploaded; from a hundredth of the depth little is lost.
  shallow = purify_all(denoiser_of(CONFIG, params), *arguments, batch=2, start=1)
  far, near = (np.abs(one.images.astype(int) - images)[[0, 2]].mean() for one in (found, shallow))
  assert near < far
