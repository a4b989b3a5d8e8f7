"""Convolutions and their gradients, against sums over places and XLA's own."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fedrecjax.vision.convolution import convolution

LAYOUT = ("NHWC", "HWIO", "NHWC")
CASES = [
  # images [B, H, W, I], kernel [h, w, I, O], strides, padding
  ((2, 7, 7, 3), (3, 3, 3, 5), (1, 1), "SAME"),
  ((2, 8, 6, 3), (3, 3, 3, 5), (2, 2), "SAME"),
  ((2, 7, 7, 4), (3, 3, 4, 4), (2, 2), "SAME"),
  ((1, 9, 8, 3), (5, 4, 3, 2), (2, 1), [(1, 2), (0, 3)]),
  ((2, 6, 6, 3), (1, 1, 3, 3), (1, 1), "VALID"),
  ((2, 8, 8, 3), (3, 3, 3, 5), (2, 2), "VALID"),
  ((1, 8, 8, 2), (2, 2, 2, 3), (3, 3), "SAME"),
]


def by_places(images, kernel, strides, padding):
  """A convolution as a sum over the places of the kernel, in float64."""
  padded = np.pad(images.astype(np.float64), ((0, 0), *padding, (0, 0)))
  height, width = kernel.shape[:2]
  rows = (padded.shape[1] - height) // strides[0] + 1
  columns = (padded.shape[2] - width) // strides[1] + 1
  result = np.zeros((len(images), rows, columns, kernel.shape[3]))
  for row in range(rows):
    for column in range(columns):
      top, left = row * strides[0], column * strides[1]
      seen = padded[:, top : top + height, left : left + width]
      result[:, row, column] = np.einsum("bhwi,hwio->bo", seen, kernel.astype(np.float64))
  return result


def drawn(case):
  images, kernel, *_ = case
  random = np.random.default_rng(0)
  return [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in (images, kernel)]


def test_values_are_sums_over_places():
  images, kernel = drawn(CASES[3])
  ours = convolution(images, kernel, (2, 1), [(1, 2), (0, 3)])
  np.testing.assert_allclose(
    ours, by_places(np.asarray(images), np.asarray(kernel), (2, 1), [(1, 2), (0, 3)]), atol=1e-5
  )


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("looped", [False, True])
def test_values_and_gradients_are_those_of_xla(case, looped):
  _, _, strides, padding = case

  def slopes(function, images, kernel):
    def total(images, kernel):
      return jnp.sum(jnp.sin(function(images, kernel)))

    return jax.value_and_grad(total, argnums=(0, 1))(images, kernel)

  def ours(images, kernel):
    return convolution(images, kernel, strides, padding)

  def theirs(images, kernel):
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=LAYOUT)

  images, kernel = drawn(case)
  found = slopes(ours, images, kernel)
  if looped:
    found = lax.fori_loop(0, 1, lambda _, unused: slopes(ours, images, kernel), jax.tree.map(jnp.zeros_like, found))
  expected = slopes(theirs, images, kernel)
  chex.assert_trees_all_equal_shapes(found, expected)
  chex.assert_trees_all_close(found, expected, rtol=1e-7, atol=1e-4)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"rhs_dilation": (2, 2)}, r"rhs_dilation must be 1, got \(2, 2\)"),
    ({"lhs_dilation": (1, 2)}, r"lhs_dilation must be 1, got \(1, 2\)"),
    ({"precision": "high"}, "precision must be None, got high"),
    ({"feature_group_count": 2}, "feature_group_count must be 1, got 2"),
  ],
)
def test_what_is_not_supported_is_said(arguments, message):
  images, kernel = drawn(CASES[0])
  with pytest.raises(ValueError, match=message):
    convolution(images, kernel, (1, 1), "SAME", **arguments)
