"""Points and densities of uploads, against NumPy's decomposition of the whole."""

import numpy as np
import pytest

from fedrecjax.analysis import kernel_density, principal_components, upload_products


def uploads(seed, count=9, items=6, dim=3):
  """Rows as entries in any order, and the same as vectors with zeros."""
  random = np.random.default_rng(seed)
  dense = random.normal(size=(count, items, dim)) * (random.random((count, items, 1)) < 0.5)
  owner, item = np.nonzero(dense.any(axis=2))
  order = random.permutation(len(owner))
  return owner[order], item[order], dense[owner, item][order], dense.reshape(count, -1)


@pytest.mark.parametrize("seed", range(3))
def test_products_and_components(seed):
  owner, item, row, dense = uploads(seed)
  products = upload_products(owner, item, row, len(dense))
  np.testing.assert_allclose(products, dense @ dense.T, atol=1e-12)
  points, shares = principal_components(products)
  centered = dense - dense.mean(axis=0)
  left, lengths, _ = np.linalg.svd(centered, full_matrices=False)
  np.testing.assert_allclose(np.abs(points), np.abs(left[:, :2] * lengths[:2]), atol=1e-9)
  np.testing.assert_allclose(shares, lengths[:2] ** 2 / (lengths**2).sum())
  assert (points[np.argmax(np.abs(points), axis=0), [0, 1]] > 0).all()


def test_uploads_that_are_all_the_same_lie_in_one_point():
  points, shares = principal_components(np.ones((4, 4)))
  np.testing.assert_allclose(points, 0, atol=1e-7)
  assert shares.tolist() == [0, 0]


def test_a_density_has_area_one_and_stands_over_its_values():
  values = np.random.default_rng(0).normal(3.0, 2.0, 4000)
  at = np.linspace(-12, 18, 3001)
  density = kernel_density(values, at)
  assert density.sum() * (at[1] - at[0]) == pytest.approx(1.0, abs=1e-3)
  expected = np.exp(-((at - 3) ** 2) / 8) / np.sqrt(8 * np.pi)
  assert np.abs(density - expected).max() < 0.015
