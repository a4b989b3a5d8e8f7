"""Statistics of honest gradients against the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks.untargeted.row_statistics import (
  item_statistics,
  overall_statistics,
  senders,
  shared_statistics,
)
from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import merge_rows
from tests.attacks.untargeted.crafted_views import C, M, as_uploads, drawn_rows, flat, shared_of
from tests.oracles import crafted


def assert_statistics(found, rows, *, sample, zeros_among=0):
  mean, deviation = crafted.mean_and_deviation(rows, sample=sample)
  assert int(found.clients) == len(rows) - zeros_among
  np.testing.assert_allclose(found.mean, mean, atol=1e-5)
  np.testing.assert_allclose(found.deviation, deviation, atol=1e-5)
  np.testing.assert_allclose(found.low, rows.min(axis=0), atol=1e-6)
  np.testing.assert_allclose(found.high, rows.max(axis=0), atol=1e-6)


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("clients", [[0, 3, 7, 8, 15], [6], []], ids=str)
def test_items(clients, zeros, sample):
  rows = drawn_rows(0, clients)
  merged = merge_rows(as_uploads(rows), M)
  members = senders(merged, C, M)
  assert int(members) == len(clients)
  found = item_statistics(
    merged, M, members=members if zeros else None, spread="sample" if sample else "population"
  )
  expected = crafted.rows_by_item(rows, zeros=zeros)
  sent = {item: len({one[0] for one in rows if one[1] == item}) for item in range(M)}
  assert clients == [] or {1, 2} & set(sent.values())
  for item in range(M):
    of_item = jax.tree.map(lambda leaf, item=item: leaf[item], found)
    if item in expected:
      rest = len(expected[item]) - sent[item]
      assert_statistics(of_item, expected[item], sample=sample, zeros_among=rest)
    else:
      assert all(not np.asarray(leaf).any() for leaf in of_item)


def test_equal_rows_have_no_deviation():
  rows = [(client, 4, np.array([0.1, -3.0, 1e4], np.float32)) for client in range(7)]
  found = item_statistics(merge_rows(as_uploads(rows), M), M)
  np.testing.assert_allclose(found.mean[4], rows[0][2], rtol=1e-6)
  assert np.asarray(found.deviation[4]).max() < 1e-2
  assert np.asarray(found.deviation[4])[:2].max() < 1e-6


def test_all_rows_together():
  rows = drawn_rows(1, [0, 3, 7], merged=True)
  found = overall_statistics(merge_rows(as_uploads(rows), M), M)
  assert_statistics(found, np.array([row for _, _, row in rows], float), sample=False)
  nothing = overall_statistics(merge_rows(as_uploads([]), M), M)
  assert all(not np.asarray(leaf).any() for leaf in nothing)


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_shared_parameters(count, sample):
  sent = np.isin(np.arange(6), [5, 0, 3, 2][:count])
  shared = shared_of(2, 6, sent)
  # What stands in places that did not send means nothing.
  spoilt = jax.tree.map(
    lambda leaf: jnp.where(jnp.expand_dims(sent, range(1, leaf.ndim)), leaf, 9.0), shared
  )
  found = shared_statistics(
    as_uploads([], shared=spoilt, sent=jnp.asarray(sent)),
    spread="sample" if sample else "population",
  )
  assert jax.tree.structure(shared) == jax.tree.structure(
    jax.tree.map(lambda one: 0, found, is_leaf=lambda one: hasattr(one, "deviation"))
  )
  leaves = jax.tree.leaves(found, is_leaf=lambda one: hasattr(one, "deviation"))
  joined = type(leaves[0])(
    leaves[0].clients,
    *(np.concatenate([np.ravel(one[part]) for one in leaves]) for part in range(1, 5)),
  )
  if count:
    assert_statistics(joined, flat(shared)[sent], sample=sample)
  else:
    assert all(not np.asarray(leaf).any() for leaf in joined)


def test_without_shared_parameters():
  assert shared_statistics(ClientUpdates(*as_uploads([])[:3])) == ()
  assert int(senders(ClientUpdates(*as_uploads([])[:3]), 4, M)) == 0
