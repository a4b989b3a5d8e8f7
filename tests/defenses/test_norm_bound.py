"""NormBound on parameters that all items share, against the oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.defenses.whole_uploads import client_distances, client_norms
from fedrecjax.types import ClientUpdates
from tests.oracles import aggregation, whole_uploads
from tests.support.views import defense_view

M, C, D = 6, 9, 3
SHAPES = {"weights": (4, 5), "bias": (4,), "filters": (2, 3, 2), "scale": ()}


def random_uploads(seed, senders):
  """A round of clients that send some rows, and of `senders` that send shared parameters."""
  random = np.random.default_rng(seed)
  item, client = np.nonzero(random.random((M, C)) < 0.4)
  row = random.normal(size=(len(item), D))
  sent = np.isin(np.arange(C), senders)
  # Those in even places are far beyond the bound, the others far within.
  size = sent * np.where(np.arange(C) % 2, 0.1, 4.0)
  shared = {
    name: (random.normal(size=(C, *shape)).T * size).T
    for name, shape in SHAPES.items()
  }
  uploads = ClientUpdates(
    jnp.asarray(client, jnp.int32),
    jnp.asarray(item, jnp.int32),
    jnp.asarray(row, jnp.float32),
    {name: jnp.asarray(array, jnp.float32) for name, array in shared.items()},
    jnp.asarray(sent),
  )
  entries = list(zip(client.tolist(), item.tolist(), row, strict=True))
  return uploads, entries, shared


def bounded(uploads, **options):
  view = defense_view(num_items=M, num_clients=C)
  return defenses.norm_bound(**options).filter((), uploads, view)[0]


def whole(entries, shared):
  """The oracle's whole uploads; parameters in the order of a pytree."""
  vectors = whole_uploads.dense(entries, range(C), M, D)
  return whole_uploads.with_shared(vectors, [shared[name] for name in sorted(shared)])


@pytest.mark.parametrize("senders", [[], [4], [0, 3, 8], list(range(C))])
def test_each_row_of_shared_parameters_is_bounded(senders):
  uploads, entries, shared = random_uploads(len(senders), senders)
  after = bounded(uploads, max_norm=1.5)
  rows = [aggregation.norm_bound(row, 1.5) for _, _, row in entries]
  np.testing.assert_allclose(after.row, rows, rtol=1e-5)
  for name in ("weights", "bias"):
    # The oracle's matrices have a row for each unit, as PIECK's code has them.
    expected = [aggregation.norm_bound_shared(one.T, 1.5).T for one in shared[name]]
    np.testing.assert_allclose(after.shared[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)
    moved = np.abs(shared[name] - expected).max(axis=-1) > 1e-3
    assert moved.any() == bool(senders) and not moved.all()
  # Units are along the last of more dimensions, and a number is a vector of one coordinate.
  units = SHAPES["filters"][-1]
  filters = shared["filters"].reshape(C, -1, units)
  expected = [aggregation.norm_bound_shared(one.T, 1.5).T for one in filters]
  found = np.asarray(after.shared["filters"]).reshape(C, -1, units)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(after.shared["scale"], np.clip(shared["scale"], -1.5, 1.5), rtol=1e-5)
  np.testing.assert_array_equal(after.sent, uploads.sent)


@pytest.mark.parametrize("senders", [[], [4], [0, 3, 8], list(range(C))])
def test_whole_uploads_are_bounded_with_their_shared_parameters(senders):
  uploads, entries, shared = random_uploads(len(senders), senders)
  vectors = whole(entries, shared)
  max_norm = float(np.median(whole_uploads.norms(vectors)))
  after = bounded(uploads, max_norm=max_norm, scope="client")
  found = [(client, item, row) for (client, item, _), row in zip(entries, after.row, strict=True)]
  found = whole(found, {name: np.asarray(array) for name, array in after.shared.items()})
  expected = whole_uploads.norm_bound(vectors, max_norm)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  assert (np.abs(vectors - expected).max(axis=1) > 0).sum() == C // 2


def test_norms_and_distances_of_whole_uploads_hold_shared_parameters():
  uploads, entries, shared = random_uploads(0, [0, 3, 8])
  vectors = whole(entries, shared)
  norms = client_norms(uploads, C, num_items=M)
  np.testing.assert_allclose(norms, whole_uploads.norms(vectors), rtol=1e-5)
  for squared in (True, False):
    found = client_distances(uploads, C, num_items=M, squared=squared)
    expected = whole_uploads.distances(vectors, squared=squared)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found, np.asarray(found).T)


def test_shared_parameters_that_overflow_are_infinitely_far_from_all_others():
  uploads, *_ = random_uploads(0, range(C))
  shared = {**uploads.shared, "bias": uploads.shared["bias"].at[jnp.array([2, 5])].set(np.inf)}
  uploads = uploads._replace(shared=shared)
  found = np.asarray(client_distances(uploads, C, num_items=M, squared=True))
  far = np.isin(np.arange(C), [2, 5])
  expected = (far[:, None] | far) & ~np.eye(C, dtype=bool)
  np.testing.assert_array_equal(np.isinf(found), expected)
  assert not np.isnan(found).any() and not np.diagonal(found).any()


@pytest.mark.parametrize("scope", ["row", "client"])
def test_models_without_shared_parameters_stay_without(scope):
  uploads, *_ = random_uploads(0, [])
  uploads = uploads._replace(shared=(), sent=None)
  after = bounded(uploads, max_norm=0.1, scope=scope)
  assert after.shared == () and after.sent is None
  assert len(jax.tree.leaves(after)) == 3
