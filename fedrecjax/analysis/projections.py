"""Uploads of many numbers as points of a plane, and the density of one number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]


def upload_products(owner: IntArray, item: IntArray, row: FloatArray, count: int) -> FloatArray:
  """Inner products of whole uploads, in which items without a row count as zero.

  Args:
    owner: upload that each row belongs to, 0 to count - 1 `[E]`.
    item: of each row; an upload has one row of an item `[E]`.
    row: `[E, d]`.
    count: uploads n.

  Returns:
    float64 `[n, n]`.
  """
  products = np.zeros((count, count))
  order = np.argsort(item, kind="stable")
  for places in np.split(order, np.flatnonzero(np.diff(item[order])) + 1):
    rows = np.asarray(row[places], np.float64)
    products[np.ix_(owner[places], owner[places])] += rows @ rows.T
  return products


def principal_components(products: FloatArray, *, count: int = 2) -> tuple[FloatArray, FloatArray]:
  """Where vectors lie along the directions in which they vary most.

  Args:
    products: their inner products `[n, n]`.
    count: directions.

  Returns:
    Coordinates `[n, count]`, largest variance first, and the share of the variance that each direction has `[count]`.
    The largest coordinate of a direction is positive.

  >>> points, shares = principal_components(np.outer([0.0, 1, 5], [0.0, 1, 5]), count=1)
  >>> points[:, 0].round(6).tolist(), shares.round(6).tolist()
  ([-2.0, -1.0, 3.0], [1.0])
  """
  centered = products - products.mean(axis=0) - products.mean(axis=1)[:, None] + products.mean()
  values, directions = np.linalg.eigh(centered)
  variances = np.maximum(values[::-1][:count], 0.0)
  points = directions[:, ::-1][:, :count] * np.sqrt(variances)
  extreme = points[np.argmax(np.abs(points), axis=0), np.arange(points.shape[1])]
  total = float(np.trace(centered))
  return points * np.where(extreme < 0, -1.0, 1.0), variances / total if total > 0 else variances


def kernel_density(values: FloatArray, at: FloatArray) -> FloatArray:
  """The density of values by Gaussian kernels, of Silverman's width for normal ones.

  Args:
    values: two or more, not all the same `[n]`.
    at: where it is wanted `[m]`.

  Returns:
    `[m]`.
  """
  width = 1.06 * np.std(values, ddof=1) * len(values) ** -0.2
  distance = (np.asarray(at)[:, None] - np.asarray(values)[None]) / width
  return np.exp(-0.5 * distance**2).mean(axis=1) / (width * np.sqrt(2 * np.pi))
