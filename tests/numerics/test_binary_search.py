"""Searching parts of a sorted array, against a plain count."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.numerics.binary_search import count_up_to

PARTS = [[], [5], [2, 2, 2], [0, 1, 2, 3, 4, 5, 6], [1, 9, 30], [], [7] * 8, [3, 4]]
VALUES = np.concatenate([np.array(part, np.int32) for part in PARTS])
ENDS = np.cumsum([len(part) for part in PARTS])


# 8 is the longest part exactly, 1000 a bound that none comes near.
@pytest.mark.parametrize("longest", [8, 1000])
def test_every_part_and_bound(longest):
  bounds = np.arange(-1, 33)
  part, bound = (grid.reshape(-1) for grid in np.meshgrid(np.arange(len(PARTS)), bounds))
  length = np.array([len(one) for one in PARTS])
  start = ENDS - length
  found = count_up_to(
    *map(jnp.asarray, (VALUES, start[part], length[part], bound)), longest=longest
  )
  expected = [
    sum(value <= one for value in PARTS[which]) for which, one in zip(part, bound, strict=True)
  ]
  assert found.tolist() == expected


def test_any_shape():
  found = count_up_to(
    jnp.array([1, 3, 5]),
    jnp.zeros((2, 2), jnp.int32),
    jnp.array([[0, 1], [2, 3]]),
    jnp.full((2, 2), 4),
    longest=3,
  )
  assert found.tolist() == [[0, 1], [2, 2]]
