"""Popular item mining against Algorithm 1, round by round, for many clients with different
patterns.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.federation.participation import draw_rounds
from fedrecjax.popularity import mining
from fedrecjax.popularity.mining import init_mining, mine, plan_mining, popular_items
from tests.oracles import pieck

M, D, CLIENTS, PLACES, POPULAR = 12, 3, 6, 4, 4
EXCLUDED = np.array([2, 7])
PATTERNS = {
  # Every client once per epoch of two rounds; gaps of one to three rounds.
  "shuffled": [
    [0, 1, 2, -1],
    [3, 4, 5, -1],
    [5, 0, 3, -1],
    [1, 2, 4, -1],
    [4, 2, 1, -1],
    [0, 3, 5, -1],
  ]
  * 2,
  # Client 0 in every round, 1 with a long gap, 2 twice only, 3 late, 4 once, 5 never.
  "uneven": [
    [0, 1, 2, 4],
    [0, -1, -1, -1],
    [2, 0, -1, -1],
    [0, 3, -1, -1],
    [0, -1, -1, -1],
    [3, 0, -1, -1],
    [0, 1, -1, -1],
    [3, 0, -1, -1],
    [-1, -1, -1, -1],
    [1, 0, -1, -1],
  ],
  "nobody": [[-1] * 4] * 3,
}


def uniform(seed):
  random = np.random.default_rng(seed)
  rounds = np.full((25, PLACES), -1)
  for row in rounds:
    count = random.integers(0, PLACES + 1)
    row[:count] = random.choice(CLIENTS, count, replace=False)
  return rounds


PATTERNS |= {f"uniform {seed}": uniform(seed) for seed in range(4)}
one_round = jax.jit(mine)
lists_of = jax.jit(popular_items)


def start(rounds, differences, clients=CLIENTS, excluded=EXCLUDED, **options):
  return init_mining(
    jax.random.key(0),
    rounds=np.asarray(rounds, np.int32),
    num_clients=clients,
    num_items=M,
    dim=D,
    excluded=excluded,
    num_popular=POPULAR,
    differences=differences,
    **options,
  )


def assert_mined_as_by_the_oracle(rounds, tables, differences, clients=CLIENTS, excluded=EXCLUDED):
  """Compares the lists of all clients after every round; `clients` also stands for an empty place."""
  state = start(rounds, differences, clients, excluded)
  everybody = jnp.arange(clients + 1)
  expected = np.asarray(lists_of(state, everybody)[0]).copy()
  received = [[] for _ in range(clients)]
  mined = np.zeros(clients + 1, bool)
  for number, (present, table) in enumerate(zip(rounds, tables, strict=True)):
    for client in present:
      if not 0 <= client < clients:
        continue
      received[client].append(table)
      if len(received[client]) == differences + 1:
        expected[client] = pieck.delta_norm_mining(received[client], POPULAR, excluded)
        mined[client] = True
    state = one_round(state, jnp.asarray(table), jnp.int32(number))
    found, found_mined = lists_of(state, everybody)
    np.testing.assert_array_equal(found_mined, mined, err_msg=f"round {number}")
    np.testing.assert_array_equal(found[:-1], expected[:-1], err_msg=f"round {number}")
  return state, mined[:-1]


def random_tables(rounds, seed=5):
  return np.random.default_rng(seed).normal(size=(len(rounds), M, D)).astype(np.float32)


@pytest.mark.parametrize("differences", [1, 2, 3])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_mining_matches_after_every_round(pattern, differences):
  rounds = PATTERNS[pattern]
  assert_mined_as_by_the_oracle(rounds, random_tables(rounds), differences)


@pytest.mark.parametrize("differences", [1, 2, 3])
@pytest.mark.parametrize("participation", ["shuffled", "uniform"])
def test_every_client_of_a_federation_mines(participation, differences):
  rounds = draw_rounds(
    3,
    num_clients=30,
    num_benign=30,
    clients_per_round=8,
    epochs=6,
    participation=participation,
  ).clients
  assert (rounds == 30).any() == (
    participation == "shuffled"
  )  # the last round of an epoch is short
  _, mined = assert_mined_as_by_the_oracle(
    rounds, random_tables(rounds), differences, clients=30, excluded=np.array([], np.int64)
  )
  assert mined.mean() > 0.8


def test_ties_go_to_the_smaller_id():
  # Moves of whole numbers in one coordinate, whose norms are exact.
  tables = np.zeros((12, M, D), np.float32)
  tables[:, :, 0] = np.random.default_rng(1).integers(0, 3, (12, M))
  _, mined = assert_mined_as_by_the_oracle(PATTERNS["shuffled"], tables, 2)
  assert mined.all()


def rounds_of(plan, cohort):
  """For each number of difference, the places a cohort compares, and the round in which it does."""
  group = int(np.searchsorted(plan.first_cohort[:-1], cohort, side="right")) - 1
  finished = int(np.searchsorted(plan.first_group, group, side="right")) - 1
  return [*plan.earlier[cohort], plan.previous[group]], finished


@pytest.mark.parametrize("pattern", ["uneven", "shuffled", "uniform 1", "uniform 3"])
def test_places_of_tables_are_used_again_and_never_too_early(pattern):
  differences = 2
  rounds = np.array(PATTERNS[pattern])
  plan, places = plan_mining(rounds, CLIENTS, differences)
  if pattern == "uneven":
    assert (plan.store < places).sum() > places
  part = [np.flatnonzero((rounds == client).any(axis=1)) for client in range(CLIENTS)]
  for client, took_part in enumerate(part):
    cohort = plan.cohort[client]
    if len(took_part) <= differences:
      assert cohort == CLIENTS
      continue
    read, finished = rounds_of(plan, cohort)
    assert finished == took_part[differences]
    for place, received in zip(read, took_part, strict=False):
      assert plan.store[received] == place
      # The table is kept before others are read, so that its place must be free in that round too.
      assert not (plan.store[received + 1 : finished + 1] == place).any()


def test_clients_that_came_in_the_same_rounds_are_one_cohort():
  rounds = [[0, 1, 2], [3, -1, -1], [1, 0, 3], [2, -1, -1], [2, 1, -1], [0, 3, -1]]
  plan, _ = plan_mining(np.array(rounds), 4, 1)
  # First two rounds: 0 and 2, 0 and 2, 0 and 3, 1 and 2; in order of the last, then the first.
  assert plan.cohort.tolist() == [0, 0, 2, 1]
  assert plan.first_cohort.tolist() == [0, 1, 2, 3, 3]
  assert plan.first_group.tolist() == [0, 0, 0, 2, 3]
  plan, _ = plan_mining(np.array(rounds), 4, 2)
  # 0 2 5, 0 2 4, 0 3 4, 1 2 5: those that share the last two rounds share a group.
  assert plan.cohort.tolist() == [2, 0, 1, 3]
  assert plan.first_cohort.tolist() == [0, 1, 2, 4, 4]
  assert plan.first_group.tolist() == [0, 0, 0, 0, 0, 2, 3]


@pytest.mark.parametrize(("differences", "cohorts"), [(1, 16), (2, 64)])
def test_there_are_few_cohorts_when_epochs_have_few_rounds(differences, cohorts):
  rounds = draw_rounds(
    0,
    num_clients=990,
    num_benign=943,
    clients_per_round=256,
    epochs=5,
    participation="shuffled",
  ).clients
  plan, places = plan_mining(rounds, 990, differences)
  assert len(set(plan.cohort.tolist())) == cohorts
  assert plan.cohort.max() < 990
  assert places == 4 * differences
  assert len(plan.store) == 4 * (differences + 1)


def test_few_tables_are_kept_when_everybody_comes_once_per_epoch():
  random = np.random.default_rng(0)
  rounds = np.concatenate([random.permutation(40).reshape(10, 4) for _ in range(50)])
  plan, places = plan_mining(rounds, 40, 2)
  assert places <= 20  # two epochs of ten rounds
  assert len(plan.store) <= 30


def test_first_popular_items_are_arbitrary_and_never_targets():
  popular = np.asarray(start(uniform(0), 2).arbitrary)
  assert not np.isin(popular, EXCLUDED).any()
  assert all(len(set(one)) == POPULAR for one in popular)
  assert len({tuple(one) for one in popular}) == 1
  own = np.asarray(start(uniform(0), 2, own_arbitrary=True).arbitrary)
  assert len({tuple(one) for one in own}) > 1 and not np.isin(own, EXCLUDED).any()


def test_tables_that_would_not_fit_are_refused(monkeypatch):
  monkeypatch.setattr(mining, "SNAPSHOT_LIMIT_BYTES", 100)
  with pytest.raises(ValueError, match=r"would keep \d+ item tables"):
    start(uniform(0), 2)
