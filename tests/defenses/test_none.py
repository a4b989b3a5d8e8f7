"""Sums and means of uploads, by item and by client, weighted and not, with shared parameters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.types import ClientUpdates
from tests.support.views import defense_view

M, C, D = 5, 7, 2


def random_uploads(random, clients):
  """Rows of the first `clients` places, and gradients of two shared arrays that some of them send."""
  sent = np.zeros((C, M), bool)
  sent[:clients] = random.random((clients, M)) < 0.5
  rows = random.normal(size=(C, M, D)) * sent[..., None]
  item, client = np.nonzero(sent.T)
  pad = C * M - len(item)
  with_shared = np.zeros(C, bool)
  with_shared[:clients] = random.random(clients) < 0.7
  shared = {
    "kernel": random.normal(size=(C, 3, 2)) * with_shared[:, None, None],
    "bias": random.normal(size=(C, 4)) * with_shared[:, None],
  }
  uploads = ClientUpdates(
    client=jnp.asarray(np.pad(client, (0, pad)), jnp.int32),
    item=jnp.asarray(np.pad(item, (0, pad), constant_values=M), jnp.int32),
    row=jnp.asarray(np.pad(rows[client, item], ((0, pad), (0, 0)), constant_values=9.0), jnp.float32),
    shared=jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), shared),
    sent=jnp.asarray(with_shared),
  )
  return uploads, sent, rows, with_shared, shared


def expected(rows, taking_part, claimed, *, scale):
  """Weighted mean, or sum, of `rows [C, ...]` over the clients that take part, by its definition."""
  weights = [claimed[client] if taking_part[client] else 0.0 for client in range(C)]
  if sum(weights) == 0:
    return np.zeros(rows.shape[1:])
  average = sum(weight * row for weight, row in zip(weights, rows, strict=True)) / sum(weights)
  return average * sum(taking_part) if scale == "sum" else average


@pytest.mark.parametrize(
  ("scale", "scope", "weights"),
  list(itertools.product(("sum", "mean"), ("item", "client"), ("equal", "samples"))),
)
def test_sums_and_means(scale, scope, weights):
  defense = defenses.none(scale=scale, scope=scope, weights=weights)
  for seed, clients in enumerate([7, 7, 4, 1, 0]):
    random = np.random.default_rng(seed)
    uploads, sent, rows, with_shared, shared = random_uploads(random, clients)
    counts = np.where(np.arange(C) < clients, random.integers(1, 50, C), 0).astype(float)
    view = defense_view(num_items=M, num_clients=C, clients=clients, samples=jnp.asarray(counts, jnp.float32))
    update = defense.aggregate((), uploads, view)[0]
    present = np.arange(C) < clients
    claimed = counts if weights == "samples" else present.astype(float)
    found = jnp.zeros((M, D)).at[update.items.item].add(update.items.row, mode="drop")
    for item in range(M):
      over = sent[:, item] if scope == "item" else present
      wanted = expected(rows[:, item], over, claimed, scale=scale)
      np.testing.assert_allclose(found[item], wanted, atol=1e-5, err_msg=f"{seed} {item}")
    for name, leaf in shared.items():
      over = with_shared if scope == "item" else present
      np.testing.assert_allclose(
        update.shared[name], expected(leaf, over, claimed, scale=scale), atol=1e-5, err_msg=name
      )


def test_an_unweighted_sum_does_not_depend_on_the_scope():
  uploads, *_ = random_uploads(np.random.default_rng(1), 5)
  view = defense_view(num_items=M, num_clients=C, clients=5)
  one, two = (
    defenses.none(scope=scope).aggregate((), uploads, view)[0] for scope in ("item", "client")
  )
  np.testing.assert_allclose(one.items.row, two.items.row, rtol=1e-6)
