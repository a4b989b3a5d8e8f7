"""The network against the oracle, and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.vision.diffusion import linear_schedule, sample
from fedrecjax.vision.guided_diffusion import convert
from fedrecjax.vision.unet import PUBLISHED_256, UNet, UNetConfig, denoiser_of, split_heads, timestep_embedding
from tests.oracles import unet as oracle
from tests.vision.networks import CLASSES, SINGLE, TINY, filled, plan_of, shapes_of


@pytest.mark.parametrize("config", [TINY, CLASSES, SINGLE], ids=["tiny", "classes", "single"])
def test_network_is_the_oracles(config):
  random = np.random.default_rng(2)
  tensors = filled(shapes_of(config))
  tensors = {name: values + 0.02 * random.normal(size=values.shape) for name, values in tensors.items()}
  images = random.normal(size=(2, 8, 4, 3))
  timesteps, labels = np.array([0.5, 731.0]), np.array([4, 1])
  given = None if config.num_classes is None else jnp.asarray(labels)
  with jax.default_matmul_precision("highest"):
    denoiser = denoiser_of(config, convert(tensors, config).params, given)
    found = jax.jit(denoiser)(jnp.asarray(images, jnp.float32), jnp.asarray(timesteps))
  for place in range(2):
    expected = oracle.forward(
      tensors, plan_of(config), images[place].transpose(2, 0, 1), timesteps[place], head_width=config.head_width,
      new_order=config.new_attention_order, label=None if given is None else int(labels[place]),
    )
    np.testing.assert_allclose(np.asarray(found[place]).transpose(2, 0, 1), expected, atol=2e-4)
    assert np.std(expected) > 0.1


def test_timestep_embedding_by_hand():
  expected = [0.540302, 0.995004, 0.999950, 1.0, 0.841471, 0.099833, 0.0099998, 0.0009999998]
  np.testing.assert_allclose(timestep_embedding(jnp.array([1]), 8)[0], expected, atol=1e-6)


def test_heads_by_hand():
  channels = jnp.arange(12)[None, None]
  heads_first = [part[0, 0].tolist() for part in split_heads(channels, 2, new_order=False)]
  assert heads_first == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
  heads_last = [part[0, 0].tolist() for part in split_heads(channels, 2, new_order=True)]
  assert heads_last == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]


def test_published_structure():
  shapes = jax.eval_shape(UNet(PUBLISHED_256).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1))
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 552_814_086


def test_fresh_network_predicts_nothing_and_learns():
  network = UNet(SINGLE)
  images, timesteps = jax.random.normal(jax.random.key(1), (2, 4, 4, 3)), jnp.array([3, 40])
  params = jax.jit(network.init)(jax.random.key(0), images, timesteps)["params"]

  @jax.jit
  @jax.value_and_grad
  def error(params):
    return jnp.mean(jnp.square(network.apply({"params": params}, images, timesteps) - 1))

  before, gradient = error(params)
  assert before == 1
  after, _ = error(jax.tree.map(lambda values, slope: values - 0.1 * slope, params, gradient))
  assert after < 0.9


def test_default_network_samples():
  config = dataclasses.replace(UNetConfig(), channel_mult=(1, 1), attention_levels=())
  params = jax.jit(UNet(config).init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))["params"]
  schedule = linear_schedule(4, first=1e-4, last=3e-3)
  run = jax.jit(lambda params, schedule, key: sample(denoiser_of(config, params), schedule, key, (2, 8, 8, 3)))
  images = run(params, schedule, jax.random.key(5))
  assert images.shape == (2, 8, 8, 3)
  assert np.abs(images).max() <= 1 and np.std(np.asarray(images)) > 0.05
  np.testing.assert_array_equal(images, run(params, schedule, jax.random.key(5)))


def test_dropout_only_while_training():
  config = dataclasses.replace(SINGLE, dropout=0.5)
  params = convert(filled(shapes_of(SINGLE)), config).params
  images, timesteps = jax.random.normal(jax.random.key(1), (1, 4, 4, 3)), jnp.array([3])

  @functools.partial(jax.jit, static_argnums=0)
  def output(train, key):
    streams = {"dropout": jax.random.key(key)} if train else None
    return UNet(config).apply({"params": params}, images, timesteps, None, train, rngs=streams)

  np.testing.assert_array_equal(output(False, 0), output(False, 1))
  assert np.abs(output(True, 0) - output(False, 0)).max() > 1e-2
  assert np.abs(output(True, 0) - output(True, 1)).max() > 1e-2


def test_other_parameters_are_the_same_program():
  programs = [jax.tree.structure(denoiser_of(dataclasses.replace(TINY), {"a": number})) for number in (1.0, 2.0)]
  assert programs[0] == programs[1]
  assert hash(programs[0]) == hash(programs[1])
  assert programs[0] != jax.tree.structure(denoiser_of(SINGLE, {"a": 1.0}))


def refused(call):
  """What an error says; what JAX appends to it is left out."""
  with pytest.raises(ValueError) as caught:
    call()
  return str(caught.value)


def test_sizes_that_cannot_be_halved():
  message = refused(lambda: UNet(TINY).init(jax.random.key(0), jnp.zeros((1, 8, 5, 3)), jnp.zeros(1)))
  assert message == "height and width must be multiples of 2, got (8, 5)"


def test_labels_missing_or_superfluous():
  expected = "labels must be given for a network of classes, and for no other"
  for config, labels in ((CLASSES, None), (TINY, jnp.array([0]))):
    assert refused(lambda: denoiser_of(config, {}, labels)) == expected
    network, images = UNet(config), jnp.zeros((1, 8, 8, 3))
    assert refused(lambda: network.init(jax.random.key(0), images, jnp.zeros(1), labels)) == expected


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"width": 48}, "width must be a multiple of 32, got 48"),
    ({"width": 0}, "width must be a multiple of 32, got 0"),
    ({"channel_mult": ()}, r"channel_mult must be positive multiples, at least one, got \(\)"),
    ({"channel_mult": (1, 0)}, r"channel_mult must be positive multiples, at least one, got \(1, 0\)"),
    ({"num_res_blocks": 0}, "num_res_blocks must be positive, got 0"),
    ({"attention_levels": (3,)}, r"attention_levels must be among the levels 0 to 2, got \(3,\)"),
    ({"head_width": 24}, "head_width must divide the 64 channels of level 2, got 24"),
    ({"head_width": 0}, "head_width must divide the 64 channels of level 2, got 0"),
    ({"num_classes": 0}, "num_classes must be positive, got 0"),
    ({"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1\.0"),
  ],
  ids=str,
)
def test_bad_structures(changes, message):
  with pytest.raises(ValueError, match=f"^{message}$"):
    UNetConfig(**changes)
