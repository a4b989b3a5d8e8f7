"""Items ordered by how many rows they have."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.uploads.items_by_size import items_by_size


@pytest.mark.parametrize("within", ["size", "item"])
@pytest.mark.parametrize("largest", [0, 1, 9, 40])
def test_items_are_ordered_by_class(largest, within):
  random = np.random.default_rng(largest)
  size = random.integers(0, largest, 60, endpoint=True)
  item = np.append(np.repeat(np.arange(60), size), [60] * 3)
  classes = [4, 8, 16]
  found = items_by_size(jnp.asarray(item, jnp.int32), 60, classes, most=largest, within=within)
  number = np.searchsorted([0, *classes], size)
  order = np.lexsort((np.arange(60), size if within == "size" else number))
  np.testing.assert_array_equal(found.item, order)
  np.testing.assert_array_equal(found.size, size[order])
  for place in np.flatnonzero(size[order]):
    start = int(found.start[place])
    assert (item[start : start + size[order][place]] == order[place]).all()
  # Larger items than the last class has come after its end.
  assert found.ends.tolist() == [int((size <= bound).sum()) for bound in (0, *classes)]
  assert (found.ends[-1] < 60) == (largest > 16)
