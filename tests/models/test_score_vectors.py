"""Models whose scores are inner products say of which vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.models import MODELS

# Those of a network, or of images as well, are none.
INNER = {
  "mf": models.mf(dim=4),
  "fedgnn": models.fedgnn(dim=4),
  "sasrec": models.sasrec(dim=4, length=3),
  "lightgcn sum": models.lightgcn(dim=4, head="dot"),
  "lightgcn mean": models.lightgcn(dim=4, head="dot", layers=2, combine="mean"),
}


@pytest.mark.parametrize("name", INNER)
def test_scores_are_inner_products(name):
  model, random = INNER[name], np.random.default_rng(0)
  public = jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), model.init_public(jax.random.key(0), 6)
  )
  own = jnp.asarray(random.normal(size=4), jnp.float32)
  user = vector_without_items(model, own, public.items[0], public.shared)
  expected = public.items @ model.score_vector(user, public.shared)
  np.testing.assert_allclose(model.score(public, user, None), expected, rtol=1e-5, atol=1e-6)


def test_other_models_have_none():
  named = {name for name in MODELS.names() if MODELS[name].constructor().score_vector is not None}
  assert named == {"mf", "fedgnn", "sasrec"}
