"""Cells are those of the data that their file held."""

import dataclasses
import hashlib
import json
import os

import polars as pl
import pytest

from experiments.grid import expand, of_data
from experiments.results.paths import cell_dir, is_finished
from experiments.sweep import run
from experiments.sweep.command import main


@pytest.fixture
def sweep(command, data_file, tmp_path):
  """Runs the command on a file of its own, and returns its exit status."""
  own = tmp_path / "own.csv"
  own.write_text(data_file.read_text())
  own_command = dataclasses.replace(command, data_file=own)
  return lambda *extra: main(["sweep", *own_command.arguments("--seed=0", *extra)])


def results(command):
  return pl.read_parquet(command.folder / "results.parquet")


def test_other_contents_are_another_cell(sweep, command, tmp_path, monkeypatch, capsys):
  file = tmp_path / "own.csv"
  assert sweep() == 0
  (first,) = results(command)["data_digest"]
  assert first == hashlib.sha256(file.read_bytes()).hexdigest()
  content = json.loads((command.folder / "cells" / results(command)["config_hash"][0] / "config.json").read_text())
  assert content["data_digest"] == first
  lines = file.read_text().splitlines()
  file.write_text("\n".join([*lines, "0,59,9"]) + "\n")
  capsys.readouterr()
  assert sweep("--list") == 0 and "1 cells, 0 of them finished" in capsys.readouterr().out
  assert sweep() == 0
  both = results(command)
  assert both.height == 2 and both["data_digest"].n_unique() == 2 and first in both["data_digest"].to_list()
  table = (command.folder / "table.md").read_text()
  assert table.count("| none | none | 1 |") == 1
  file.write_text("\n".join(lines) + "\n")
  monkeypatch.setattr(run, "simulate_config", lambda *_, **__: pytest.fail("computed again"))
  assert sweep() == 0 and results(command).height == 2


def test_the_same_contents_are_the_same_cell(sweep, command, tmp_path, monkeypatch):
  assert sweep() == 0
  os.utime(tmp_path / "own.csv", (1, 1))
  monkeypatch.setattr(run, "simulate_config", lambda *_, **__: pytest.fail("computed again"))
  assert sweep() == 0 and results(command).height == 1


def test_a_cell_without_a_digest_is_another_where_data_come_from_a_file(tmp_path, data_file):
  (cell,) = of_data(expand([{}], {"dataset": str(data_file)}), None)
  old = cell_dir(tmp_path, cell._replace(hash=cell.without_data))
  assert cell.data_digest is not None and old != cell_dir(tmp_path, cell)
  (made,) = of_data(expand([{}], {}), None)
  assert made.data_digest is None and made.hash == made.without_data


def test_results_of_files_numbered_by_their_ids_are_other_cells(data_file, tmp_path):
  (cell,) = of_data(expand([{}], {"dataset": str(data_file)}), None)
  numbered = hashlib.sha256(f"{cell.without_data} {cell.data_digest}".encode()).hexdigest()[:16]
  assert cell.hash != numbered
  # Published sets keep their numbers and their cells.
  (tmp_path / "ml-100k").mkdir()
  (tmp_path / "ml-100k" / "u.data").write_text("1\t1\t5\t7\n")
  (named,) = of_data(expand([{}], {"dataset": "ml-100k"}), tmp_path)
  assert named.hash == hashlib.sha256(f"{named.without_data} {named.data_digest}".encode()).hexdigest()[:16]


def test_a_folder_of_other_data_is_not_ours(tmp_path, data_file):
  (cell,) = of_data(expand([{}], {"dataset": str(data_file)}), None)
  folder = cell_dir(tmp_path, cell)
  folder.mkdir(parents=True)
  for name in ("metrics.parquet", "per_user.parquet"):
    (folder / name).write_text(name)
  files = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("metrics.parquet", "per_user.parquet")}
  content = {"config_hash": cell.hash, "config": cell.flat, "files": files, "data_digest": cell.data_digest}
  (folder / "config.json").write_text(json.dumps(content))
  assert is_finished(tmp_path, cell)
  (folder / "config.json").write_text(json.dumps(content | {"data_digest": "other"}))
  assert not is_finished(tmp_path, cell)


def test_what_a_file_of_public_interactions_holds_is_part_of_a_cell(sweep, command, tmp_path, capsys):
  public = tmp_path / "public.csv"
  flags = ("--attack=fedrecattack", "--attacker.malicious_ratio=0.1", "--fedrecattack.max_rows=5",
           f"--attacker.public_file={public}")
  public.write_text("user,item\n3,59\n4,2\n")
  assert sweep(*flags) == 0
  assert "2 of 2 public interactions are no training interactions" in capsys.readouterr().err
  public.write_text("user,item\n3,59\n")
  assert sweep(*flags) == 0
  table = results(command)
  assert table.height == 2 and table["data_digest"].n_unique() == 2
  assert table["attacker.public_file"].to_list() == [str(public)] * 2
