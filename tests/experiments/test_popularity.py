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
