"""Compiled programs that are kept: where, how many, and what becomes of damaged ones."""

import os
import subprocess
import zlib

import pytest

from experiments.sweep.compilation_cache import kind_of_machine, remove_damaged, shrink
from tests.experiments.conftest import ROOT


@pytest.fixture
def sweep(command, tmp_path):
  """Runs the command as a user does who has told JAX nothing."""

  def run(*extra, home=tmp_path / "home"):
    unset = {"JAX_COMPILATION_CACHE_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    line = [one for one in command.line(*command.arguments(*extra)) if "=auto" in one or "cache_dir" not in one]
    line += [one for one in extra if "cache_dir" in one]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False,
                          env=environment | {"XDG_CACHE_HOME": str(home), "COLUMNS": "200"})

  return run


def programs(home):
  return sorted(home.glob("fedrecjax/programs/*/*-cache"))


def test_programs_are_kept_in_the_users_folder(sweep, tmp_path):
  assert sweep().returncode == 0
  kept = programs(tmp_path / "home")
  assert kept and {file.parent.name for file in kept} == {kind_of_machine()}
  done = sweep("--resume=false", "--jobs=1", "--seed=0,1")
  assert done.returncode == 0 and set(kept) <= set(programs(tmp_path / "home"))
  # Half an entry, as a process leaves it that is killed while it writes; of a program that takes long to compile on any
  # machine, since others are not kept.
  entry = max(kept, key=lambda one: one.stat().st_size)
  entry.write_bytes(entry.read_bytes()[:100])
  done = sweep("--resume=false", "--jobs=2", "--seed=0,1")
  assert done.returncode == 0 and "Traceback" not in done.stderr
  assert zlib.decompress(entry.read_bytes()), "it was replaced"


def test_none_keeps_none(sweep, tmp_path):
  assert sweep("--compilation_cache_dir=none").returncode == 0
  assert not (tmp_path / "home" / "fedrecjax").exists()


def test_a_folder_that_cannot_be_written_is_a_line(sweep, tmp_path):
  (tmp_path / "file").write_text("")
  done = sweep(home=tmp_path / "file")
  assert done.returncode == 0, done.stderr
  (line,) = [line for line in done.stderr.splitlines() if "compiled programs" in line]
  assert str(tmp_path / "file") in line and "--compilation_cache_dir" in line


def test_what_was_not_used_for_longest_goes_first(tmp_path):
  for age, name in enumerate(("new", "old", "older")):
    folder = tmp_path / f"kind{age}"
    folder.mkdir()
    (folder / f"{name}-cache").write_bytes(b"0" * 100)
    os.utime(folder / f"{name}-cache", (10_000 - age, 10_000 - age))
  shrink(tmp_path, 300)
  assert len(list(tmp_path.glob("*/*-cache"))) == 3
  shrink(tmp_path, 200)
  assert sorted(file.name for file in tmp_path.glob("*/*-cache")) == ["new-cache", "old-cache"]


@pytest.mark.parametrize("pack", [zlib.compress, lambda _: b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00x"])
def test_damaged_programs_are_removed(tmp_path, pack):
  whole, cut = tmp_path / "whole-cache", tmp_path / "cut-cache"
  whole.write_bytes(pack(b"a program" * 50))
  cut.write_bytes(pack(b"a program" * 50)[:-1])
  remove_damaged(tmp_path)
  assert whole.exists() and not cut.exists()
  os.utime(whole, (1, 1))
  whole.write_bytes(b"")
  os.utime(whole, (1, 1))
  remove_damaged(tmp_path)
  assert whole.exists(), "each is looked at once"
