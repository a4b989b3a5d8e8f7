"""Folders and files that are whole or absent."""

import json
import os
import time

import pytest

from experiments.atomic_files import new_file, new_folder
from experiments.grid import expand
from experiments.results.integrity import CELL_FILES
from experiments.results.paths import cell_dir, clean, finished_dirs, is_finished
from fedrecjax.datasets import digest_of

CELL = expand([{}], {"eval.ks": "5+10"})[0]


def fill(folder, config=CELL.flat):
  """The files of a cell, as far as paths know them; their content is checked by its digest alone."""
  for name in CELL_FILES[1:]:
    (folder / name).write_text(name)
  files = {name: digest_of(folder / name) for name in CELL_FILES[1:]}
  (folder / "config.json").write_text(json.dumps({"config_hash": CELL.hash, "config": config, "files": files}))


def test_a_folder_appears_as_a_whole_or_not_at_all(tmp_path):
  folder = cell_dir(tmp_path, CELL)
  with pytest.raises(RuntimeError), new_folder(folder) as temporary:
    fill(temporary)
    raise RuntimeError
  assert not folder.exists() and not list(folder.parent.iterdir())
  with new_folder(folder) as temporary:
    fill(temporary)
    assert not folder.exists() and finished_dirs(tmp_path) == []
  assert is_finished(tmp_path, CELL) and list(folder.parent.iterdir()) == [folder]


def test_a_folder_takes_the_place_of_a_former_one(tmp_path):
  folder = cell_dir(tmp_path, CELL)
  folder.mkdir(parents=True)
  (folder / "config.json").write_text("{broken")
  assert not is_finished(tmp_path, CELL)
  with new_folder(folder) as temporary:
    fill(temporary)
  assert is_finished(tmp_path, CELL) and list(folder.parent.iterdir()) == [folder]


def test_a_cell_of_another_configuration_is_not_ours(tmp_path):
  folder = cell_dir(tmp_path, CELL)
  folder.mkdir(parents=True)
  fill(folder, CELL.flat | {"train.epochs": 1})
  assert not is_finished(tmp_path, CELL)
  fill(folder)
  assert is_finished(tmp_path, CELL)
  (folder / "per_user.parquet").unlink()
  assert not is_finished(tmp_path, CELL)


def test_a_file_is_replaced_as_a_whole(tmp_path):
  file = tmp_path / "table.csv"
  file.write_text("old")
  with pytest.raises(RuntimeError), new_file(file) as temporary:
    temporary.write_text("half")
    raise RuntimeError
  assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]
  with new_file(file) as temporary:
    temporary.write_text("new")
  assert file.read_text() == "new"


def test_only_abandoned_temporary_names_are_removed(tmp_path):
  old, young = tmp_path / "cells" / ".tmp-old", tmp_path / "cells" / ".tmp-young"
  for folder in (old, young):
    folder.mkdir(parents=True)
    (folder / "metrics.parquet").write_text("half")
  (tmp_path / ".tmp-results.csv").write_text("half")
  long_ago = time.time() - 7200
  os.utime(old, (long_ago, long_ago))
  os.utime(tmp_path / ".tmp-results.csv", (long_ago, long_ago))
  clean(tmp_path)
  assert sorted(path.name for path in tmp_path.rglob("*")) == [".tmp-young", "cells", "metrics.parquet"]
  assert finished_dirs(tmp_path) == []
