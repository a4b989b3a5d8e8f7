"""Matrix factorisation: scores, initialisation, impossible sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.models import mf
from fedrecjax.types import Public


def test_the_score_is_the_dot_product():
  random = np.random.default_rng(0)
  items, user = random.normal(size=(6, 4)), random.normal(size=4)
  model, public = mf(dim=4), Public(jnp.asarray(items, jnp.float32), ())
  expected = items @ user
  private = jnp.asarray(user, jnp.float32)
  np.testing.assert_allclose(model.score(public, private, None), expected, atol=1e-5)
  np.testing.assert_allclose(
    model.score(public, private, jnp.array([5, 0, 5])), expected[[5, 0, 5]], atol=1e-5
  )
  np.testing.assert_allclose(model.score_row(private, public.items[3], ()), expected[3], atol=1e-5)


@pytest.mark.parametrize("std", [0.01, 0.7])
def test_initialisation_has_the_stated_deviation(std):
  model = mf(dim=16, init_std=std)
  public = model.init_public(jax.random.key(0), 1000)
  assert public.items.shape == (1000, 16) and public.shared == ()
  assert float(jnp.std(public.items)) == pytest.approx(std, rel=0.03)  # 16,000 numbers: five sigma
  private = jax.vmap(model.init_private)(jax.random.split(jax.random.key(1), 1000))
  assert private.shape == (1000, 16)
  assert float(jnp.std(private)) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"dim": 0}, "mf.dim must be positive"),
    ({"init_std": 0.0}, "mf.init_std"),
    ({"init_std": float("nan")}, "mf.init"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    mf(**options)
