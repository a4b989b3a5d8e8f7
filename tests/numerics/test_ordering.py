"""Sorting with places."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.numerics.ordering import in_order


@pytest.mark.parametrize("count", [1, 2, 100, 4097])
# Packed into 32 bits, exactly filling them with 4097 places, and too large for that.
@pytest.mark.parametrize("largest", [0, 3, 2**19 - 1, 2**19, 2**30])
def test_order_is_ascending_and_stable(count, largest):
  random = np.random.default_rng(count)
  values = random.choice(random.integers(0, largest, 5, endpoint=True), count).astype(np.int32)
  values[0] = largest
  ordered, place = in_order(jnp.asarray(values), largest)
  expected = np.argsort(values, kind="stable")
  np.testing.assert_array_equal(place, expected)
  np.testing.assert_array_equal(ordered, values[expected])
  assert ordered.dtype == place.dtype == jnp.int32
