"""Damaged cells count as unfinished, and a kill at any moment of a cell's write loses none."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from experiments.grid import expand
from experiments.results.cell_files import rebuild_results
from experiments.results.integrity import CELL_FILES, damaged_cells
from experiments.results.paths import cell_dir, clean, finished_dirs, is_finished
from fedrecjax.datasets import digest_of

ROOT = pathlib.Path(__file__).parents[3]
CELLS = expand([{}], {"seed": "0-1", "eval.ks": "5+10"})


def write(out_dir, cell, *, digests=True):
  """A finished cell as a sweep leaves it, or as sweeps did before they kept digests."""
  folder = cell_dir(out_dir, cell)
  folder.mkdir(parents=True)
  axes = {name: [cell.flat[name]] for name in ("dataset", "model", "attack", "defense", "seed")}
  row = axes | {"epoch": [1], "hr@10": [0.5], "config_hash": [cell.hash], "version": ["1"]}
  pl.DataFrame(row).write_parquet(folder / "metrics.parquet")
  pl.DataFrame({"user": np.arange(40), "hr@10": np.ones(40)}).write_parquet(folder / "per_user.parquet")
  content = {"config_hash": cell.hash, "version": "1", "config": cell.flat}
  if digests:
    content["files"] = {name: digest_of(folder / name) for name in CELL_FILES[1:]}
  (folder / "config.json").write_text(json.dumps(content))
  return folder


@pytest.fixture(params=[True, False], ids=["digests", "no digests"])
def folders(request, tmp_path):
  return [write(tmp_path, cell, digests=request.param) for cell in CELLS]


def truncated(folder):
  file = folder / "metrics.parquet"
  file.write_bytes(file.read_bytes()[:-20])


def without_rows(folder):
  pl.read_parquet(folder / "metrics.parquet").clear().write_parquet(folder / "metrics.parquet")


def foreign(folder):
  pl.DataFrame({"something": ["else"]}).write_parquet(folder / "per_user.parquet")


def missing(folder):
  (folder / "per_user.parquet").unlink()


def broken_config(folder):
  (folder / "config.json").write_text("{broken")


def of_another_cell(folder):
  other = cell_dir(folder.parents[1], CELLS[1])
  (folder / "config.json").write_text((other / "config.json").read_text())


@pytest.mark.parametrize(
  ("damage", "words"),
  [
    (truncated, "metrics.parquet"), (without_rows, "metrics.parquet"), (foreign, "per_user.parquet"),
    (missing, "per_user.parquet is missing"), (broken_config, "config.json cannot be read"),
    (of_another_cell, "config.json is of another cell"),
  ],
)
def test_a_damaged_cell_is_unfinished_and_the_others_are_gathered(tmp_path, folders, damage, words):
  assert all(is_finished(tmp_path, cell) for cell in CELLS) and rebuild_results(tmp_path).height == 2
  damage(folders[0])
  assert [is_finished(tmp_path, cell) for cell in CELLS] == [False, True]
  ((folder, line),) = damaged_cells(tmp_path / "cells").items()
  assert folder == folders[0] and words in line and "\n" not in line
  assert rebuild_results(tmp_path)["config_hash"].to_list() == [CELLS[1].hash]


def test_every_flipped_byte_is_seen(tmp_path):
  folder = write(tmp_path, CELLS[0])
  file = folder / "metrics.parquet"
  whole = file.read_bytes()
  for place in np.random.default_rng(0).choice(len(whole), 25, replace=False):
    changed = bytearray(whole)
    changed[place] ^= 1
    file.write_bytes(changed)
    assert not is_finished(tmp_path, CELLS[0]), place
  file.write_bytes(whole)
  assert is_finished(tmp_path, CELLS[0])


def test_copies_under_other_names_are_nobodys_results(tmp_path, folders):
  folders[0].rename(folders[0].with_name(f"{folders[0].name}_copy"))
  assert damaged_cells(tmp_path / "cells") == {}
  assert finished_dirs(tmp_path) == [folders[1]] and rebuild_results(tmp_path).height == 1


# Ends without any clean-up at the given file-system call after the mark, as a killed process does.
KILLED = """
import os, pathlib, sys
from experiments.atomic_files import new_folder

folder, last = pathlib.Path(sys.argv[1]), int(sys.argv[2])
calls = 0

def count(event, arguments):
  global calls
  if event.startswith(("open", "os.", "shutil.", "tempfile.")) and event != "os.putenv":
    calls += 1
    if calls == last:
      os._exit(9)

sys.addaudithook(count)
with new_folder(folder) as temporary:
  for name in ("config.json", "metrics.parquet", "per_user.parquet"):
    (temporary / name).write_text("new")
"""


@pytest.mark.parametrize("replaces", [True, False])
def test_a_kill_at_any_file_system_call_loses_no_cell(tmp_path, replaces):
  folder = cell_dir(tmp_path, CELLS[0])
  for call in range(1, 200):
    if replaces:
      for name in CELL_FILES:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(call)], cwd=ROOT, check=False)
    clean(tmp_path)
    found = {name: (folder / name).read_text() for name in CELL_FILES if (folder / name).exists()}
    if replaces or done.returncode == 0:
      assert len(found) == 3
    assert len(found) in (0, 3) and len(set(found.values())) <= 1, call
    if done.returncode == 0:
      break
    assert done.returncode == 9
    if not replaces and found:
      assert set(found.values()) == {"new"}
      for name in CELL_FILES:
        (folder / name).unlink()
      folder.rmdir()
  assert call > 10 and set(found.values()) == {"new"}
  assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".old-")] == []
