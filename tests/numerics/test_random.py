"""The unrolled generator draws the very numbers of jax.random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.numerics.random import bits, folded_words, normal, threefry, uniform

SHAPES = [(), (1,), (7,), (5, 3), (0,), (2, 0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("drawn, expected", [
  (bits, jax.random.bits), (uniform, jax.random.uniform), (normal, jax.random.normal),
], ids=["bits", "uniform", "normal"])
def test_numbers(drawn, expected, shape):
  for seed in (0, 7, 2**31 - 1):
    key = jax.random.fold_in(jax.random.key(seed), 3)
    found = jax.jit(drawn, static_argnums=1)(key, shape)
    assert found.dtype == expected(key, shape).dtype
    np.testing.assert_array_equal(found, expected(key, shape))


def test_numbers_of_many_keys():
  keys = jax.random.split(jax.random.key(1), 4)
  found = jax.vmap(lambda key: uniform(key, (5,)))(keys)
  np.testing.assert_array_equal(found, jax.vmap(lambda key: jax.random.uniform(key, (5,)))(keys))


def test_folded_keys():
  key, numbers = jax.random.key(5), jnp.array([0, 1, 2**31 - 1])
  expected = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, numbers)
  np.testing.assert_array_equal(folded_words(key, numbers), jax.random.key_data(expected))


def test_published_blocks():
  """The known answers that Salmon et al. give with their code for Threefry-2x32 with 20 rounds."""
  ones = np.uint32(0xFFFFFFFF)
  cases = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((ones, ones), (ones, ones), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
  ]
  for key, counter, expected in cases:
    found = threefry(tuple(map(jnp.uint32, key)), *map(jnp.uint32, counter))
    assert tuple(map(int, found)) == expected


def test_keys_of_another_generator_are_refused():
  with pytest.raises(TypeError, match="must be of threefry2x32, got rbg"):
    uniform(jax.random.key(0, impl="rbg"), (2,))
