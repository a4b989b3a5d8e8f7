"""The command that measures popular items."""

import csv

import numpy as np
import pytest

from experiments import command_line, popularity


def test_the_command(tmp_path, capsys):
  arguments = ["popularity", "--rounds=1,3", "--last_round=5", f"--out_dir={tmp_path}"]
  assert popularity.main(arguments) == command_line.DONE
  out = capsys.readouterr().out
  assert "UCR" in out and "median rank" in out
  with open(tmp_path / "moves.csv") as file:
    moves = list(csv.DictReader(file))
  assert [row["round"] for row in moves] == ["1", "3"]
  assert all(0 < float(row["share popular"]) <= 1 for row in moves)
  with open(tmp_path / "alignment.csv") as file:
    alignment = list(csv.DictReader(file))
  covered = [float(row["UCR"]) for row in alignment]
  assert covered == sorted(covered) and covered[-1] > 0.9
  assert all(float(row["PKL"]) >= 0 and np.isfinite(float(row["PKL"])) for row in alignment)


@pytest.mark.parametrize(
  ("flag", "message"),
  [("--rounds=1,x", "--rounds"), ("--dataset=nowhere.csv", "nowhere"), ("--model=sasrec", "model")],
)
def test_bad_input_is_named_in_one_line(flag, message, capsys):
  assert popularity.main(["popularity", flag]) == command_line.BAD_INPUT
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1


def test_the_papers_figures_stand_beside_its_own_round_and_set():
  rows = [{"round": 200, "items": size, "PKL": 0.1, "UCR": 0.5} for size in (1, 150, 7)]
  found = popularity.with_printed(rows, "ml-100k", "ncf")
  assert [(row["PKL paper"], row["UCR paper"]) for row in found[:2]] == [(0.0026, 0.6151), (0.0010, 1.0)]
  assert np.isnan(found[2]["PKL paper"])
  (early,) = popularity.with_printed([{**rows[0], "round": 5}], "ml-100k", "mf")
  assert np.isnan(early["UCR paper"])
  assert popularity.with_printed(rows, "synthetic", "mf") == rows
