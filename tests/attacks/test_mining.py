"""Popular item mining against Algorithm 1, round by round, for many clients with different
patterns.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import mining
from fedrecjax.attacks.mining import init_mining, mine, plan_mining
from fedrecjax.types import AttackView, Public
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


def view_of(table, number):
  unused = dict.fromkeys(("client", "active", "slot", "targets", "learning_rate", "benign"))
  return AttackView(public=Public(jnp.asarray(table), ()), round=jnp.int32(number), **unused)


def assert_mined_as_by_the_oracle(rounds, tables, differences):
  rounds = np.asarray(rounds, np.int32)
  state = init_mining(
    jax.random.key(0),
    rounds=rounds,
    num_clients=CLIENTS,
    num_items=M,
    dim=D,
    excluded=EXCLUDED,
    num_popular=POPULAR,
    differences=differences,
  )
  expected = np.asarray(state.popular).copy()
  received = [[] for _ in range(CLIENTS)]
  mined = np.zeros(CLIENTS, bool)
  for number, (clients, table) in enumerate(zip(rounds, tables, strict=True)):
    for client in clients[clients >= 0]:
      received[client].append(table)
      if len(received[client]) == differences + 1:
        expected[client] = pieck.delta_norm_mining(received[client], POPULAR, EXCLUDED)
        mined[client] = True
    state = one_round(state, view_of(table, number))
    np.testing.assert_array_equal(state.mined, mined, err_msg=f"round {number}")
    np.testing.assert_array_equal(state.popular, expected, err_msg=f"round {number}")
  return state, mined


@pytest.mark.parametrize("differences", [1, 2, 3])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_mining_matches_after_every_round(pattern, differences):
  rounds = PATTERNS[pattern]
  tables = np.random.default_rng(5).normal(size=(len(rounds), M, D)).astype(np.float32)
  assert_mined_as_by_the_oracle(rounds, tables, differences)


def test_ties_go_to_the_smaller_id():
  # Moves of whole numbers in one coordinate, whose norms are exact.
  tables = np.zeros((12, M, D), np.float32)
  tables[:, :, 0] = np.random.default_rng(1).integers(0, 3, (12, M))
  _, mined = assert_mined_as_by_the_oracle(PATTERNS["shuffled"], tables, 2)
  assert mined.all()


def test_places_of_tables_are_used_again():
  plan = plan_mining(np.array(PATTERNS["uneven"]), CLIENTS, 2)
  assert (plan.store < plan.places).sum() > plan.places
  # Each comparison finds the table that the client received the time before, unharmed by other
  # rounds.
  held, last = {}, {}
  for number in range(len(plan.store)):
    for position in range(plan.compare[number]):
      assert held[plan.previous[number, position]] == last[plan.client[number, position]]
    if plan.store[number] < plan.places:
      held[plan.store[number]] = number
    for client in PATTERNS["uneven"][number]:
      last[client] = number


def test_few_tables_are_kept_when_everybody_comes_once_per_epoch():
  random = np.random.default_rng(0)
  rounds = np.concatenate([random.permutation(40).reshape(10, 4) for _ in range(50)])
  plan = plan_mining(rounds, 40, 2)
  assert plan.places <= 20  # two epochs of ten rounds
  assert len(plan.store) <= 30


def test_first_popular_items_are_arbitrary_and_never_targets():
  state = init_mining(
    jax.random.key(0),
    rounds=uniform(0),
    num_clients=CLIENTS,
    num_items=M,
    dim=D,
    excluded=EXCLUDED,
    num_popular=POPULAR,
    differences=2,
  )
  popular = np.asarray(state.popular)
  assert not np.isin(popular, EXCLUDED).any()
  assert all(len(set(one)) == POPULAR for one in popular)
  assert len({tuple(one) for one in popular}) > 1


def test_tables_that_would_not_fit_are_refused(monkeypatch):
  monkeypatch.setattr(mining, "SNAPSHOT_LIMIT_BYTES", 100)
  with pytest.raises(ValueError, match=r"would keep \d+ item tables"):
    init_mining(
      jax.random.key(0),
      rounds=uniform(0),
      num_clients=CLIENTS,
      num_items=M,
      dim=D,
      excluded=EXCLUDED,
      num_popular=POPULAR,
      differences=2,
    )
