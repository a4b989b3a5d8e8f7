"""UNION's filter against its oracle: uniformities and decisions; and whole runs."""

import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.defenses import gap_statistic
from fedrecjax.defenses.union import draw_round, uniformities
from fedrecjax.numerics.optimizers import DESCENT, OPTIMIZERS, ServerOptimizer, as_direction
from fedrecjax.server.step import apply_update, init_optimizer
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack, ClientUpdates, ItemRows, Public, ServerState, Update
from fedrecjax.uploads.rows import item_rows, merge_rows
from tests.oracles import union as oracle
from tests.support.views import defense_view

M, C, D, T, B = 20, 11, 3, 12, 8


@functools.cache
def random_round(seed):
  """Uploads of up to C clients in any places; up to three of them draw all items together."""
  random = np.random.default_rng(seed)
  table = random.normal(size=(M, D)).astype(np.float32)
  present = random.random(C) < random.choice([0.2, 0.8, 1.0])
  attackers = random.permutation(np.flatnonzero(present))[: random.integers(0, 4)]
  entries = []
  for client in np.flatnonzero(present):
    if client in attackers:
      entries += [(client, item, 2 * table[item]) for item in range(M)]
      continue
    for item in random.choice(M, random.integers(1, 9), replace=False):
      row = random.normal(size=D) * 0.3
      # A part of the row in a place of its own.
      entries += [(client, item, row)] if random.random() < 0.8 else [(client, item, row / 2)] * 2
  capacity = 2 * C * M
  client, item = np.zeros(capacity, np.int32), np.full(capacity, M, np.int32)
  row = np.full((capacity, D), 7.5, np.float32)
  uploads = {int(one): {} for one in np.flatnonzero(present)}
  for place, (one, two, three) in enumerate(entries):
    client[place], item[place], row[place] = one, two, three
    uploads[one][two] = uploads[one].get(two, 0.0) + row[place].astype(float)
  moments = random.normal(size=(M, D)) / 20, random.random((M, D)) / 20 + 0.001
  arrays = ClientUpdates(*map(jnp.asarray, (client, item, row)))
  return table, present, uploads, arrays, tuple(one.astype(np.float32) for one in moments)


@functools.partial(jax.jit, static_argnames=("trial", "squared", "sample"))
def filtered(uploads, table, present, moments, steps, key, known_ratio, *, trial, squared, sample):
  """Draws, uniformities, and which clients still send anything."""
  transformation, optimizer = DESCENT, ()
  if moments is not None:
    moments = (Public(one, ()) for one in moments)
    transformation, optimizer = OPTIMIZERS["adam"], optax.ScaleByAdamState(steps, *moments)
  view = defense_view(
    num_items=M,
    num_clients=C,
    items=table,
    present=present,
    clients=jnp.sum(present, dtype=jnp.int32),
    transformation=transformation,
    optimizer=optimizer,
    learning_rate=0.4,
    key=key,
  )._replace(clients=jnp.sum(present, dtype=jnp.int32), present=present)
  options = {"sample": sample, "num_sampled": T, "num_references": B}
  defense = defenses.union(trial=trial, squared=squared, known_ratio=known_ratio, **options)
  uploads = merge_rows(uploads, M)
  draws = draw_round(view, **options)
  values = uniformities(uploads, view, draws.items, trial=trial, squared=squared)
  after, _ = defense.filter((), uploads, view)
  sending = jnp.zeros(C, bool).at[after.client].max(after.item < M)
  return draws, values, sending, (after.row == uploads.row).all()


VARIANTS = {
  "defaults, adam": ("adam", {}),
  "defaults, sgd": ("sgd", {}),
  "plain trial beside adam": ("adam", {"trial": "plain"}),
  "squared, adam": ("adam", {"squared": True}),
  "Algorithm 2": ("sgd", {"trial": "plain", "squared": True, "sample": "per_client"}),
  "a sample each, known ratio": ("adam", {"sample": "per_client", "known_ratio": 0.29}),
  "known ratio": ("adam", {"known_ratio": 0.29}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_filter_matches_the_oracle_on_random_rounds(variant):
  optimizer, options = VARIANTS[variant]
  options = {
    "trial": "optimizer",
    "squared": False,
    "sample": "shared",
    "known_ratio": 0.0,
  } | options
  rejecting = keeping = 0
  for seed in range(40):
    table, present, uploads, arrays, moments = random_round(seed)
    steps = seed % 3
    draws, values, sending, same_rows = filtered(
      arrays,
      table,
      present,
      moments if optimizer == "adam" else None,
      jnp.int32(steps),
      jax.random.key(seed),
      options["known_ratio"],
      **{name: options[name] for name in ("trial", "squared", "sample")},
    )
    clients = sorted(uploads)
    adam = None
    if optimizer == "adam" and options["trial"] == "optimizer":
      adam = oracle.Adam(*(one.astype(float) for one in moments), steps)
    expected = [
      oracle.uniformity(
        oracle.trial_rows(
          table.astype(float),
          np.broadcast_to(draws.items, (C, T))[client],
          uploads[client],
          0.4,
          adam,
        ),
        squared=options["squared"],
      )
      for client in clients
    ]
    np.testing.assert_allclose(np.asarray(values)[clients], expected, rtol=2e-5, err_msg=f"{seed}")
    known = oracle.known_attackers(len(clients), options["known_ratio"])
    references = np.asarray(draws.references, float)[:, : len(clients)]
    rejected = {clients[one] for one in oracle.rejected(expected, references, known)}
    assert set(np.flatnonzero(sending)) == set(clients) - rejected, f"round {seed}"
    assert same_rows
    rejecting += bool(rejected)
    keeping += not rejected
  assert rejecting >= 5 and keeping >= 5


OF_SERVERS = {name: OPTIMIZERS[name] for name in typing.get_args(ServerOptimizer)} | {
  "adamw": as_direction(optax.adamw(0.5, weight_decay=0.2))
}


@pytest.mark.parametrize("name", OF_SERVERS)
def test_a_trial_measures_the_step_that_the_server_would_take(name):
  """Each client's uniformity against that of the table after its upload alone."""
  optimizer, items = OF_SERVERS[name], jnp.arange(0, M, 2)
  table, _, uploads, arrays, _ = random_round(3)
  public = Public(jnp.asarray(table), ())
  server = ServerState(public, (), init_optimizer(optimizer, public))
  take = jax.jit(functools.partial(apply_update, optimizer))

  def alone(client):
    rows = np.zeros((M, D), np.float32)
    rows[list(uploads[client])] = list(uploads[client].values())
    places = np.where(np.isin(np.arange(M), list(uploads[client])), np.arange(M), M)
    return Update(ItemRows(jnp.asarray(places), jnp.asarray(rows)))

  for client in list(uploads)[:2]:
    server = take(server, alone(client), 0.4)
  view = defense_view(num_items=M, num_clients=C, items=None)._replace(
    public=server.public, transformation=optimizer, optimizer=server.optimizer, learning_rate=0.4
  )
  measure = jax.jit(lambda uploads: uniformities(
    merge_rows(uploads, M), view, items, trial="optimizer", squared=True
  ))
  values = np.asarray(measure(arrays))
  expected = [
    oracle.uniformity(np.asarray(take(server, alone(client), 0.4).public.items[items], float), squared=True)
    for client in uploads
  ]
  np.testing.assert_allclose(values[list(uploads)], expected, rtol=2e-5)
  assert len(set(np.round(expected, 4))) == len(expected) > 2


def test_an_earlier_filter_may_have_dropped_rows():
  # Then unused places stand between others.
  table, present, uploads, arrays, _ = random_round(3)
  merged = merge_rows(arrays, M)
  merged = merged._replace(item=merged.item.at[::3].set(M))
  left = {client: {} for client in uploads}
  for client, item, row in zip(*(np.asarray(part) for part in merged[:3]), strict=True):
    if item < M:
      left[int(client)][int(item)] = row.astype(float)
  view = defense_view(num_items=M, num_clients=C, items=jnp.asarray(table), present=present)
  for sample in ("shared", "per_client"):
    items = draw_round(view, sample=sample, num_sampled=T, num_references=1).items
    values = uniformities(merged, view, items, trial="optimizer", squared=False)
    for client, upload in left.items():
      sampled = np.broadcast_to(items, (C, T))[client]
      rows = oracle.trial_rows(table.astype(float), sampled, upload, 1.0)
      expected = oracle.uniformity(rows, squared=False)
      assert float(values[client]) == pytest.approx(expected, rel=1e-5)


def test_items_are_drawn_uniformly_with_replacement():
  view = defense_view(num_items=M, num_clients=400)
  items = np.asarray(draw_round(view, sample="per_client", num_sampled=50, num_references=1).items)
  assert items.shape == (400, 50)
  assert stats.chisquare(np.bincount(items.reshape(-1), minlength=M)).pvalue > 1e-6
  assert len(np.unique(items, axis=0)) == 400
  # What a place draws does not depend on how many places there are.
  fewer = draw_round(
    view._replace(num_clients=7), sample="per_client", num_sampled=50, num_references=3
  )
  np.testing.assert_array_equal(fewer.items, items[:7])
  more = draw_round(view, sample="shared", num_sampled=50, num_references=3)
  np.testing.assert_array_equal(more.references[:, :7], fewer.references)
  assert stats.kstest(np.asarray(more.references).reshape(-1), "uniform").pvalue > 1e-6


judge = jax.jit(gap_statistic.minority)


def rejected_of(values, references, always=0, places=16, seed=None):
  """Clients that are rejected, by their number, from random places among empty ones."""
  order = np.random.default_rng(seed).permutation(places) if seed is not None else np.arange(places)
  taken = order[: len(values)]
  padded, present = np.full(places, 1e9, np.float32), np.zeros(places, bool)
  padded[taken], present[taken] = values, True
  found = np.asarray(judge(padded, present, references[:, :places], always))
  assert not found[~present].any()
  return set(np.flatnonzero(found[taken]))


REFERENCES = np.random.default_rng(0).random((B, 16)).astype(np.float32)


def test_decisions_on_values_with_many_ties():
  random = np.random.default_rng(1)
  outcomes = set()
  for seed in range(400):
    count = int(random.integers(0, 15))
    values = random.choice(random.integers(0, 30, 6), count) / 8
    if random.random() < 0.5:
      values[: count // 3] += 20
    always = int(random.integers(0, 4))
    references = REFERENCES[:, : len(values)].astype(float)
    expected = oracle.rejected(values, references, always)
    assert rejected_of(values, REFERENCES, always) == expected, values
    assert rejected_of(values, REFERENCES, always, seed=seed) == expected, values
    outcomes.add(min(len(expected), 2))
  assert outcomes == {0, 1, 2}


EDGES = {
  "nobody": ([], 3, set()),
  "one": ([4.0], 3, set()),
  "two": ([4.0, 5.0], 0, set()),
  "two, one of them known to be malicious": ([4.0, 5.0], 1, {1}),
  "two equal": ([4.0, 4.0], 1, set()),
  "all equal": ([2.0] * 9, 3, set()),
  "two values": ([2.0] * 8 + [3.0], 0, {8}),
  "two values, the smaller one rare": ([3.0] * 8 + [2.0], 0, {8}),
  "half and half": ([2.0, 3.0] * 4, 0, {1, 3, 5, 7}),
  "an even spread": (list(range(12)), 0, set()),
  "an even spread, half known": (list(range(12)), 6, {6, 7, 8, 9, 10, 11}),
  "tight beside the spread of all": ([1.0, 1.0 + 1e-6, 1.0 + 2e-6, 1.0 + 3e-6, 900.0], 0, {4}),
}


@pytest.mark.parametrize(("values", "always", "expected"), EDGES.values(), ids=EDGES)
def test_edges(values, always, expected):
  assert rejected_of(values, REFERENCES, always) == expected
  assert rejected_of(values, REFERENCES, always, seed=0) == expected


def test_two_means_keeps_what_is_within_a_tight_group():
  # A difference of float32 sums would be off by more than the whole value.
  values = np.array([0.0, 1e-5, 2e-5, 1.0 - 2**-20, 1.0], np.float32)
  found = gap_statistic.two_means(jnp.asarray(values))
  expected = oracle.within(oracle.best_split(values.astype(float)))
  assert float(found.within[1]) == pytest.approx(expected, rel=1e-4)
  assert float(found.upper) == values[3]


def shrinking(step):
  """Uploads of all items that draw them towards their mean."""

  def poison(state, own, view, key):
    table = view.public.items
    rows = jnp.broadcast_to(
      step * (table - jnp.mean(table, axis=0)), (view.slot.shape[0], *table.shape)
    )
    return item_rows(view.slot, view.active, jnp.arange(len(table)), rows, len(table)), state

  return Attack(poison=poison)


def crowd(num_users=120, num_items=90):
  """Users with 5 to 25 training items."""
  random = np.random.default_rng(3)
  drawn = [
    random.choice(num_items, random.integers(6, 27), replace=False).tolist()
    for _ in range(num_users)
  ]
  train, test = (
    ItemLists.from_lists([one[part] for one in drawn]) for part in (slice(1, None), slice(1))
  )
  return Dataset("crowd", num_users, num_items, train, test)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_who_draws_all_items_together_is_rejected(optimizer):
  rate = 2e-3 if optimizer == "adam" else 1.0
  result = simulate(
    crowd(),
    model=models.mf(dim=8, init_std=0.1),
    attack=shrinking(0.05 if optimizer == "adam" else 0.5),
    defense=defenses.union(num_sampled=80, num_contrastive=5),
    train=TrainConfig(
      epochs=6,
      clients_per_round=20,
      participation="uniform",
      loss="bpr",
      learning_rate=rate,
      server_optimizer=optimizer,
    ),
    attacker=AttackerConfig(malicious_ratio=0.05),
    evaluation=EvalConfig(every=6, ks=(5,)),
  )
  found = {
    name: result.detection[f"client_{name}"].sum()
    for name in ("malicious", "malicious_flagged", "benign", "benign_flagged")
  }
  assert found["malicious"] >= 20
  assert found["malicious_flagged"] >= 0.9 * found["malicious"]
  assert found["benign_flagged"] <= 0.05 * found["benign"]


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_contrastive": 0}, "union.num_contrastive must be at least 1"),
    ({"num_sampled": 1}, "union.num_sampled must be at least 2"),
    ({"num_references": 0}, "union.num_references must be at least 1"),
    ({"weight": -0.5}, "union.weight must be 0 or more"),
    ({"temperature": 0.0}, "union.temperature must be positive"),
    ({"known_ratio": 1.0}, "union.known_ratio must be at least 0 and below 1"),
    ({"known_ratio": -0.1}, "union.known_ratio must be at least 0 and below 1"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    defenses.union(**options)


def test_it_joins_any_rule_and_attack(small):
  whole = defenses.chain(defenses.union(num_sampled=8, num_contrastive=2), defenses.median())
  assert whole.client_term is not None and whole.unique_rows
  result = simulate(
    small,
    model=models.mf(dim=4),
    attack=attacks.explicit_boosting(),
    defense=whole,
    train=TrainConfig(epochs=1, clients_per_round=6),
    attacker=AttackerConfig(malicious_ratio=0.25),
    evaluation=EvalConfig(ks=(3,)),
  )
  assert np.isfinite(result.metrics["train_loss"]).all() and "client_recall" in result.metrics
