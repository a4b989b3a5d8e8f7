"""One sample's loss and gradients, and extreme logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.clients.losses import LOSSES
from fedrecjax.clients.sample_loss import sample_loss
from fedrecjax.models import mf
from tests.oracles import training


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", list(LOSSES))
def test_the_gradient_of_a_sample_is_that_of_a_client_with_one_positive(name, q):
  random = np.random.default_rng(q)
  user, table = random.normal(size=4), random.normal(size=(1 + q, 4))
  loss, for_user, rows = training.client_gradients(
    user, table, [0], np.arange(1, 1 + q)[None], loss=name, reduction="sum", duplicates="sum"
  )
  found, gradients = jax.value_and_grad(sample_loss, argnums=(2, 3, 4))(
    mf(dim=4),
    LOSSES[name](),
    *(jnp.asarray(one, jnp.float32) for one in (user, table[0], table[1:])),
    (),
  )
  assert float(found) == pytest.approx(loss, rel=1e-5)
  expected = (for_user, rows[0], [rows[item] for item in range(1, 1 + q)])
  for one, other in zip(gradients, expected, strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("name", "terms"), [("bce", 4), ("bpr", 3)])
def test_terms_by_which_a_mean_divides(name, terms):
  assert LOSSES[name]().terms(3) == terms


@pytest.mark.parametrize("logit", [-300.0, 300.0])
@pytest.mark.parametrize("name", list(LOSSES))
def test_extreme_logits_stay_finite(name, logit):
  with jax.debug_nans(True):
    value, slope = jax.value_and_grad(LOSSES[name]().sample)(jnp.float32(logit), jnp.zeros(2))
  assert np.isfinite(value) and np.isfinite(slope)
  # A positive at -300 costs 300 per term that it stands in.
  per_term = 1 if name == "bce" else 2
  expected = per_term * 300.0 if logit < 0 else 0.0
  assert float(value) == pytest.approx(expected + (2 * np.log(2) if name == "bce" else 0), rel=1e-5)


def test_each_loss_is_one_object_for_the_compiler():
  # A new function for every call would compile every run anew.
  for make in LOSSES.values():
    assert make() == make()
