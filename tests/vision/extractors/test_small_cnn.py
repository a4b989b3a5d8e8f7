"""Tests of the small network, its training and its file."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.vision.extractors import (
  contrastive_loss,
  contrastive_training,
  features_of,
  load_small_cnn,
  save_small_cnn,
  small_cnn,
  standardized,
  train_small_cnn,
  views_of,
)
from tests.oracles import contrastive, convolution
from tests.support.traces import no_new_trace

WIDTHS, SIZE = (4, 6, 8), 16
TRAINING = {"steps": 40, "batch": 20, "learning_rate": 1e-2, "widths": WIDTHS, "size": SIZE}


@pytest.fixture(scope="module")
def images():
  """Sixty covers, the last two items without one."""
  drawn = covers(np.random.default_rng(0).normal(size=(62, 4)), size=16)
  pixels = drawn.pixels.copy()
  pixels[60:] = 0
  return ItemImages(pixels, np.arange(62) < 60, "covers")


def train(images, **options):
  return train_small_cnn(images, **(TRAINING | options))


@pytest.fixture(scope="module")
def trained(images):
  return train(images)


def test_features_are_those_of_the_oracle(images, trained):
  """The network of the docstring, layer by layer; the images have its size already."""
  parameters = trained.extractor.parameters
  image = (images.pixels[3].astype(float).transpose(2, 0, 1) - 127.5) / 64
  for layer in range(3):
    kernel, bias = (np.asarray(parameters[f"convolution_{layer}"][name], float) for name in ("kernel", "bias"))
    image = convolution.rectified(convolution.same(image, kernel.transpose(3, 2, 0, 1), 2) + bias[:, None, None])
  found = features_of(trained.extractor, images, batch=16)
  np.testing.assert_allclose(found[3], image.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
  assert found.shape == (62, 8) and not found[60:].any() and np.asarray(found[:60]).std(axis=0).max() > 0


def test_training_learns_to_tell_images_apart(trained):
  # Chance is log(39) = 3.66.
  assert trained.losses.shape == (40,) and trained.losses[-5:].mean() < trained.losses[0] - 0.5


def test_the_seed_decides(images, trained):
  again, other = train(images, steps=3), train(images, steps=3, seed=1)
  np.testing.assert_array_equal(again.losses, trained.losses[:3])
  assert not np.array_equal(other.losses, again.losses)


def test_numbers_do_not_recompile(images, trained):
  with no_new_trace(contrastive_training._step):
    train(images, steps=1, learning_rate=1e-4, temperature=0.5, seed=3)


def test_images_of_items_without_one_are_not_trained_on(images, trained):
  complete = ItemImages(images.pixels[:60], images.has_image[:60], "covers")
  np.testing.assert_array_equal(train(complete, steps=2).losses, trained.losses[:2])


def test_larger_images_have_a_gradient(trained):
  image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 24, 20, 3)), jnp.float32)
  extractor = trained.extractor
  gradient = jax.grad(lambda image: jnp.sum(extractor.apply(extractor.parameters, image)))(image)
  assert gradient.shape == image.shape and float(jnp.abs(gradient).max()) > 0


@pytest.mark.parametrize(("count", "dims", "temperature"), [(2, 3, 1.0), (5, 4, 0.1), (7, 1, 0.5)])
def test_the_loss_is_that_of_the_oracle(count, dims, temperature):
  random = np.random.default_rng(count)
  first, second = random.normal(size=(2, count, dims))
  found = contrastive_loss(jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32), temperature)
  assert float(found) == pytest.approx(contrastive.loss(first, second, temperature), rel=1e-4)


def test_the_loss_of_dead_features_has_a_gradient():
  gradient = jax.grad(lambda views: contrastive_loss(views, views, 0.5))(jnp.zeros((3, 4)))
  assert bool(jnp.isfinite(gradient).all())


def test_views_show_parts_of_their_image():
  """Of a picture that is red on the left and rises in green downwards, so is every view."""
  image = np.zeros((20, 20, 3), np.float32)
  image[:, :10, 0], image[..., 1] = 200, np.linspace(50, 150, 20)[:, None]
  views = np.asarray(views_of(jax.random.key(0), jnp.tile(image, (30, 1, 1, 1)), 8))
  assert views.shape == (30, 8, 8, 3) and views.min() >= 0 and views.max() <= 255
  assert np.all(views[:, :, 0, 0].mean(axis=1) > views[:, :, -1, 0].mean(axis=1) + 90)
  assert np.all(views[:, -2:, :, 1].mean(axis=(1, 2)) > views[:, :2, :, 1].mean(axis=(1, 2)) + 15)
  assert len(np.unique(views.reshape(30, -1), axis=0)) == 30


@pytest.mark.parametrize("scaled", [False, True])
def test_a_saved_network_comes_back(tmp_path, images, trained, scaled):
  extractor = standardized(trained.extractor, images) if scaled else trained.extractor
  save_small_cnn(extractor, tmp_path / "cnn.npz")
  found = load_small_cnn(tmp_path / "cnn.npz")
  assert found.apply == extractor.apply and found.num_features == 8 and found.name == extractor.name
  np.testing.assert_array_equal(features_of(found, images), features_of(extractor, images))
  assert [path.name for path in tmp_path.iterdir()] == ["cnn.npz"]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"parameters/convolution_1/bias": None}, r"parameters/convolution_1/bias is missing, expected \[6\]"),
    ({"parameters/convolution_1/kernel": np.zeros((3, 3, 5, 6), np.float32)}, r"expected \[3, 3, 4, 6\]"),
    ({"parameters/mean": np.zeros(8, np.float32)}, "parameters/mean is unknown"),
    ({"size": None}, r"size is missing, expected \[\]"),
    ({"size": np.array(16.0)}, "size is of type float64, expected int32"),
    ({"parameters/convolution_0/bias": np.zeros(4)}, "convolution_0/bias is of type float64, expected float32"),
  ],
)
def test_wrong_files_are_refused(tmp_path, trained, change, message):
  save_small_cnn(trained.extractor, tmp_path / "cnn.npz")
  arrays = dict(np.load(tmp_path / "cnn.npz")) | change
  np.savez(tmp_path / "cnn.npz", **{name: array for name, array in arrays.items() if array is not None})
  with pytest.raises(ValueError, match=message):
    load_small_cnn(tmp_path / "cnn.npz")


def test_other_files_and_networks_are_refused(tmp_path, images, trained):
  with pytest.raises(DataError, match=r"absent.npz: no such file"):
    load_small_cnn(tmp_path / "absent.npz")
  np.savez(tmp_path / "other.npz", image=np.zeros(3))
  with pytest.raises(ValueError, match="size is missing"):
    load_small_cnn(tmp_path / "other.npz")
  with pytest.raises(ValueError, match="means is no small network"):
    save_small_cnn(small_cnn(trained.extractor.parameters)._replace(apply=sum, name="means"), tmp_path / "x.npz")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"steps": 0}, "steps must be positive, got 0"),
    ({"learning_rate": -1.0}, "learning_rate must be positive, got -1.0"),
    ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
    ({"batch": 61}, "batch must be 2 to 60, the number of images, got 61"),
    ({"batch": 1}, "batch must be 2 to 60"),
  ],
)
def test_impossible_numbers_are_refused(images, options, message):
  with pytest.raises(ValueError, match=message):
    train(images, **options)


def test_training_that_diverges_says_so(images):
  with pytest.raises(ValueError, match="loss is not finite in step"):
    train(images, learning_rate=1e30, steps=4)
