"""Tests of features of whole sets of images, and of standardizing them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.datasets.image_set import ItemImages, placed
from fedrecjax.vision.extractors import FeatureExtractor, features_of, standardized


def means(parameters, images):
  """Weighted means of red, green and blue."""
  return images.mean(axis=(1, 2)) @ parameters["weights"]


def extractor(weights=None):
  weights = jnp.asarray(np.eye(3) if weights is None else weights, jnp.float32)
  return FeatureExtractor({"weights": weights}, means, weights.shape[1], "means")


def images(count=7, num_items=9):
  pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
  return placed(pixels, np.arange(count) + 1, num_items=num_items, name="toy", origin="")


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_features_of_all_items(batch):
  found = features_of(extractor(), images(), batch=batch)
  np.testing.assert_allclose(found, images().pixels.mean(axis=(1, 2)), rtol=1e-6)
  assert found.dtype == jnp.float32 and not found[0].any() and not found[8].any()


def test_all_batches_share_one_program():
  calls = []

  def counted(parameters, batch):
    calls.append(batch.shape)
    return means(parameters, batch)

  one = extractor()._replace(apply=counted)
  features_of(one, images(), batch=3)
  features_of(one._replace(parameters={"weights": 2 * jnp.eye(3)}), images(), batch=3)
  assert calls == [(3, 4, 4, 3)]


def test_standardized_by_hand():
  """Grey of 10 and 30 and none: features 10, 30 in all three colors have mean 20 and root mean square 10."""
  pixels = np.zeros((3, 2, 2, 3), np.uint8)
  pixels[0], pixels[2] = 10, 30
  grey = ItemImages(pixels, np.array([True, False, True]), "grey")
  found = features_of(standardized(extractor(), grey), grey)
  np.testing.assert_allclose(found, [[-1, -1, -1], [0, 0, 0], [1, 1, 1]], atol=1e-6)


def test_standardizing_is_frozen_and_differentiable():
  """Other images are measured by the first ones; the gradient is that of the inner extractor over the scale."""
  inner = extractor(np.random.default_rng(2).normal(size=(3, 5)))
  outer = standardized(inner, images())
  features = np.asarray(features_of(inner, images()))[1:8]
  found = np.asarray(features_of(outer, images()))[1:8]
  np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
  assert np.mean(found**2) == pytest.approx(1, rel=1e-5)
  scale = float(outer.parameters["scale"])
  np.testing.assert_allclose(found[0] - found[1], (features[0] - features[1]) / scale, rtol=1e-4)
  one = jnp.asarray(images().pixels[1:2], jnp.float32)

  def slopes(extractor):
    return jax.grad(lambda image: extractor.apply(extractor.parameters, image)[0, 2])(one)

  np.testing.assert_allclose(slopes(outer) * scale, slopes(inner), rtol=1e-5)
  assert (outer.num_features, outer.name) == (5, "means")


def test_features_without_scale_or_number_are_refused():
  with pytest.raises(ValueError, match="means: all images of toy have the same features, which have no scale"):
    standardized(extractor(np.zeros((3, 2))), images())
  with pytest.raises(ValueError, match="means: features of item 1 of toy are not finite"):
    features_of(extractor(np.full((3, 2), np.nan)), images())
  with pytest.raises(ValueError, match="batch must be positive, got 0"):
    features_of(extractor(), images(), batch=0)
