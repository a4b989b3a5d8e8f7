"""Cells whose runs diverge: finished ones, with what was before and the words of what happened."""

import json

import polars as pl
import pytest

from experiments.sweep import run
from experiments.sweep.command import main
from fedrecjax.simulation.results import DivergedError

# From the second epoch on; the inner products of such vectors are infinite.
GRID = ("--attack=none,explicit_boosting", "--seed=0-1", "--train.learning_rate=10", "--train.epochs=4",
        "--attacker.malicious_ratio=0.2", "--attacker.start_epoch=1", "--explicit_boosting.init_std=5e37",
        "--explicit_boosting.reading=client")
WORDS = "under attack explicit_boosting: the attack's uploads are not finite"


@pytest.fixture
def sweep(command):
  """Runs the command in this process and returns its exit status."""
  return lambda *extra: main(["sweep", *command.arguments(*extra)])


def test_a_diverged_cell_is_a_finished_one(sweep, command, monkeypatch, capsys):
  assert sweep(*GRID) == 0
  told = capsys.readouterr()
  assert told.err.count(WORDS) == 2 and "failed" not in told.err and not (command.folder / "failures").exists()
  table = pl.read_parquet(command.folder / "results.parquet")
  assert table.height == 4
  ended = table.filter(pl.col("attack") != "none")
  assert ended["diverged_at_epoch"].to_list() == ended["epoch"].to_list() == [2, 2]
  assert ended["hr@10"].null_count() == ended["train_loss"].null_count() == 2
  assert all(WORDS in text for text in ended["diverged"])
  others = table.filter(pl.col("attack") == "none")
  assert others["diverged_at_epoch"].null_count() == 2 and others["hr@10"].null_count() == 0
  for row in ended.iter_rows(named=True):
    folder = command.folder / "cells" / row["config_hash"]
    assert json.loads((folder / "config.json").read_text())["diverged"] == row["diverged"]
    points = pl.read_parquet(folder / "metrics.parquet")
    assert points["epoch"].to_list() == [1, 2] and points["hr@10"].null_count() == 1
    users = pl.read_parquet(folder / "per_user.parquet")
    assert users["user"].to_list() == list(range(24)) and users["hr@10"].null_count() == 24
  text = (command.folder / "table.md").read_text()
  (line,) = [line for line in text.splitlines() if line.startswith("| explicit_boosting | none | 2 | diverged")]
  assert line.split("|")[4:7] == [" diverged at epoch 2 ", " - ", " - "]
  # The comparison with runs without attack needs metrics of both.
  assert "What the attack costs" not in text
  assert (command.folder / "utility_exposure.png").exists()
  monkeypatch.setattr(run, "simulate_config", lambda *_, **__: pytest.fail("computed again"))
  assert sweep(*GRID) == 0
  assert "4 of 4 cells are finished" in capsys.readouterr().err


def test_a_seed_that_diverges_leaves_the_mean_to_the_others(sweep, command, monkeypatch):
  simulate = run.simulate_config

  def one_diverges(config, *rest, **options):
    result = simulate(config, *rest, **options)
    if config.seed == 1:
      before = result._replace(metrics={name: values[:1] for name, values in result.metrics.items()})
      raise DivergedError("diverged at epoch 2 (round 4): words", before, epoch=2, round=4)
    return result

  monkeypatch.setattr(run, "simulate_config", one_diverges)
  assert sweep("--seed=0-1") == 0
  (only,) = pl.read_parquet(command.folder / "results.parquet").filter(pl.col("seed") == 0)["hr@10"].to_list()
  line = next(line for line in (command.folder / "table.md").read_text().splitlines() if line.startswith("| none |"))
  assert line.split("|")[4] == f" {only:.4f}, 1 diverged at epoch 2 "
