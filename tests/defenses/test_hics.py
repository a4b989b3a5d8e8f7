"""Clipping on two levels and sparse updates: whole runs and random rounds beside the oracle."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.defenses.hics import in_coarse_order, largest_positive, quantile_of_positive
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import ClientUpdates, Defense, DefenseContext
from fedrecjax.uploads.rows import keep_clients, merge_rows
from tests.oracles import aggregation, hics
from tests.support.lockstep import (
  EVALUATION,
  assert_defended_rounds_match,
  final_state,
  make_run,
  simulated,
)
from tests.support.views import defense_view

# Both levels clip about half of what they see, and most items wait for some rounds.
TIGHT = {"row_norm": 0.05, "quantile": 0.4, "bound_scale": 1.5, "kept_share": 0.3}
# Shares and quantiles at their ends, and bounds that no row of a small run reaches.
OPEN = {"row_norm": 1e9, "quantile": 1.0, "bound_scale": 1e9, "kept_share": 1.0}
FOUR_EPOCHS = {"epochs": 4, "clients_per_round": 5, "learning_rate": 0.5}
THREE_MALICIOUS = AttackerConfig(malicious_ratio=0.25, num_targets=2)


@pytest.mark.parametrize(
  ("changes", "options"),
  [
    ({}, {}),
    ({"kept_share": 0.05}, {}),
    ({"kept_share": 1.0}, {"duplicates": "first"}),
    ({"row_norm": 1e9}, {"num_negatives": 3, "loss": "bpr"}),
    ({"quantile": 0.0}, {"clients_per_round": 1}),
    ({"quantile": 1.0, "bound_scale": 1.0}, {"clients_per_round": 100}),
  ],
  ids=["tight", "few", "all", "bpr", "one client", "all clients"],
)
def test_rounds_match_the_oracle(small, changes, options):
  train = TrainConfig(**(FOUR_EPOCHS | options))
  settings = TIGHT | changes
  run = make_run(
    small,
    train=train,
    attack=attacks.explicit_boosting(),
    attacker=THREE_MALICIOUS,
    defense=defenses.hics(**settings),
  )
  server = hics.Server(**settings)
  assert assert_defended_rounds_match(run, train, update=server.round) > 0
  memory = final_state(run).server.defense.memory
  expected = np.zeros((30, 4))
  for item, row in server.memory.items():
    expected[item] = row
  np.testing.assert_allclose(memory, expected, atol=1e-5)
  assert (np.abs(expected).max() > 0) == (settings["kept_share"] < 1)


def test_without_bounds_and_selection_it_is_the_plain_sum(small):
  train = TrainConfig(**FOUR_EPOCHS)
  plain, open_ = (
    make_run(
      small,
      train=train,
      attack=attacks.explicit_boosting(),
      attacker=THREE_MALICIOUS,
      defense=defense,
    )
    for defense in (defenses.none(), defenses.hics(**OPEN))
  )
  for one, other in zip(simulated(plain), simulated(open_), strict=True):
    np.testing.assert_allclose(
      one.after.server.public.items, other.after.server.public.items, atol=1e-6
    )
    assert not np.asarray(other.after.server.defense.memory).any()


def dropping_the_first():
  """A filter that drops the client in the first place of every round."""

  def drop(state, uploads, view):
    return keep_clients(uploads, jnp.arange(view.num_clients) > 0, view.num_items), state

  return Defense(filter=drop)


def test_filters_come_before_it(small):
  train = TrainConfig(**FOUR_EPOCHS)
  bounded = defenses.norm_bound(max_norm=0.03)
  run = make_run(
    small,
    train=train,
    defense=defenses.chain(dropping_the_first(), bounded, defenses.hics(**TIGHT)),
  )
  firsts = iter(run.rounds.clients[:, 0])
  server = hics.Server(**TIGHT)

  def update(uploads):
    first = next(firsts)
    return server.round(
      [
        (client, item, aggregation.norm_bound(row, 0.03))
        for client, item, row in uploads
        if client != first
      ]
    )

  assert_defended_rounds_match(run, train, update=update)


def test_shortened_rows_count_as_flagged(small):
  result = simulate(
    small,
    model=models.mf(dim=4, init_std=0.7),
    attack=attacks.explicit_boosting(),
    defense=defenses.hics(**TIGHT),
    train=TrainConfig(**FOUR_EPOCHS),
    attacker=THREE_MALICIOUS,
    evaluation=EVALUATION,
  )
  assert result.detection["row_malicious"].sum() > 0
  assert 0 < result.detection["row_benign_flagged"].sum() < result.detection["row_benign"].sum()


M, C, D, CAPACITY = 40, 12, 3, 260


def random_uploads(random):
  """Rows with repeated norms, items that nobody touches and unused places."""
  used = int(random.integers(0, CAPACITY))
  client = np.sort(random.integers(0, C, used))
  item = random.choice(random.choice(M, 25, replace=False), used)
  row = random.integers(-2, 3, (used, D)) / 8
  spare = CAPACITY - used
  uploads = ClientUpdates(
    jnp.asarray(np.append(client, np.zeros(spare)), jnp.int32),
    jnp.asarray(np.append(item, np.full(spare, M)), jnp.int32),
    jnp.asarray(np.concatenate([row, np.full((spare, D), 7.5)]), jnp.float32),
  )
  merged = {}
  for one, two, three in zip(client.tolist(), item.tolist(), row, strict=True):
    merged[one, two] = merged.get((one, two), 0.0) + three
  return uploads, [(*key, three) for key, three in merged.items()]


@jax.jit
def one_round(stages, state, uploads):
  filter_uploads, aggregate = stages
  view = defense_view(num_items=M, num_clients=C)
  uploads, state = filter_uploads(state, merge_rows(uploads, M), view)
  update, state = aggregate(state, uploads, view)
  return jnp.zeros((M, D)).at[update.items.item].add(update.items.row, mode="drop"), state


@pytest.mark.parametrize("kept_share", [0.01, 0.1, 0.29, 0.5, 1.0])
@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 1.0])
def test_random_rounds_match_the_oracle(kept_share, quantile):
  settings = {"row_norm": 0.25, "quantile": quantile, "bound_scale": 1.25, "kept_share": kept_share}
  defense, server = defenses.hics(**settings), hics.Server(**settings)
  state = defense.init(jax.random.key(0), CONTEXT)
  random = np.random.default_rng(int(1000 * kept_share + 10 * quantile))
  for number in range(25):
    uploads, rows = random_uploads(random)
    found, state = one_round((defense.filter, defense.aggregate), state, uploads)
    expected = np.zeros((M, D))
    for item, row in server.round(rows).items():
      expected[item] = row
    np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"round {number}")


CONTEXT = DefenseContext(M, D, C, C, np.zeros((1, C), np.int32), None, None)
NOTHING = ClientUpdates(
  jnp.zeros(CAPACITY, jnp.int32), jnp.full(CAPACITY, M, jnp.int32), jnp.full((CAPACITY, D), 7.5)
)


def test_rounds_without_uploads():
  defense = defenses.hics(**(TIGHT | {"kept_share": 0.5}))
  stages = defense.filter, defense.aggregate
  state = defense.init(jax.random.key(0), CONTEXT)
  found, state = one_round(stages, state, NOTHING)
  assert not found.any() and not state.memory.any()
  waiting = np.zeros((M, D), np.float32)
  waiting[[3, 5, 7, 9], 0] = [1.0, -2.0, 3.0, 4.0]
  found, after = one_round(stages, state._replace(memory=jnp.asarray(waiting)), NOTHING)
  applied = np.isin(np.arange(M), [7, 9])[:, None]
  np.testing.assert_array_equal(found, np.where(applied, waiting, 0))
  np.testing.assert_array_equal(after.memory, np.where(applied, 0, waiting))


def test_items_clipped_to_the_same_bound_are_applied_by_number():
  # All of these sums are longer than the bound, each in its own direction; clipped, their norms are
  # equal but for rounding.
  random = np.random.default_rng(0)
  item = random.permutation(M).astype(np.int32)
  row = random.normal(size=(M, D)).astype(np.float32) + 2
  uploads = NOTHING._replace(item=NOTHING.item.at[:M].set(item), row=NOTHING.row.at[:M].set(row))
  for row_norm, quantile in ((1e9, 0.0), (0.1, 1.0)):
    defense = defenses.hics(row_norm=row_norm, quantile=quantile, kept_share=0.25)
    state, sent = defense.init(jax.random.key(0), CONTEXT), uploads
    # A quarter of the 40, 30 and 23 that wait.
    for first, end in ((0, 10), (10, 17), (17, 22)):
      found, state = one_round((defense.filter, defense.aggregate), state, sent)
      assert np.flatnonzero(np.asarray(found).any(axis=1)).tolist() == list(range(first, end))
      sent = NOTHING


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("positive", [0, 1, 2, 3, 10, 200])
def test_quantiles_of_the_positive_numbers(share, positive):
  random = np.random.default_rng(positive)
  values = random.permutation(np.append(random.random(positive) + 0.01, np.zeros(17)))
  found = quantile_of_positive(jnp.asarray(values, jnp.float32), share)
  expected = np.quantile(values[values > 0], share) if positive else 0.0
  assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
  "share", ["0.01", "0.05", "0.1", "0.13", "0.21", "0.3", "0.53", "0.78", "0.9"]
)
def test_the_number_applied_is_exact(share):
  # Products that are integers, and their neighbours. Beyond 4,000 items float32 may be one off.
  counts = np.arange(100, 4001, 100)[:, None] + np.array([-1, 0, 1])
  # As many equal numbers as are asked for; how many of them are chosen?
  values = (np.arange(4001) < counts.reshape(-1, 1)).astype(np.int32)
  chosen = jax.jit(jax.vmap(largest_positive, in_axes=(0, None)))(jnp.asarray(values), float(share))
  expected = [max(1, math.floor(Fraction(share) * int(count))) for count in counts.reshape(-1)]
  assert np.asarray(chosen).sum(axis=1).tolist() == expected


def test_the_largest_are_chosen_and_of_equals_the_first():
  random = np.random.default_rng(1)
  for share in (0.05, 0.5, 0.8, 1.0):
    values = random.integers(0, 6, 50)
    chosen = np.flatnonzero(largest_positive(jnp.asarray(values), share))
    by_size = sorted(np.flatnonzero(values), key=lambda place: (-values[place], place))
    assert chosen.tolist() == sorted(by_size[: math.floor(share * len(by_size) + 1e-9)])


def test_coarse_order():
  random = np.random.default_rng(2)
  values = np.append(10.0 ** random.uniform(-20, 20, 2000), [0.0, 1e-3, 1.0]).astype(np.float32)
  found = np.asarray(in_coarse_order(jnp.asarray(values)))
  coarse = [hics.coarse(float(value)) for value in values]
  # The same order, and equal where the rounded numbers are.
  np.testing.assert_array_equal(
    np.unique(found, return_inverse=True)[1], np.unique(coarse, return_inverse=True)[1]
  )
  near = values[:, None] * (1 + np.array([0.0, 1e-4, 3e-4], np.float32))
  grid = np.asarray(in_coarse_order(jnp.asarray(near[:2000])))
  assert (grid[:, 2] > grid[:, 0]).all() and (grid[:, 1] == grid[:, 0]).any()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"row_norm": 0.0}, "hics.row_norm must be positive"),
    ({"quantile": -0.1}, r"hics.quantile must lie in \[0, 1\]"),
    ({"quantile": 1.1}, r"hics.quantile must lie in \[0, 1\]"),
    ({"bound_scale": 0.0}, "hics.bound_scale must be positive"),
    ({"kept_share": 0.0}, r"hics.kept_share must lie in \(0, 1\]"),
    ({"kept_share": 1.1}, r"hics.kept_share must lie in \(0, 1\]"),
    ({"kept_share": float("nan")}, "hics.kept_share"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    defenses.hics(**options)


def test_it_cannot_be_chained_with_another_rule():
  with pytest.raises(ValueError, match="only one aggregation rule"):
    defenses.chain(defenses.hics(), defenses.median())
