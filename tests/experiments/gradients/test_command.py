"""The command that looks at uploads."""

import csv

import numpy as np
import pytest

from experiments import command_line
from experiments.gradients import command
from experiments.gradients.command import table_of
from experiments.gradients.plot import plot_windows
from experiments.gradients.windows import Window


@pytest.fixture
def toy(tmp_path):
  file = tmp_path / "toy.csv"
  draw = np.random.default_rng(0)
  rows = [(user, item, time) for user in range(60) for time, item in enumerate(draw.choice(55, 8, replace=False))]
  file.write_text("user,item,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time in rows))
  return file


def test_the_command(toy, tmp_path, capsys):
  out_dir = f"--out_dir={tmp_path / 'out'}"
  arguments = [f"--dataset={toy}", "--rounds=0,3", "--width=2", "--malicious_ratio=0.2", out_dir]
  assert command.main(["gradients", *arguments]) == command_line.DONE
  out = capsys.readouterr().out
  assert "toy.csv, cluster, 0.2 malicious: uploads of 2 rounds" in out
  with open(tmp_path / "out" / "uploads.csv") as file:
    rows = list(csv.DictReader(file))
  assert {(row["task"], row["round"]) for row in rows} == {
    (task, number) for task in ("with CL", "without CL") for number in "0134"}
  # 50 of 60 clients in each of two rounds, two windows, two runs.
  assert len(rows) == 50 * 2 * 2 * 2 and {row["malicious"] for row in rows} == {"true", "false"}
  assert all(float(row["uniformity"]) > 0 for row in rows)
  assert (tmp_path / "out" / "gradients.png").read_bytes().startswith(b"\x89PNG")


def made(uniformity, malicious):
  malicious = np.array(malicious)
  points = np.stack([np.where(malicious, 3.0, 1.0), np.zeros(len(malicious))], axis=1)
  return Window(5, np.full(len(malicious), 5), malicious, np.float32(uniformity), points, np.array([0.5, 0.25]))


def test_how_well_two_kinds_are_told_apart():
  (row,) = table_of({"with CL": [made([1.0, 2.0, 3.0, 2.0], [False, False, False, True])]}, "t").rows
  assert row == ("with CL", "5", "3", "1", "2", "2", "0.500", "1", "3", "0.750")
  (row,) = table_of({"with CL": [made([1.0, 2.0, 0.5], [False, False, True])]}, "t").rows
  assert row[6] == "1.000"
  (row,) = table_of({"with CL": [made([1.0, 2.0], [False, False])]}, "t").rows
  assert row[5:7] == ("-", "-") and row[8] == "-"


def test_a_kind_of_one_upload_has_points_and_no_density(tmp_path):
  for number, malicious in enumerate(([False, False, True], [False, False, False])):
    plot_windows({"with CL": [made([1.0, 2.0, 0.5], malicious)]}, tmp_path / f"{number}.png")
    assert (tmp_path / f"{number}.png").stat().st_size > 0


@pytest.mark.parametrize(("flag", "message"), [
  ("--rounds=1,x", "--rounds"), ("--rounds=1,5", "at least --width=10 apart"), ("--dataset=nowhere.csv", "nowhere"),
  ("--malicious_ratio=2", "malicious_ratio"), ("--attack=none", "attack"),
])  # fmt: skip
def test_bad_input_is_named_in_one_line(flag, message, capsys):
  assert command.main(["gradients", flag]) == command_line.BAD_INPUT
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1
