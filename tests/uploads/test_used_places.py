"""Mapping over planned places in chunks."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.uploads.used_places import map_used


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("places", [1, 3, 10])
def test_used_places_have_the_function_s_values(places, chunk):
  random = np.random.default_rng(places)
  used = random.random(places) < 0.4
  rows, number = random.normal(size=(places, 2)), np.arange(places)
  sums, rest = map_used(
    lambda row, one: (jnp.sum(row), {"row": row * one}), jnp.asarray(used), jnp.asarray(rows),
    jnp.asarray(number), chunk=chunk,
  )
  assert sums.shape == (places,) and rest["row"].shape == (places, 2)
  np.testing.assert_allclose(np.asarray(sums)[used], rows.sum(axis=1)[used], rtol=1e-5)
  expected = (rows * number[:, None])[used]
  np.testing.assert_allclose(np.asarray(rest["row"])[used], expected, rtol=1e-5)


def test_chunks_without_a_used_place_are_left_out():
  used = jnp.array([False, False, True, False])
  found = map_used(lambda value: value + 1, used, jnp.ones(4), chunk=2)
  assert found.tolist() == [0, 0, 2, 2]
