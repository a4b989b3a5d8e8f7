"""Tests of VGG-16: a narrow network against the oracle."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.datasets.errors import DataError
from fedrecjax.vision.extractors import Vgg16, vgg16, vgg16_from_state
from tests.oracles import convolution
from tests.vision.extractors.states import TINY_HIDDEN, TINY_WIDTHS, vgg_state


def tiny(state, *, size=32, features="fc7"):
  return vgg16_from_state(state, where="tiny", module=Vgg16(TINY_WIDTHS, TINY_HIDDEN, size, features))


def pixels(count, size):
  return np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [32, 64])
def test_features_are_those_of_the_oracle(size):
  """At 64 pixels four places are left, whose order and that of the channels matter to the first dense layer."""
  state, images = vgg_state(size), pixels(1, size)
  dense, means = convolution.vgg16(images[0], state)
  for features, expected in (("fc7", dense), ("conv5", means)):
    extractor = tiny(state, size=size, features=features)
    found = extractor.apply(extractor.parameters, images)
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-4)
    assert extractor.num_features == found.shape[1] and extractor.name == f"vgg16_{features}"
    assert expected.max() > 0.01


def test_parameters_that_are_not_used_are_not_kept():
  assert {"fc6", "fc7"} <= set(tiny(vgg_state(32)).parameters)
  assert not {"fc6", "fc7"} & set(tiny(vgg_state(32), features="conv5").parameters)


def test_the_layer_of_classes_may_be_missing():
  state = {name: array for name, array in vgg_state(32).items() if "classifier.6" not in name}
  assert tiny(state).num_features == TINY_HIDDEN


def test_pixels_of_another_size_have_a_gradient():
  extractor = tiny(vgg_state(32), features="conv5")
  images = pixels(1, 40)
  gradient = jax.grad(lambda images: jnp.sum(extractor.apply(extractor.parameters, images)))(images)
  assert gradient.shape == images.shape and float(jnp.abs(gradient).max()) > 0


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"features.28.bias": None}, r"tiny: features.28.bias is missing, expected \[6\]"),
    ({"features.1.weight": np.zeros(3)}, "tiny: features.1.weight is unknown"),
    ({"classifier.0.weight": np.zeros((8, 24))}, r"classifier.0.weight has shape \[8, 24\], expected \[8, 6\]"),
    ({"classifier.6.weight": np.zeros((10, 9))}, r"classifier.6.weight has shape \[10, 9\], expected \[-1, 8\]"),
  ],
)
def test_wrong_arrays_are_refused(change, message):
  state = {name: array for name, array in (vgg_state(32) | change).items() if array is not None}
  with pytest.raises(ValueError, match=message):
    tiny(state)


def test_wrong_sizes_and_names_are_refused(tmp_path):
  with pytest.raises(ValueError, match="size must be a multiple of 32, got 40"):
    tiny(vgg_state(32), size=40)
  with pytest.raises(ValueError, match="features must be one of fc7 conv5, got 'fc8'"):
    vgg16(tmp_path / "any.pth", features="fc8")
  with pytest.raises(DataError, match=r"absent.pth: no such file"):
    vgg16(tmp_path / "absent.pth")


def test_published_widths():
  """The shapes of the published network, counted without its numbers: 138 million and the layer of classes' 4."""
  module = Vgg16()
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3))))["params"]
  assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)) == 138_357_544 - 4096 * 1000 - 1000
