"""The benchmark believes no time before its rivals arrive at the simulator's result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bench.command import (
  CASES,
  check_agreement,
  goal_of,
  measure,
  moved_bytes,
  numpy_run,
  report,
  timed,
)
from experiments.bench.numpy_baselines import (
  NumpyRun,
  client_by_client,
  krum_rule,
  median_rule,
  trimmed_rule,
  vectorised,
)
from experiments.bench.plot import plot_costs, series
from experiments.bench.records import read_record, write_record
from experiments.errors import UsageError
from experiments.results.plots import PlotError
from fedrecjax.config import from_flat
from fedrecjax.defenses import chain
from fedrecjax.simulation.planning import plan, round_inputs
from fedrecjax.simulation.round import jitted_rounds


@pytest.fixture
def planned(small):
  config = from_flat({"train.epochs": 2, "train.clients_per_round": 5, "mf.dim": 4, "eval.ks": [5]})
  return plan(
    small, model=config.model.build(), attack=config.attack.build(),
    defense=chain(*(part.build() for part in config.defense)), train=config.train, attacker=config.attacker,
    evaluation=config.eval, seed=0,
  )


def after_one_epoch(run):
  inputs = round_inputs(run.rounds, slice(0, run.rounds.per_epoch))
  state = jax.tree.map(jnp.copy, run.state)  # training uses its memory again
  return jitted_rounds(run.structure, run.constants, state, inputs)[0]


def test_the_simulator_agrees_with_its_rivals(planned):
  check_agreement(planned, after_one_epoch(planned))


def test_rivals_arrive_where_the_simulator_does(planned):
  before = numpy_run(planned)
  rounds = planned.rounds.clients[: planned.rounds.per_epoch]
  one, two = (before._replace(private=before.private.copy(), items=before.items.copy()) for _ in range(2))
  client_by_client(one, rounds)
  vectorised(two, rounds)
  assert np.abs(one.items - before.items).max() > 1e-3
  np.testing.assert_allclose(one.items, two.items, atol=1e-6)
  np.testing.assert_allclose(one.private, two.private, atol=1e-6)


def test_a_rival_that_disagrees_is_refused(planned):
  wrong = numpy_run(planned).items + 1
  state = planned.state._replace(server=planned.state.server._replace(
    public=planned.state.server.public._replace(items=wrong)))
  with pytest.raises(RuntimeError, match="client_by_client differs from the simulator by"):
    check_agreement(planned, state)


def test_a_rule_of_the_loop_is_applied_per_item():
  lists = NumpyRun(
    start=np.array([0, 1]), length=np.array([1, 1]), positive=np.array([0, 0]), negatives=np.array([[1], [2]]),
    private=np.ones((2, 1), np.float32), items=np.zeros((3, 1), np.float32), learning_rate=1.0,
  )
  client_by_client(lists, np.array([[0, 1, 2]]), lambda rows: np.full(1, float(len(rows)), np.float32))
  assert lists.items[:, 0].tolist() == [-2.0, -1.0, -1.0]


def test_rules_by_hand():
  rows = np.array([[0.0], [1.0], [5.0]])
  assert median_rule(rows).tolist() == [3.0]
  rows = np.arange(40.0)[:, None]
  rows[39] = 1000
  assert trimmed_rule(rows).tolist() == [np.arange(2.0, 38.0).mean() * 40]
  # With three rows each has one neighbour: the pair lies closest together, and the first of the two is taken.
  assert krum_rule(np.array([[9.0], [1.0], [1.5]])).tolist() == [3.0]


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_a_configuration(case):
  config = from_flat(CASES[case])
  chain(*(part.build() for part in config.defense))
  assert config.dataset == case.split()[0]


def test_bytes_of_an_epoch(planned, small):
  samples = len(small.train.items)
  assert moved_bytes(planned) == samples * (3 * 2 + 3) * 4 * 4


def test_a_case_is_measured_and_reported():
  row = measure("synthetic", None, 5)
  assert row["epoch_ms"] > 0 and row["loop_ms"] > 0 and row["traffic_limit_ms"] > 0 and row["peak_mb"] > 50
  assert report([row]).row_count == 1


def test_goals_are_those_of_plain_rounds_and_medians():
  assert goal_of("ml-100k") == 3 and goal_of("ml-100k pieck_uea median") == 8
  assert goal_of("ml-100k pieck_uea") is None and goal_of("ml-100k ncf") is None and goal_of("gowalla krum") is None


ROWS = [
  {"case": case, "epoch_ms": 10.0 * value, "rounds": 5, "traffic_limit_ms": 5.0, varied: value}
  for varied, case, value in (("clients", "ml-1m clients=64", 64), ("clients", "ml-1m clients=16", 16),
                              ("items", "ml-100k", 1682), ("d", "ml-100k d=8", 8))
]


def test_measurements_are_kept_with_their_machine(tmp_path):
  write_record(tmp_path / "new" / "a.json", ROWS)
  found = read_record(tmp_path / "new" / "a.json")
  assert found["rows"] == ROWS and found["machine"]["jax"] == jax.__version__ and found["machine"]["cores"] >= 1
  (tmp_path / "b.json").write_text("[]")
  with pytest.raises(UsageError, match=r"b\.json holds no measurements"):
    read_record(tmp_path / "b.json")


def test_costs_are_drawn_by_what_varies(tmp_path):
  assert series(ROWS, "clients") == [(16, 32.0, 1.0), (64, 128.0, 1.0)] and series(ROWS, "d") == [(8, 16.0, 1.0)]
  plot_costs(ROWS, tmp_path / "costs.png")
  assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")
  with pytest.raises(PlotError, match="no two cases differ in clients, d, items alone"):
    plot_costs(ROWS[2:], tmp_path / "none.png")


def test_timed_takes_the_median():
  calls = []
  timed(lambda: calls.append(None), 5)
  assert len(calls) == 5
