"""Images and diffusion where `jax_enable_x64` is set: the same numbers, in 32 bits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.datasets.covers import covers
from fedrecjax.vision import brisque
from fedrecjax.vision.ddpm import init_ddpm, train_ddpm
from fedrecjax.vision.diffusion import linear_schedule, respaced, sample
from fedrecjax.vision.extractors import SmallCnn, features_of, train_small_cnn
from fedrecjax.vision.perturbation import perturb
from fedrecjax.vision.purification import purify, purify_all
from fedrecjax.vision.unet import UNet, UNetConfig
from tests.support.small_images import DENOISER, extract, random_images
from tests.support.wide_numbers import wide_leaves, wide_numbers
from tests.vision.extractors.states import vgg_state
from tests.vision.extractors.test_efficientnet_lite import tiny as tiny_efficientnet
from tests.vision.extractors.test_vgg import tiny as tiny_vgg

SCHEDULE = respaced(linear_schedule(), 20)
CONFIG = UNetConfig(width=32, channel_mult=(1,), num_res_blocks=1, attention_levels=(0,), dropout=0.1)


@pytest.fixture(scope="module")
def drawn():
  return covers(np.random.default_rng(0).normal(size=(8, 4)), size=16)


def purified(drawn):
  return purify_all(DENOISER, SCHEDULE, random_images(3), np.array([True, False, True]), jax.random.key(1), batch=2)


def sampled(drawn):
  return sample(DENOISER, SCHEDULE, jax.random.key(1), (2, 4, 4, 3))


def perturbed(drawn):
  def loss(pixels):
    return jnp.sum(extract(pixels[None]) ** 2)

  return perturb(loss, jnp.asarray(random_images(1)[0]), jax.random.key(2), random_start=True, steps=3)


def trained_diffusion(drawn):
  pixels = random_images(4)
  state, losses = train_ddpm(
    init_ddpm(CONFIG, jax.random.key(8)), pixels, np.ones(4, bool), SCHEDULE, config=CONFIG, num_steps=2, batch_size=2
  )
  return state.params, state.average, losses


def trained_features(drawn):
  trained = train_small_cnn(drawn, steps=2, batch=4, widths=(4, 6), size=16)
  return trained.losses, features_of(trained.extractor, drawn, batch=4)


def published_features(drawn):
  images = np.asarray(drawn.pixels[:1], np.float32)
  return [one.apply(one.parameters, images) for one in (tiny_efficientnet(size=16), tiny_vgg(vgg_state(32), size=32))]


def quality(drawn):
  return np.nan_to_num(brisque.features(drawn.pixels[:2])).astype(np.float32)


PARTS = (purified, sampled, perturbed, trained_diffusion, trained_features, published_features, quality)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_results_are_those_without_it(drawn, part):
  without = jax.tree.map(np.asarray, part(drawn))
  with jax.enable_x64(True):
    within = jax.tree.map(np.asarray, part(drawn))
  assert not wide_leaves(within)
  jax.tree.map(np.testing.assert_array_equal, within, without)


def test_no_network_computes_in_64_bits():
  with jax.enable_x64(True):
    images, steps = jnp.zeros((2, 8, 8, 3), jnp.float32), jnp.zeros(2, jnp.int32)
    for module, arguments in ((UNet(CONFIG), (images, steps)), (SmallCnn((4, 6), 8), (images,))):
      variables = jax.eval_shape(module.init, jax.random.key(0), *arguments)
      assert not wide_leaves(variables)
      assert not wide_numbers(module.apply, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables),
                              *arguments)
    assert not wide_numbers(functools.partial(purify, DENOISER, SCHEDULE), images, jax.random.key(0))
