"""ClusterAttack, with and without the contrastive task: what its clients upload, against the
oracle.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import cluster, cluster_cl
from fedrecjax.attacks.untargeted.cluster_cl import contrastive_gradient, draw_contrasts, own_items
from fedrecjax.datasets import ItemLists
from fedrecjax.models import mf
from fedrecjax.types import AttackContext, AttackView, ClientUpdates, Public
from tests.oracles import cluster as oracle

M, D, C, MALICIOUS = 24, 3, 20, 4
# Clients 0, 3 and 1 in the round; the second place is empty.
CLIENTS = np.array([0, MALICIOUS, 3, 1])
SLOTS = jnp.array([4, 0, 9, 6])
LISTS = ItemLists.from_lists([[5, 1, 9, 2], [7], [3, 4], [8, 8, 0, 11, 23, 6]])
SMALL = {"max_clusters": 6, "initial_clusters": 3, "num_sampled": 3}


@jax.jit
def run_poison(poison, state, uploads, view, key):
  # The number of clients is static.
  return poison(state, uploads, view._replace(num_clients=C), key)


def table_of(seed):
  return np.random.default_rng(seed).normal(size=(M, D)).astype(np.float32)


def pool_of(seed, clients=3, capacity=40):
  """Uploads with one row per client and item, and as the oracle has them."""
  random = np.random.default_rng(seed)
  entries = sorted(
    (int(item), client)
    for client in range(clients)
    for item in random.choice(M, random.integers(1, 9), replace=False)
  )
  rows = 0.1 * random.normal(size=(capacity, D)).astype(np.float32)
  item, client = np.full(capacity, M, np.int32), np.zeros(capacity, np.int32)
  per_client: list[dict[int, np.ndarray]] = [{} for _ in range(clients)]
  for place, (one, by) in enumerate(entries):
    item[place], client[place] = one, by
    per_client[by][one] = rows[place].astype(float)
  return ClientUpdates(jnp.asarray(client), jnp.asarray(item), jnp.asarray(rows)), per_client


def view_of(table, pool, clients=CLIENTS):
  return AttackView(
    Public(jnp.asarray(table), ()), jnp.int32(0), jnp.asarray(clients),
    jnp.asarray(clients < MALICIOUS), SLOTS, jnp.array([0]), jnp.float32(0.1), None, mf(dim=D), C,
    pool=pool,
  )


def context_of(num_items=M, malicious=MALICIOUS):
  rounds = np.tile(np.arange(malicious), (2, 1))
  return AttackContext(num_items, malicious, np.array([0]), D, rounds, None, own=LISTS)


def honest(shared=(), sent=None):
  """What the malicious clients would send; its item rows are of no account."""
  rows = ClientUpdates(jnp.zeros(3, jnp.int32), jnp.array([1, 2, M]), jnp.ones((3, D)))
  return rows._replace(shared=shared, sent=sent)


def sent_rows(uploads):
  """The rows of each client of the round by its place, `[M, d]` each."""
  used = np.asarray(uploads.item) < M
  found = {}
  for slot in np.unique(np.asarray(uploads.client)[used]):
    own = used & (np.asarray(uploads.client) == slot)
    assert np.asarray(uploads.item)[own].tolist() == list(range(M))
    found[int(slot)] = np.asarray(uploads.row)[own].astype(float)
  return found


def draws_of(key, clients=MALICIOUS, most=6):
  """First centres and shares of the bounds, as the attack draws them, and the key of contrasts."""
  for_centers, for_bounds, for_own = jax.random.split(key, 3)
  first = np.argsort(-np.asarray(jax.random.uniform(for_centers, (M,))), kind="stable")[:most]
  shares = [
    np.asarray(jax.random.uniform(jax.random.fold_in(for_bounds, client), (M,)), float)
    for client in range(clients)
  ]
  return first, shares, for_own


@pytest.mark.parametrize("statistics", ["all_rows", "touched"])
@pytest.mark.parametrize("bound", ["rescale", "clip"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_uploads(reduction, bound, statistics):
  attack = cluster(
    **SMALL, reduction=reduction, bound=bound, statistics=statistics, max_deviations=2.0
  )
  state = attack.init(jax.random.key(0), context_of())
  for seed in range(3):
    table, (pool, per_client) = table_of(seed), pool_of(seed)
    key = jax.random.key(100 + seed)
    uploads, after = run_poison(attack.poison, state, honest(), view_of(table, pool), key)
    first, shares, _ = draws_of(key)
    rows = table.astype(float)
    found = oracle.lloyd(rows, rows[first[:3]])
    gradient = oracle.attack_gradient(rows, found, reduction == "mean")
    mean, spread = oracle.norm_statistics(per_client, M, statistics == "all_rows")
    sent = sent_rows(uploads)
    assert sorted(sent) == [4, 6, 9]
    for client, slot in zip(CLIENTS, SLOTS, strict=True):
      if client < MALICIOUS:
        expected = oracle.malicious_upload(
          gradient, shares[client], mean, spread, 2.0, bound == "rescale"
        )
        np.testing.assert_allclose(sent[int(slot)], expected, rtol=1e-4, atol=1e-6)
    loss = oracle.attack_loss(rows, found, reduction == "mean")
    told = attack.tells(after, view_of(table, pool))
    assert float(told["clusters"]) == 3 and float(told["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(after.clusters.average) == pytest.approx(loss, rel=1e-5)
    assert uploads.shared == () and uploads.sent is None


def test_the_number_of_clusters_follows_the_loss():
  # The loss of a growing table rises, so that with R = 2 the third round has made more clusters.
  # The table stands around the origin in two groups, which are found from any start.
  attack = cluster(**SMALL | {"initial_clusters": 2}, threshold=2.0)
  fixed = cluster(**SMALL | {"initial_clusters": 2}, threshold=2.0, adaptive=False)
  pool, _ = pool_of(0)
  table = 0.01 * table_of(0) + np.where(np.arange(M) < M // 2, 1, -1)[:, None]
  for one, expected in ((attack, [2, 2, 4, 4]), (fixed, [2, 2, 2, 2])):
    state = one.init(jax.random.key(0), context_of())
    oracle_count = oracle.AdaptiveCount(2, largest=6, threshold=2)
    for number, clusters in enumerate(expected):
      view = view_of((1 + number) * table.astype(np.float32), pool)
      used = int(state.clusters.number)
      _, state = run_poison(one.poison, state, honest(), view, jax.random.key(number))
      # The loss is of the clusters that there were, not of those that there will be.
      assert float(one.tells(state, view)["clusters"]) == used
      assert int(state.clusters.number) == clusters
      if one is attack and number < 3:
        assert oracle_count.see(float((1 + number) ** 2)) == clusters


def test_nobody_sends_nothing_and_changes_nothing():
  attack = cluster(**SMALL)
  state = attack.init(jax.random.key(0), context_of())
  pool, _ = pool_of(0)
  nobody = np.full(4, MALICIOUS)
  uploads, after = run_poison(
    attack.poison, state, honest(), view_of(table_of(0), pool, nobody), jax.random.key(0)
  )
  assert (np.asarray(uploads.item) == M).all()
  chex.assert_trees_all_equal(state, after)


def test_one_attacker_and_its_own_bounds():
  """A client's upload does not depend on who else is there; two clients differ in lengths alone."""
  attack = cluster(**SMALL)
  state = attack.init(jax.random.key(0), context_of())
  pool, _ = pool_of(3)
  together, alone = (
    sent_rows(run_poison(
      attack.poison, state, honest(), view_of(table_of(1), pool, clients), jax.random.key(5)
    )[0])
    for clients in (CLIENTS, np.array([0, MALICIOUS, MALICIOUS, MALICIOUS]))
  )
  assert list(alone) == [4]
  np.testing.assert_array_equal(alone[4], together[4])
  length = {slot: np.linalg.norm(rows, axis=1) for slot, rows in together.items()}
  assert np.abs(length[4] - length[9]).max() > 1e-3
  for one, other in ((4, 9), (4, 6)):
    # An item alone in its cluster is where its centre is, for everybody.
    pulled = length[one] > 0
    assert pulled.sum() > M // 2 and (length[other][~pulled] == 0).all()
    product = np.sum(together[one] * together[other], axis=1)[pulled]
    np.testing.assert_allclose(product / (length[one] * length[other])[pulled], 1, atol=1e-5)


def test_shared_parameters_are_trained_honestly():
  attack = cluster(**SMALL)
  state = attack.init(jax.random.key(0), context_of())
  pool, _ = pool_of(0)
  shared = {"kernel": jnp.arange(C * 2.0).reshape(C, 2)}
  sent = jnp.arange(C) == 4
  uploads, _ = run_poison(
    attack.poison, state, honest(shared, sent), view_of(table_of(0), pool), jax.random.key(0)
  )
  np.testing.assert_array_equal(uploads.shared["kernel"], shared["kernel"])
  np.testing.assert_array_equal(uploads.sent, sent)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_contrastive_gradient(temperature, mean):
  own = own_items(context_of())
  table = table_of(9)
  gradient = jax.jit(functools.partial(contrastive_gradient, mean=mean))
  for client in range(MALICIOUS):
    draw = functools.partial(draw_contrasts, own, client, num_items=M, count=4)
    partner, negatives = (np.asarray(one) for one in jax.jit(draw)(key=jax.random.key(client)))
    items = LISTS.of(client).tolist()
    size = len(items)
    for place in range(size if size > 1 else 0):
      assert 0 <= partner[place] < size and partner[place] != place
      outside = negatives[place].tolist()
      assert len(set(outside)) == 4 and not set(outside) & {*items, M}
    found = gradient(
      table, own.items[client], own.length[client], partner, negatives, temperature=temperature
    )
    expected = oracle.with_contrastive_task(
      np.zeros((M, D)), table.astype(float), items, partner[:size].tolist(),
      negatives[:size].tolist(), temperature=temperature, reduction="mean" if mean else "sum",
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)
    assert (np.abs(expected).max() > 1e-3) == (size > 1)


def test_a_client_with_nearly_all_items_takes_what_is_left():
  lists = ItemLists.from_lists([list(range(M - 2))])
  own = own_items(context_of(malicious=1)._replace(own=lists))
  draw = functools.partial(draw_contrasts, own, 0, num_items=M, count=4)
  _, negatives = jax.jit(draw)(key=jax.random.key(0))
  for one in np.asarray(negatives):
    assert sorted(one) == [M - 2, M - 1, M, M]


@pytest.mark.parametrize(("reduction", "contrastive"), [("sum", "sum"), ("mean", "mean")])
def test_uploads_with_the_contrastive_task(reduction, contrastive):
  attack = cluster_cl(
    **SMALL, num_contrastive=4, contrastive_weight=1.5, temperature=0.7, reduction=reduction,
    contrastive_reduction=contrastive,
  )
  state = attack.init(jax.random.key(0), context_of())
  table, (pool, per_client) = table_of(2), pool_of(2)
  key = jax.random.key(8)
  uploads, after = run_poison(attack.poison, state, honest(), view_of(table, pool), key)
  first, shares, for_own = draws_of(key)
  rows = table.astype(float)
  found = oracle.lloyd(rows, rows[first[:3]])
  gradient = oracle.attack_gradient(rows, found, reduction == "mean")
  mean, spread = oracle.norm_statistics(per_client, M, True)
  sent = sent_rows(uploads)
  for client, slot in zip(CLIENTS, SLOTS, strict=True):
    if client == MALICIOUS:
      assert int(slot) not in sent
      continue
    partner, negatives = draw_contrasts(
      state.own, client, jax.random.fold_in(for_own, client), M, 4
    )
    items = LISTS.of(client).tolist()
    total = oracle.with_contrastive_task(
      gradient, rows, items, np.asarray(partner)[: len(items)].tolist(),
      np.asarray(negatives)[: len(items)].tolist(), weight=1.5, temperature=0.7,
      reduction=contrastive,
    )
    expected = oracle.malicious_upload(total, shares[client], mean, spread, 3.0, True)
    np.testing.assert_allclose(sent[int(slot)], expected, rtol=2e-4, atol=1e-6)
    assert (np.abs(total - gradient).max() > 1e-2) == (len(items) > 1)
  # The number of clusters follows the clusters' loss alone.
  loss = oracle.attack_loss(rows, found, reduction == "mean")
  assert float(after.clusters.average) == pytest.approx(loss, rel=1e-5)


def test_what_it_is_granted():
  for attack in (cluster(num_sampled=7), cluster_cl(num_sampled=7)):
    assert attack.requires == {"own_data"} and attack.pool == 7 and attack.colludes
  # Fewer malicious clients than asked for are all sampled.
  state = cluster(num_sampled=7, max_clusters=6).init(jax.random.key(0), context_of())
  assert float(state.sampled) == MALICIOUS


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"min_clusters": 0}, "min_clusters must be positive"),
    ({"max_clusters": 3, "min_clusters": 4}, "max_clusters must be at least cluster.min_clusters"),
    ({"initial_clusters": 51}, "initial_clusters must lie between"),
    ({"initial_clusters": 2, "min_clusters": 3}, "initial_clusters must lie between"),
    ({"threshold": 0.0}, "threshold must be positive"),
    ({"threshold_growth": -0.1}, "threshold_growth must be 0 or more"),
    ({"decay": 1.5}, "decay must lie in 0..1"),
    ({"max_deviations": -1.0}, "max_deviations must be 0 or more"),
    ({"num_sampled": 0}, "num_sampled must be positive"),
    ({"tolerance": 0.0}, "tolerance must be positive"),
    ({"max_iterations": 0}, "max_iterations must be positive"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=f"cluster.{message}"):
    cluster(**options)
  with pytest.raises(ValueError, match=r"cluster_cl\."):
    cluster_cl(**options)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"contrastive_weight": -1.0}, "contrastive_weight must be 0 or more"),
    ({"num_contrastive": 0}, "num_contrastive must be positive"),
    ({"temperature": 0.0}, "temperature must be positive"),
  ],
)
def test_impossible_contrasts_are_named(options, message):
  with pytest.raises(ValueError, match=f"cluster_cl.{message}"):
    cluster_cl(**options)


def test_a_small_catalogue_is_refused():
  key = jax.random.key(0)
  with pytest.raises(ValueError, match=r"max_clusters = 50 clusters start from"):
    cluster().init(key, context_of())
  with pytest.raises(ValueError, match=r"num_contrastive = 24 different negatives need a"):
    cluster_cl(max_clusters=6, num_contrastive=24).init(key, context_of())
