"""The command in this process: result files, resuming, shards, failures."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import fedrecjax as frj
from experiments.recipes import RECIPES, Figure, Recipe
from experiments.sweep import run
from experiments.sweep.command import main
from experiments.sweep.progress import duration
from fedrecjax.config import from_flat
from fedrecjax.simulation.results import DivergedError
from fedrecjax.version import __version__

TIMES = ("wall_s", "compile_s")
GRID = ("--attack=none,random", "--seed=0-1")


@pytest.fixture
def sweep(command):
  """Runs the command in this process and returns its exit status."""
  return lambda *extra: main(["sweep", *command.arguments(*extra)])


def results(folder):
  return pl.read_parquet(folder / "results.parquet").drop(TIMES)


def test_results_say_names(sweep, command, tmp_path):
  """Items and users called as in the file, which has commas in its name; the numbers stay beside."""
  lines = command.data_file.read_text().splitlines()
  rows = [line.split(",") for line in lines[1:]]
  renamed = [f"u{user};{20 * int(item) + 7};{time}" for user, item, time in rows]
  odd = tmp_path / "plays, all.csv"
  odd.write_text("\n".join(["userId;artistID;date", *renamed]) + "\n")
  assert sweep(f"--dataset={odd}", "--attack=random", "--attacker.target_items=67+27") == 0
  table = pl.read_parquet(command.folder / "results.parquet")
  assert table["targets"].to_list() == ["67+27"] and table["attacker.target_items"].to_list() == ["67+27"]
  users = pl.read_parquet(command.folder / "cells" / table["config_hash"][0] / "per_user.parquet")
  assert users.columns[:2] == ["user", "user_name"] and users["user"].to_list() == list(range(24))
  assert users["user_name"].to_list() == list(dict.fromkeys(f"u{user}" for user, _, _ in rows))


def test_result_files(sweep, command, capsys):
  assert sweep(*GRID) == 0
  table = pl.read_parquet(command.folder / "results.parquet")
  assert table.height == 4
  for name in ("hr@5", "hr@10", "ndcg@20", "er@5", "er@10", "target_ndcg@10"):
    assert table[name].is_between(0, 1).all()
  assert {"train_loss", "epoch", "round", "wall_s", "compile_s", "seed", "config_hash", "version"} <= set(table.columns)
  assert table["version"].unique().to_list() == [__version__]
  for row in table.iter_rows(named=True):
    folder = command.folder / "cells" / row["config_hash"]
    content = json.loads((folder / "config.json").read_text())
    assert row["config_hash"] == content["config_hash"] and row["data_digest"] == content["data_digest"]
    assert from_flat(content["config"]).seed == row["seed"]
    assert set(content["config"]) <= set(table.columns)
    assert row["eval.ks"] == "5+10+20" and row["train.row_clip"] is None
    assert (row["random.max_rows"] is None) == (row["attack"] == "none")
    points = pl.read_parquet(folder / "metrics.parquet")
    assert points["epoch"].to_list() == [1, 2] and set(points.columns) <= set(table.columns)
    assert points["hr@10"][-1] == row["hr@10"]
    users = pl.read_parquet(folder / "per_user.parquet")
    assert users["user"].to_list() == list(range(24))
    assert users["hr@10"].mean() == pytest.approx(row["hr@10"], rel=1e-5)
  csv = pl.read_csv(command.folder / "results.csv", infer_schema_length=None)
  assert csv.columns == table.columns and csv.height == 4
  text = (command.folder / "table.md").read_text()
  assert "| none | none | 2 |" in text and "±" in text and "What the attack costs" in text
  assert (command.folder / "utility_exposure.png").read_bytes().startswith(b"\x89PNG")
  said = capsys.readouterr()
  assert "hr@10 - without attack" in said.out
  assert len(re.findall(r"\d s \(\d+\.\d s training, \d+\.\d s compilation\)", said.err)) == 4
  seconds = {name: duration(table[name].sum()) for name in TIMES}
  assert f"Time: {seconds['wall_s']} of training and {seconds['compile_s']} of compilation in 4 cells" in said.out


def test_a_second_run_computes_nothing(sweep, command, monkeypatch, capsys):
  assert sweep(*GRID) == 0
  before = pl.read_parquet(command.folder / "results.parquet")
  first = capsys.readouterr().out
  monkeypatch.setattr(run, "simulate_config", lambda *_, **__: pytest.fail("computed again"))
  assert sweep(*GRID) == 0
  assert_frame_equal(before, pl.read_parquet(command.folder / "results.parquet"))
  again = capsys.readouterr()
  assert again.out == first and "4 of 4 cells are finished" in again.err


def test_a_broken_sweep_goes_on_to_the_same_results(sweep, command):
  assert sweep(*GRID) == 0
  unbroken = results(command.folder)
  cells = sorted((command.folder / "cells").iterdir())
  shutil.rmtree(cells[0])
  (cells[1] / "config.json").write_text('{"config": {')
  half = command.folder / "cells" / ".tmp-half"
  half.mkdir()
  (half / "metrics.parquet").write_text("half")
  for name in ("results.parquet", "results.csv"):
    (command.folder / name).unlink()
  assert sweep(*GRID) == 0
  assert_frame_equal(results(command.folder), unbroken)


def test_computing_anew_gives_the_same(sweep, command, monkeypatch):
  assert sweep(*GRID) == 0
  before = results(command.folder)
  computed = []
  simulate = run.simulate_config

  def counting(*arguments, **options):
    computed.append(1)
    return simulate(*arguments, **options)

  monkeypatch.setattr(run, "simulate_config", counting)
  assert sweep("--resume=false", *GRID) == 0
  assert len(computed) == 4
  assert_frame_equal(results(command.folder), before)


def test_shards_together_are_the_sweep(sweep, command, tmp_path):
  assert sweep(*GRID) == 0
  whole = results(command.folder)
  parts = tmp_path / "parts"
  for index in range(3):
    assert sweep(*GRID, f"--shard={index}/3", f"--out_dir={parts}") == 0
  assert_frame_equal(results(parts), whole)


def test_the_command_computes_what_the_library_does(sweep, command):
  flags = {
    "attack": "pieck_uea", "defense": "norm_bound+trimmed_mean", "seed": "3", "pieck_uea.num_popular": "5",
    "pieck_uea.mining_differences": "1", "norm_bound.max_norm": "0.01", "attacker.malicious_ratio": "0.25",
    "train.loss": "bpr", "train.l2": "0.1", "eval.candidates": "sampled", "eval.num_negatives": "20", "eval.ks": "3+8",
  }
  assert sweep(*(f"--{name}={value}" for name, value in flags.items())) == 0
  table = results(command.folder).row(0, named=True)
  found = frj.simulate(
    frj.load(command.data_file, repeats="drop"), model=frj.mf(dim=4),
    attack=frj.pieck_uea(num_popular=5, mining_differences=1),
    defense=frj.chain(frj.norm_bound(max_norm=0.01), frj.trimmed_mean()),
    train=frj.TrainConfig(epochs=2, clients_per_round=8, loss="bpr", l2=0.1),
    attacker=frj.AttackerConfig(malicious_ratio=0.25),
    evaluation=frj.EvalConfig(candidates="sampled", num_negatives=20, ks=(3, 8)), seed=3,
  )
  for name, column in found.metrics.items():
    if name not in TIMES:
      np.testing.assert_array_equal(table[name], column[-1], err_msg=name)


def test_a_failing_cell_does_not_stop_the_others(sweep, command, monkeypatch, capsys):
  simulate = run.simulate_config

  def failing(config, *rest, **options):
    if config.attack.name == "random" and config.seed == 0:
      raise DivergedError("training diverged: train_loss is nan at epoch 1")
    return simulate(config, *rest, **options)

  monkeypatch.setattr(run, "simulate_config", failing)
  assert sweep(*GRID) == 1
  error = capsys.readouterr().err
  assert "random none seed=0: training diverged" in error and "1 of 4 cells failed" in error
  assert results(command.folder).height == 3
  (file,) = (command.folder / "failures").iterdir()
  content = json.loads(file.read_text())
  assert content["reason"].startswith("training diverged") and content["config"]["attack"] == "random"
  monkeypatch.setattr(run, "simulate_config", simulate)
  assert sweep(*GRID) == 0
  assert results(command.folder).height == 4 and not list((command.folder / "failures").iterdir())


def test_a_failure_while_computing_anew_counts(sweep, command, monkeypatch):
  assert sweep("--seed=0") == 0
  monkeypatch.setattr(run, "simulate_config", lambda *_, **__: 1 / 0)
  assert sweep("--seed=0", "--resume=false") == 1
  assert results(command.folder).height == 1


def test_an_error_while_writing_leaves_no_half_cell(sweep, command, monkeypatch, capsys):
  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
  assert sweep("--seed=0") == 1
  assert "No space left on device" in capsys.readouterr().err
  assert not list((command.folder / "cells").iterdir())


def test_where_even_the_reason_of_a_failure_cannot_be_written_the_others_go_on(sweep, command, monkeypatch, capsys):
  simulate = run.simulate_config

  def failing(config, *rest, **options):
    if config.seed == 0:
      raise DivergedError("training diverged")
    return simulate(config, *rest, **options)

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(run, "simulate_config", failing)
  monkeypatch.setattr(run, "_write_failure", full)
  assert sweep("--seed=0-1") == 1
  error = capsys.readouterr().err
  assert "sweep: failed: " in error and "seed=0: training diverged" in error
  assert error.endswith("1 of 2 cells failed\n") and results(command.folder)["seed"].to_list() == [1]


def test_list_shows_what_is_finished(sweep, command, capsys):
  assert sweep("--seed=1") == 0
  capsys.readouterr()
  assert sweep(*GRID, "--list") == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith("4 cells, 1 of them finished")
  assert sum(line.endswith("yes       ") or line.split()[-1:] == ["yes"] for line in lines) == 1
  assert not [line for line in lines if "train.epochs" in line]


def test_a_grid_of_several_list_lengths(sweep, command):
  assert sweep("--eval.ks=3,5+7", "--eval.candidates=sampled", "--eval.num_negatives=20") == 0
  table = results(command.folder).sort("eval.ks")
  assert table["eval.ks"].to_list() == ["3", "5+7"]
  assert table["hr@3"].is_null().to_list() == [False, True]
  text = (command.folder / "table.md").read_text()
  assert "hr@" in text and "er@" in text


def test_data_that_cannot_be_evaluated_is_bad_input(sweep, capsys):
  assert sweep("--eval.candidates=sampled", "--eval.num_negatives=500") == 2
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and "eval.num_negatives=500" in error


def test_recipes_show_the_papers_figures_where_they_belong(sweep, command, monkeypatch, capsys):
  figure = Figure({"attack": "random"}, {"er@10": 0.25})
  own = (flag.removeprefix("--").split("=", 1) for flag in command.arguments() if not flag.startswith("--out_dir"))
  settings = ({**dict(own), "attack": "none,random", "seed": "0-2"},)
  monkeypatch.setitem(RECIPES, "tiny", Recipe("Tiny", "Nobody, 1999, Table I", settings, ("er@10",), (figure,)))
  assert sweep("--recipe=tiny", "--seed=0-1") == 0
  table = (command.folder / "table.md").read_text()
  assert "| attack | defense | seeds | er@10 | er@10 paper | er@10 verdict |" in table
  (row,) = [line for line in table.splitlines() if line.startswith("| random | none | 2 |") and "0.2500" in line]
  (none,) = [line for line in table.splitlines() if line.startswith("| none | none | 2 |")]
  assert row.split("|")[5].strip() == "0.2500" and none.split("|")[5].strip() == "-"
  output = capsys.readouterr().out
  assert "Nobody, 1999, Table I" in output and "The recipe was changed by" in output and "--seed=0-1" in output
  assert sweep("--recipe=tiny", "--attack=none") == 0
  assert "er@10 paper" not in (command.folder / "table.md").read_text()


def test_each_of_several_recipes_has_a_table_and_a_picture(sweep, command, monkeypatch):
  own = dict(flag.removeprefix("--").split("=", 1) for flag in command.arguments() if not flag.startswith("--out_dir"))
  for name, attack in (("first", "none"), ("second", "random")):
    recipe = Recipe(name.title(), "", ({**own, "attack": attack, "seed": "0"},), ("er@10",))
    monkeypatch.setitem(RECIPES, name, recipe)
  assert sweep("--recipe=first,second") == 0
  text = (command.folder / "table.md").read_text()
  assert "**First**" in text and "**Second**" in text
  pictures = sorted(file.name for file in command.folder.glob("*.png"))
  assert pictures == ["utility_exposure_first.png", "utility_exposure_second.png"]


def test_what_is_no_rate_has_a_picture_of_its_own(sweep, command, monkeypatch):
  own = dict(flag.removeprefix("--").split("=", 1) for flag in command.arguments() if not flag.startswith("--out_dir"))
  settings = ({**own, "attack": "none,random", "train.l2": "0.1", "seed": "0-1"},)
  monkeypatch.setitem(RECIPES, "losing", Recipe("Losing", "", settings, ("hr", "train_loss", "attack_clusters")))
  assert sweep("--recipe=losing") == 0
  assert (command.folder / "courses.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_only_the_picture_is_missing(sweep, command, monkeypatch, capsys):
  monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
  assert sweep("--seed=0") == 0
  assert "pip install fedrecjax[plots]" in capsys.readouterr().err
  assert not (command.folder / "utility_exposure.png").exists()
