"""Verdicts on uploads: counts by definition, on random rounds and in whole runs."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.defenses import chain
from fedrecjax.metrics.detection import detection_columns, flagged_by_filter, verdicts
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import ClientUpdates, Defense, ItemRows, Update
from fedrecjax.uploads.rows import keep_clients
from tests.support.lockstep import honest_uploads, make_run, poisoned_rows, round_input, step

M, C, CAPACITY = 8, 6, 40
QUALITIES = ("precision", "recall", "false_positive_rate")
COUNTS = ("malicious_flagged", "malicious", "benign_flagged", "benign")


def counted(rows, malicious):
  """The two lines of counts by definition, from (client, whether its row is flagged) for each row
  and the set of malicious clients.
  """
  clients = {}
  for client, flagged in rows:
    clients.setdefault(client, []).append(flagged)
  judged = [(client, all(flags)) for client, flags in clients.items()]
  lines = []
  for level in (judged, rows):
    line = []
    for group in (True, False):
      flags = [flagged for client, flagged in level if (client in malicious) == group]
      line += [sum(flags), len(flags)]
    lines.append(line)
  return lines


@pytest.mark.parametrize("used", [0, 1, 10, CAPACITY])
@pytest.mark.parametrize("malicious_clients", [0, 2, C])
def test_verdicts_count_clients_and_rows(used, malicious_clients):
  judge = jax.jit(verdicts)
  for seed in range(15):
    random = np.random.default_rng([seed, used, malicious_clients])
    is_used = np.zeros(CAPACITY, bool)
    is_used[random.choice(CAPACITY, used, replace=False)] = True
    client = random.integers(0, C, CAPACITY)
    # Some clients lose all of their rows.
    flagged = is_used & (
      (random.random(CAPACITY) < 0.4) | np.isin(client, random.integers(0, C, 2))
    )
    malicious = np.zeros(C, bool)
    malicious[random.choice(C, malicious_clients, replace=False)] = True
    found = judge(*map(jnp.asarray, (flagged, is_used, client, malicious)))
    rows = list(zip(client[is_used].tolist(), flagged[is_used].tolist(), strict=True))
    assert found.tolist() == counted(rows, set(np.flatnonzero(malicious)))


def test_a_client_that_sent_nothing_is_not_counted():
  nobody = jnp.zeros(CAPACITY, bool)
  client = jnp.zeros(CAPACITY, jnp.int32)
  assert not verdicts(nobody, nobody, client, jnp.ones(C, bool)).any()
  assert verdicts(nobody, nobody.at[3].set(True), client, jnp.ones(C, bool)).tolist() == [
    [0, 1, 0, 0],
    [0, 1, 0, 0],
  ]


def test_rows_that_a_filter_dropped_or_shortened_are_flagged():
  cases = [
    # before, after, item after the filter, flagged
    ([3.0, 4.0], [3.0, 4.0], 2, False),
    ([3.0, 4.0], [3.0, 4.0], M, True),
    ([3.0, 4.0], [2.9, 4.0], 2, True),
    ([3.0, 4.0], [3.0 * (1 - 1e-6), 4.0 * (1 - 1e-6)], 2, False),
    ([3.0, 4.0], [3.0 * (1 - 1e-4), 4.0 * (1 - 1e-4)], 2, True),
    # Longer, or as long in another direction: not a sign of distrust.
    ([3.0, 4.0], [6.0, 8.0], 2, False),
    ([3.0, 4.0], [-4.0, 3.0], 2, False),
    ([3.0, 4.0], [0.0, 0.0], 2, True),
    ([0.0, 0.0], [0.0, 0.0], 2, False),
    ([0.0, 0.0], [0.0, 0.0], M, True),
    ([1e-18, 0.0], [5e-19, 0.0], 2, True),
  ]
  before, after, item, expected = (list(column) for column in zip(*cases, strict=True))
  # An unused place is never flagged, whatever it holds.
  before, after = [*before, [5.0, 5.0], [5.0, 5.0]], [*after, [1.0, 1.0], [1.0, 1.0]]
  items = [2] * len(cases) + [M, M]
  client = jnp.zeros(len(items), jnp.int32)
  found = flagged_by_filter(
    ClientUpdates(client, jnp.array(items), jnp.array(before)),
    ClientUpdates(client, jnp.array([*item, M, 3]), jnp.array(after)),
    M,
  )
  assert found.tolist() == [*expected, False, False]


def test_norms_are_not_taken_where_a_filter_only_drops():
  uploads = ClientUpdates(jnp.array([0, 1, 0]), jnp.array([0, 1, 5]), jnp.ones((3, 2)))

  def dropping(uploads):
    after = keep_clients(uploads, jnp.array([True, False]), 5)
    return flagged_by_filter(uploads, after, 5)

  def shortening(uploads):
    after = uploads._replace(row=uploads.row * jnp.array([0.5, 1.0, 0.5])[:, None])
    return flagged_by_filter(uploads, after, 5)

  assert dropping(uploads).tolist() == [False, True, False]
  assert shortening(uploads).tolist() == [True, False, False]
  assert "sqrt" not in str(jax.make_jaxpr(dropping)(uploads))
  assert "sqrt" in str(jax.make_jaxpr(shortening)(uploads))


def test_columns_are_shares_of_the_counts():
  random = np.random.default_rng(0)
  malicious, benign = random.integers(0, 4, (2, 60, 2))
  counts = np.stack(
    [random.integers(0, malicious + 1), malicious, random.integers(0, benign + 1), benign], axis=2
  )
  columns = detection_columns(counts)
  assert list(columns) == [
    f"{level}_{one}" for level in ("client", "row") for one in COUNTS + QUALITIES
  ]
  for number, of_round in enumerate(counts.tolist()):
    for level, (caught, all_malicious, false, all_benign) in zip(
      ("client", "row"), of_round, strict=True
    ):
      shares = (caught, caught + false), (caught, all_malicious), (false, all_benign)
      for name, value in zip(COUNTS, (caught, all_malicious, false, all_benign), strict=True):
        assert columns[f"{level}_{name}"][number] == value
      for name, (part, whole) in zip(QUALITIES, shares, strict=True):
        found = columns[f"{level}_{name}"][number]
        assert found == part / whole if whole else math.isnan(found)
  # Every share lacks something to be taken of in some round.
  assert all(
    np.isnan(columns[f"{level}_{name}"]).any() for level in ("client", "row") for name in QUALITIES
  )


def test_no_round_and_empty_rounds():
  assert all(len(column) == 0 for column in detection_columns(np.zeros((0, 2, 4), int)).values())
  columns = detection_columns(np.zeros((2, 2, 4), int))
  assert all(np.isnan(columns[f"client_{name}"]).all() for name in QUALITIES)
  assert not any(columns[f"client_{name}"].any() for name in COUNTS)


TRAIN = TrainConfig(epochs=3, clients_per_round=5, learning_rate=0.5, num_negatives=2)
THREE_MALICIOUS = AttackerConfig(malicious_ratio=0.25, num_targets=2)
MODEL = models.mf(dim=4, init_std=0.7)


def sent_rows(run, before, inputs):
  """The rows of a round by (place of the client, item), those of one client for one item added
  up, as a rule sees them.
  """
  rows = {}
  uploads = honest_uploads(run, before, inputs)
  for place, item, row in zip(*(np.asarray(part) for part in uploads[:3]), strict=True):
    if item < run.structure.num_items:
      rows[int(place), int(item)] = rows.get((int(place), int(item)), 0.0) + row.astype(float)
  places = {int(client): place for place, client in enumerate(inputs.clients)}
  for client, item, row in poisoned_rows(run, before, inputs):
    rows[places[client], item] = row
  return rows


def assert_counts(run, flags):
  """Compares every round's verdicts with `flags`: (place, item, row) -> whether it is flagged."""
  state, total = run.state, np.zeros((2, 4), int)
  for number in range(len(run.rounds.clients)):
    inputs = round_input(run, number)
    clients = np.asarray(inputs.clients)
    is_malicious = (clients >= run.structure.num_benign) & (clients < run.structure.num_clients)
    rows = [
      (place, bool(flags(place, item, row)))
      for (place, item), row in sent_rows(run, state, inputs).items()
    ]
    expected = counted(rows, set(np.flatnonzero(is_malicious).tolist()))
    state, (_, _, found, *_) = step(run.structure, run.constants, state, inputs)
    assert found.tolist() == expected, f"round {number}"
    total += np.array(expected)
  return total


def run_with(small, defense, train=TRAIN, attacker=THREE_MALICIOUS):
  return make_run(
    small, train=train, attack=attacks.explicit_boosting(), attacker=attacker, defense=defense
  )


@pytest.mark.parametrize("rule", [None, defenses.median()], ids=["sum", "median"])
def test_rows_shortened_by_a_bound_are_counted(small, rule):
  bound = defenses.norm_bound(max_norm=0.05)
  run = run_with(small, bound if rule is None else chain(bound, rule))
  total = assert_counts(run, lambda place, item, row: np.linalg.norm(row) > 0.05)
  # The bound catches some of each group, and not all: a test of nothing otherwise.
  assert (total[:, 0] > 0).all() and (total[:, 0] <= total[:, 1]).all()
  assert (total[:, 2] > 0).all() and (total[:, 2] < total[:, 3]).all()


def dropping_the_first():
  def drop(state, uploads, view):
    return keep_clients(uploads, jnp.arange(view.num_clients) > 0, view.num_items), state

  return Defense(filter=drop)


def in_first_place(place, item, row):
  return place == 0


@pytest.mark.parametrize("rule", [defenses.none(), defenses.median()], ids=["sum", "median"])
def test_dropped_clients_are_counted(small, rule):
  total = assert_counts(run_with(small, chain(dropping_the_first(), rule)), in_first_place)
  # One client in each of 9 rounds, some of them malicious.
  assert total[0, 0] + total[0, 2] == 9 and total[0, 0] > 0


def rejecting_odd_items(unique_rows):
  """A rule that sums up the rows of even items and says so."""

  def aggregate(state, uploads, view):
    even = uploads.item % 2 == 0
    item = jnp.where(even, uploads.item, view.num_items)
    return Update(ItemRows(item, uploads.row), kept=even), state

  return Defense(aggregate=aggregate, unique_rows=unique_rows)


def of_odd_item(place, item, row):
  return item % 2 == 1


def test_what_a_rule_rejects_is_counted(small):
  total = assert_counts(run_with(small, rejecting_odd_items(True)), of_odd_item)
  assert (total[1, [0, 2]] > 0).all()


@pytest.mark.parametrize("unique_rows", [False, True])
def test_what_a_filter_drops_and_a_rule_rejects_is_counted_once(small, unique_rows):
  # With unique rows the rule sees the rows in other places than the filter.
  defense = chain(dropping_the_first(), rejecting_odd_items(unique_rows))
  assert_counts(
    run_with(small, defense),
    lambda place, item, row: in_first_place(place, item, row) or of_odd_item(place, item, row),
  )


def test_a_rule_without_filter_judges_rows_as_they_are_sent(small):
  # Nothing asks for unique rows: an item that a client sends twice counts twice.
  train = TrainConfig(epochs=1, clients_per_round=100, num_negatives=3)
  run = make_run(small, train=train, defense=rejecting_odd_items(False))
  inputs = round_input(run, 0)
  uploads = honest_uploads(run, run.state, inputs)
  used = np.asarray(uploads.item) < 30
  rows = [
    (int(place), bool(item % 2))
    for place, item in zip(
      np.asarray(uploads.client)[used], np.asarray(uploads.item)[used], strict=True
    )
  ]
  assert len(rows) == 4 * int(np.asarray(run.constants.data.training.length).sum())
  _, (_, _, found, *_) = step(run.structure, run.constants, run.state, inputs)
  assert found.tolist() == counted(rows, set())


def test_empty_places_and_benign_runs(small):
  # 12 clients in rounds of 5, 5 and 2: the last has three empty places, and nobody is malicious.
  run = make_run(small, train=TRAIN, defense=defenses.norm_bound(max_norm=0.05))
  total = assert_counts(run, lambda place, item, row: np.linalg.norm(row) > 0.05)
  assert total[0].tolist()[:2] == [0, 0] and total[0, 3] == 36


def result_of(dataset, defense, every):
  """A whole run with three malicious clients, evaluated after so many epochs each."""
  return simulate(
    dataset,
    model=MODEL,
    attack=attacks.explicit_boosting(),
    attacker=THREE_MALICIOUS,
    train=TRAIN,
    defense=defense,
    evaluation=EvalConfig(ks=(3,), every=every),
  )


def test_results_hold_every_round_and_the_sums_between_evaluations(small):
  result = result_of(small, defenses.norm_bound(max_norm=0.05), every=2)
  run = run_with(small, defenses.norm_bound(max_norm=0.05))
  total = assert_counts(run, lambda place, item, row: np.linalg.norm(row) > 0.05)
  assert len(result.detection["row_benign"]) == 9
  for place, name in enumerate(COUNTS):
    for level, line in zip(("client", "row"), total, strict=True):
      of_rounds, of_points = (
        columns[f"{level}_{name}"] for columns in (result.detection, result.metrics)
      )
      assert of_rounds.sum() == line[place]
      # Evaluated after two epochs of three rounds, and after the third.
      assert of_points.tolist() == [of_rounds[:6].sum(), of_rounds[6:].sum()]
  recall = result.metrics["row_recall"]
  expected = result.metrics["row_malicious_flagged"] / result.metrics["row_malicious"]
  np.testing.assert_array_equal(recall, expected)


@pytest.mark.parametrize("defense", [None, defenses.median()], ids=["none", "median"])
def test_defenses_that_judge_nobody_have_no_columns(small, defense):
  result = result_of(small, defense, every=3)
  assert result.detection == {}
  assert not any(name.endswith(QUALITIES) for name in result.metrics)
