"""Checkpoints of guided diffusion: names, the published network's output, and files that do not fit.

Counts, digests and `golden/guided_diffusion_small.npz` were obtained by running openai/guided-diffusion (commit
22e0df8); only numbers are kept.
"""

import dataclasses
import hashlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fedrecjax.datasets import DataError
from fedrecjax.vision import unet
from fedrecjax.vision.guided_diffusion import convert, expected_tensors, inferred_structure, load_guided_diffusion
from fedrecjax.vision.unet import PUBLISHED_256, UNetConfig, denoiser_of
from tests.vision.networks import CLASSES, SINGLE, SMALL, TINY, filled, shapes_of
from tests.vision.torch_files import whole, zip_bytes

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "guided_diffusion_small.npz"
TOLERANCE = 2e-4


def write(path, tensors, kind="FloatStorage"):
  entries = {name: whole(values, kind, str(place)) for place, (name, values) in enumerate(tensors.items())}
  path.write_bytes(zip_bytes(entries))
  return path


def output_of(config, params):
  """Of the small network, on the images and at the timesteps of the golden output."""
  images = np.cos(0.013 * np.arange(2 * 3 * 32 * 32)).reshape(2, 3, 32, 32).transpose(0, 2, 3, 1)
  denoiser = jax.jit(lambda params, *given: denoiser_of(config, params)(*given))
  with jax.default_matmul_precision("highest"):
    return np.asarray(denoiser(params, jnp.asarray(images, jnp.float32), jnp.array([3, 977])))


@pytest.fixture(scope="module")
def golden():
  return np.load(GOLDEN)["output"]


@pytest.fixture(scope="module")
def small_params():
  return convert(filled(shapes_of(SMALL)), SMALL).params


@pytest.mark.parametrize(
  ("config", "count", "numbers", "digest"),
  [
    (SMALL, 216, 1_422_278, "e795bc4a6390048deb248d92d922c615cfdfcd460db66aaa133522207f4af7ab"),
    (PUBLISHED_256, 566, 552_814_086, "5ba9f3129c12d08fbb844955b39e3b2a48289a0d8a9274d66896866dba816978"),
  ],
  ids=["small", "256"],
)
def test_names_and_shapes_are_the_published(config, count, numbers, digest):
  shapes = shapes_of(config)
  listed = json.dumps([[name, list(shape)] for name, shape in shapes.items()])
  assert hashlib.sha256(listed.encode()).hexdigest() == digest
  assert expected_tensors(config) == shapes
  assert (len(shapes), sum(int(np.prod(shape)) for shape in shapes.values())) == (count, numbers)


def test_classes_add_one_tensor():
  config = dataclasses.replace(PUBLISHED_256, num_classes=1000)
  found = expected_tensors(config)
  assert found == shapes_of(config)
  assert set(found.items()) - set(shapes_of(PUBLISHED_256).items()) == {("label_emb.weight", (1000, 1024))}
  assert len(found) == 567


def test_published_output(tmp_path, golden):
  loaded = load_guided_diffusion(write(tmp_path / "small.pt", filled(shapes_of(SMALL))), SMALL)
  assert loaded.config == SMALL
  np.testing.assert_allclose(output_of(*loaded), golden, atol=TOLERANCE)


def sines_first(timesteps, width):
  cosines, sines = jnp.split(timestep_embedding(timesteps, width), 2, axis=-1)
  return jnp.concatenate([sines, cosines], axis=-1)


timestep_embedding = unet.timestep_embedding


class ResampledLate(unet.ResidualBlock):
  """Resamples after the first convolution."""

  @nn.compact
  def __call__(self, signal, embedding, train):
    inner = unet.same_size(self.channels, "in_layers_2")(nn.silu(unet.normalize("in_layers_0")(signal)))
    inner, signal = unet.resampled(inner, self.resample), unet.resampled(signal, self.resample)
    change = nn.Dense(2 * self.channels, name="emb_layers_1")(nn.silu(embedding))
    inner = nn.silu(unet.modulated(unet.normalize("out_layers_0")(inner), change))
    inner = unet.same_size(self.channels, "out_layers_3")(inner)
    if signal.shape[-1] != self.channels:
      signal = nn.Conv(self.channels, (1, 1), name="skip_connection")(signal)
    return signal + inner


def shift_first(signal, embedding):
  shift, scale = jnp.split(embedding[:, None, None], 2, axis=-1)
  return signal * (1 + scale) + shift


MUTANTS = {
  "sines first": ("timestep_embedding", sines_first),
  "flax's epsilon": ("normalize", lambda name: nn.GroupNorm(32, epsilon=1e-6, use_fast_variance=False, name=name)),
  "shift before scale": ("modulated", shift_first),
  "skipped before signal": ("joined", lambda signal, skipped: jnp.concatenate([skipped, signal], axis=-1)),
  "resampled after convolution": ("ResidualBlock", ResampledLate),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_golden_output_tells_readings_apart(monkeypatch, golden, small_params, mutant):
  monkeypatch.setattr(unet, *MUTANTS[mutant])
  assert np.abs(output_of(SMALL, small_params) - golden).max() > 5 * TOLERANCE


def test_golden_output_tells_attention_orders_apart(golden, small_params):
  other = dataclasses.replace(SMALL, new_attention_order=True)
  assert np.abs(output_of(other, small_params) - golden).max() > 1


@pytest.mark.parametrize(
  "config",
  [
    SMALL, TINY, CLASSES, SINGLE, PUBLISHED_256,
    UNetConfig(width=64, channel_mult=(2, 1, 3), num_res_blocks=3, attention_levels=(0, 2), head_width=64),
  ],
  ids=["small", "tiny", "classes", "single", "256", "odd"],
)
def test_structure_is_seen_in_the_file(config):
  for field, value in inferred_structure(shapes_of(config)).items():
    assert value == getattr(config, field), field


def test_file_with_classes_is_loaded_where_none_are_expected(tmp_path):
  path = write(tmp_path / "classes.pt", filled(shapes_of(CLASSES)))
  loaded = load_guided_diffusion(path, dataclasses.replace(CLASSES, num_classes=None))
  assert loaded.config == CLASSES
  assert loaded.params["label_emb"]["embedding"].shape == (5, 128)
  with pytest.raises(ValueError, match=r"^labels must be given"):
    denoiser_of(*loaded)
  path = write(tmp_path / "none.pt", filled(shapes_of(TINY)))
  assert load_guided_diffusion(path, dataclasses.replace(TINY, num_classes=7)).config == TINY


def test_half_precision(tmp_path):
  tensors = {name: values.astype(np.float16) for name, values in filled(shapes_of(TINY)).items()}
  params = load_guided_diffusion(write(tmp_path / "half.pt", tensors, "HalfStorage"), TINY).params
  kernel = params["input_blocks_0_0"]["kernel"]
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  np.testing.assert_array_equal(kernel, tensors["input_blocks.0.0.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"width": 64, "channel_mult": (1, 1)}, "has width 32, 64 is expected"),
    ({"channel_mult": (1, 3)}, "has channel_mult (1, 2), (1, 3) is expected"),
    ({"num_res_blocks": 2}, "has num_res_blocks 1, 2 is expected"),
    ({"attention_levels": (1,)}, "has attention_levels (0,), (1,) is expected"),
  ],
  ids=str,
)
def test_other_structure(tmp_path, changes, message):
  path = write(tmp_path / "tiny.pt", filled(shapes_of(TINY)))
  with pytest.raises(DataError) as caught:
    load_guided_diffusion(path, dataclasses.replace(TINY, **changes))
  assert str(caught.value) == f"{path}: {message}"


def without(tensors, *names):
  return {name: values for name, values in tensors.items() if name not in names}


def changed(tensors, **shapes):
  return tensors | {name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda given: without(given, "out.0.bias"), "missing: out.0.bias"),
    (lambda given: changed(given, extra=(1,), more__bias=(2,)), "unexpected: extra, more.bias"),
    (lambda given: changed(given, out__0__bias=(31,)), "of another shape: out.0.bias [31] for [32]"),
    (
      lambda given: changed(without(given, "middle_block.0.in_layers.2.weight", "middle_block.1.norm.bias"), n=(3,)),
      "missing: middle_block.0.in_layers.2.weight, middle_block.1.norm.bias; unexpected: n",
    ),
    (
      lambda given: {name: values for name, values in given.items() if ".emb_layers." not in name},
      "missing: input_blocks.1.0.emb_layers.1.bias, input_blocks.1.0.emb_layers.1.weight, "
      "input_blocks.2.0.emb_layers.1.bias and 17 more",
    ),
    (
      lambda given: given | {"out.0.bias": given["out.0.bias"].astype(np.int32)},
      "not of floating numbers: out.0.bias",
    ),
    (
      lambda given: changed(given, out__2__weight=(3, 32, 3, 3)),
      "has 3 output channels, 6 are expected: noise and learned variance",
    ),
    (
      lambda given: changed(given, input_blocks__2__0__op__weight=(32, 32, 3, 3)),
      "resamples outside of residual blocks; networks with resblock_updown are read",
    ),
    (
      lambda given: without(given, "input_blocks.0.0.weight"),
      "no network of guided diffusion: input_blocks.0.0.weight is missing or no convolution",
    ),
    (
      lambda given: without(given, "input_blocks.3.0.out_layers.3.weight"),
      "no network of guided diffusion: 3 blocks on the way down, 2 levels",
    ),
    (
      lambda given: changed(given, input_blocks__0__0__weight=(0, 3, 3, 3)),
      "no network of guided diffusion: channels [32, 64] are no multiples of 0",
    ),
    (
      lambda given: changed(given, input_blocks__3__0__out_layers__3__weight=()),
      "no network of guided diffusion: channels [32, 0] are no multiples of 32",
    ),
    (lambda given: {}, "no network of guided diffusion: input_blocks.0.0.weight is missing or no convolution"),
  ],
)
def test_tensors_that_do_not_fit(change, message):
  with pytest.raises(DataError) as caught:
    convert(change(filled(shapes_of(TINY))), TINY)
  assert set(str(caught.value).split("; ")) == set(message.split("; "))
