"""The table of what attacks cost users: differences, tests over users and over seeds, Holm's correction."""

import numpy as np
import polars as pl
import pytest

from experiments.grid import expand
from experiments.results import attack_costs
from experiments.results.attack_costs import compare_with_unattacked
from fedrecjax.metrics.significance import holm, paired_p_value

USERS = 12


@pytest.fixture
def frames(monkeypatch):
  """Hits and gains of every user by cell, which the table reads instead of files."""
  found = {}
  monkeypatch.setattr(attack_costs, "read_per_user", lambda out_dir, cell: found[cell.hash])
  return found


def values_of(cell):
  generator = np.random.default_rng([cell.config.seed, len(cell.flat["attack"])])
  loss = {"none": 0.0, "random": 0.02, "popular": 0.3}[cell.flat["attack"]]
  hits = generator.uniform(0.4, 0.6, USERS) - loss
  return pl.DataFrame({"user": np.arange(USERS), "hr@10": hits, "ndcg@10": hits / 2 + generator.uniform(0, 0.1, USERS)})


def test_tests_are_corrected_over_the_table(frames, tmp_path):
  cells = expand([{}], {"attack": "none,random,popular", "seed": "0-2"})
  frames |= {cell.hash: values_of(cell) for cell in cells}
  table = compare_with_unattacked(cells, tmp_path)
  by_axes = {(cell.flat["attack"], cell.config.seed): frames[cell.hash] for cell in cells}
  over_users, over_seeds = [], []
  for attack in ("random", "popular"):
    for metric in ("hr@10", "ndcg@10"):
      change = np.stack([by_axes[attack, seed][metric] - by_axes["none", seed][metric] for seed in range(3)])
      over_users.append(paired_p_value(change.mean(axis=0)))
      over_seeds.append(paired_p_value(change.mean(axis=1)))

  def shown(p):
    return "<.0001" if p < 0.0001 else f"{p:.4f}"

  columns = [[row[place] for row in table.rows for place in (first, first + 3)] for first in (5, 6)]
  assert table.header[4:7] == ("hr@10 - without attack", "hr@10 p over users", "hr@10 p over seeds")
  assert columns == [list(map(shown, holm(over_users))), list(map(shown, holm(over_seeds)))]
  assert columns[0][2] == "<.0001" and "Holm" in table.notes[1]


def test_one_seed_has_no_test_over_seeds(frames, tmp_path):
  cells = expand([{}], {"attack": "none,random", "seed": "1"})
  frames |= {cell.hash: values_of(cell) for cell in cells}
  (row,) = compare_with_unattacked(cells, tmp_path).rows
  assert row[6] == row[9] == "-" and row[5] != "-"


def test_without_a_counterpart_there_is_no_table(frames, tmp_path):
  assert compare_with_unattacked(expand([{}], {"attack": "random"}), tmp_path) is None
