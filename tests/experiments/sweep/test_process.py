"""The command as a process: exit statuses, and killing it."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.experiments.conftest import ROOT
from tests.experiments.sweep.test_command import GRID, TIMES, results

MANY = ("--attack=none,random", "--seed=0-3", "--train.epochs=30")


# Tests may run under nohup or in the background, where signals are ignored, and children inherit that. Not by
# `preexec_fn`, which forks as JAX warns against once it has been used in this process.
HEED_SIGNALS = """
import os, signal, sys
for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
  signal.signal(one, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def start(command, *arguments):
  line = [sys.executable, "-c", HEED_SIGNALS, *command.line(*arguments)]
  return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=os.environ | {"COLUMNS": "200"})


def wait_for_cells(command, process, count):
  limit = time.monotonic() + 60
  while time.monotonic() < limit and process.poll() is None:
    cells = command.folder / "cells"
    if cells.is_dir() and sum(not one.name.startswith(".") for one in cells.iterdir()) >= count:
      return
    time.sleep(0.01)
  pytest.fail(f"no {count} cells in time: {process.communicate()}")


def test_success_and_plain_output(command):
  done = command.run(*command.arguments(*GRID, "--attack=random"))
  assert done.returncode == 0, done.stderr
  assert "[2/2]" in done.stderr and "\x1b" not in done.stdout + done.stderr
  assert "hr@10" in done.stdout and "results.csv (2 cells)" in done.stdout


def test_some_cells_failed(command):
  done = command.run(*command.arguments("--attack=none,pieck_uea", "--pieck_uea.num_popular=1000"))
  assert done.returncode == 1
  assert "1 of 2 cells failed" in done.stderr and "num_popular" in done.stderr and "Traceback" not in done.stderr
  assert pl.read_csv(command.folder / "results.csv")["attack"].to_list() == ["none"]


def test_numbers_of_64_bits_change_no_result(command, tmp_path, monkeypatch):
  assert command.run(*command.arguments(*GRID)).returncode == 0
  monkeypatch.setenv("JAX_ENABLE_X64", "1")
  wide = dataclasses.replace(command, folder=tmp_path / "wide")
  done = wide.run(*wide.arguments(*GRID))
  assert done.returncode == 0, done.stderr
  assert_frame_equal(results(wide.folder), results(command.folder))


@pytest.mark.parametrize("arguments", [
  ("--unheard.flag=1",),
  ("--dataset=/no/such/file.csv",),
])
def test_bad_input(command, arguments):
  done = command.run(f"--out_dir={command.folder}", *arguments)
  assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_bad_line_of_data_is_named(command, tmp_path):
  file = tmp_path / "bad.csv"
  file.write_text("user,item,timestamp\n1,2,3\n1,x\n")
  done = command.run(f"--out_dir={command.folder}", f"--dataset={file}")
  assert done.returncode == 2 and done.stderr.count("\n") == 1 and "bad.csv" in done.stderr


def test_a_killed_sweep_goes_on_to_the_same_results(command, tmp_path):
  process = start(command, *command.arguments(*MANY))
  wait_for_cells(command, process, 3)
  process.kill()
  process.communicate()
  finished = {folder.name for folder in (command.folder / "cells").iterdir()}
  assert process.returncode == -signal.SIGKILL and len(finished) < 8
  done = command.run(*command.arguments(*MANY))
  assert done.returncode == 0 and "of 8 cells are finished" in done.stderr
  unbroken = tmp_path / "unbroken"
  assert command.run(*command.arguments(*MANY, f"--out_dir={unbroken}")).returncode == 0
  assert_frame_equal(results(command.folder), results(unbroken))
  for one in (unbroken / "cells").iterdir():
    for name in ("metrics.parquet", "per_user.parquet"):
      first, second = (
        pl.read_parquet(folder / "cells" / one.name / name).drop(TIMES, strict=False)
        for folder in (command.folder, unbroken)
      )
      assert_frame_equal(first, second)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
def test_a_stopped_sweep_says_what_is_kept(command, sent, status):
  process = start(command, *command.arguments(*MANY, "--seed=0-39"))
  wait_for_cells(command, process, 2)
  process.send_signal(sent)
  _, error = process.communicate()
  assert process.returncode == status
  assert "the same command goes on from there" in error and "Traceback" not in error
  assert 2 <= results(command.folder).height < 80


def test_a_data_file_may_have_any_name(command):
  odd = command.folder.parent / "a$b_{c}|d\ne.csv"
  odd.write_text(command.data_file.read_text())
  done = command.run(*command.arguments("--attack=none,random", f"--dataset={odd},{command.data_file}"))
  assert done.returncode == 0 and "Traceback" not in done.stderr
  assert (command.folder / "utility_exposure.png").read_bytes().startswith(b"\x89PNG")
  table = (command.folder / "table.md").read_text()
  rows = [line for line in table.splitlines() if "a$b_{c}" in line]
  assert rows and all(line.endswith("|") and r"\|d e.csv" in line for line in rows)


# Every file of the sweep's folder is refused as on a full disk, or as in a folder without write permission.
REFUSED = """
import sys, errno, tempfile
import polars as pl
from experiments.sweep.command import main

def refuse(*arguments, **named):
  raise OSError(errno.EROFS, "Read-only file system", str(named.get("dir")))

def full(*arguments, **named):
  raise pl.exceptions.ComputeError("underlying IO error: No space left on device (os error 28)")

if sys.argv[1] == "read-only":
  tempfile.mkstemp = tempfile.TemporaryFile = refuse
else:
  pl.DataFrame.write_parquet = full
sys.exit(main(["sweep", *sys.argv[2:]]))
"""


def refused(command, how, *arguments):
  line = [sys.executable, "-W", "error", "-c", REFUSED, how, *command.line(*arguments)[5:]]
  return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_finished_read_only_folder_shows_its_table(command):
  arguments = command.arguments()
  assert command.run(*arguments).returncode == 0
  done = refused(command, "read-only", *arguments)
  assert done.returncode == 0 and "hr@10" in done.stdout and "Traceback" not in done.stderr
  assert "Read-only file system" in done.stderr


def test_an_unfinished_read_only_folder_is_refused_before_anything_is_computed(command):
  done = refused(command, "read-only", *command.arguments())
  assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
  assert f"--out_dir: cannot write into {command.folder}: Read-only file system" in done.stderr


def test_a_full_disk_is_a_line_and_loses_no_cell(command):
  assert command.run(*command.arguments()).returncode == 0
  done = refused(command, "full", *command.arguments("--seed=0,1"))
  assert done.returncode == 1 and "Traceback" not in done.stderr
  assert "No space left on device" in done.stderr and "hr@10" in done.stdout
  assert results(command.folder).height == 1
