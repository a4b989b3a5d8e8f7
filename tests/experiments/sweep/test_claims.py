"""Claims: no cell is computed by two processes at once, and nobody who has ended holds one."""

import contextlib
import os
import re
import subprocess
import sys
import time

import pytest

from experiments.grid import expand
from experiments.sweep import claims, run
from experiments.sweep.claims import LEASE_S, claim_file, claimed
from experiments.sweep.command import main
from tests.experiments.conftest import ROOT
from tests.experiments.sweep.processes import wait_until
from tests.experiments.sweep.test_command import results
from tests.experiments.sweep.test_process import MANY, start

(CELL,) = expand([{}], {})

HOLD = """
import pathlib, sys, time
from experiments.grid import expand
from experiments.sweep.claims import claimed
(cell,) = expand([{}], {})
with claimed(pathlib.Path(sys.argv[1]), cell) as own:
  print(own, flush=True)
  time.sleep(60)
"""


def holder(folder):
  return subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def is_free(folder):
  with claimed(folder, CELL) as own:
    return own


def test_a_claim_is_one_process_s_and_ends_with_it(tmp_path):
  process = holder(tmp_path)
  assert process.stdout.readline() == "True\n"
  assert not is_free(tmp_path)
  process.kill()
  process.communicate()
  assert claim_file(tmp_path, CELL).exists(), "it was killed"
  assert is_free(tmp_path)
  assert list(tmp_path.iterdir()) == [], "nothing is left of claims that are given back"


def test_an_error_gives_the_claim_back(tmp_path):
  with pytest.raises(ZeroDivisionError), claimed(tmp_path, CELL):
    raise ZeroDivisionError
  assert is_free(tmp_path)


def of_another_machine(folder, *, age):
  file = claim_file(folder, CELL)
  file.parent.mkdir()
  file.write_text("another machine\n")
  touched = time.time() - age
  os.utime(file, (touched, touched))


def test_a_claim_of_another_machine_counts_while_it_is_touched(tmp_path):
  of_another_machine(tmp_path, age=LEASE_S - 20)
  assert not is_free(tmp_path) and claim_file(tmp_path, CELL).read_text() == "another machine\n"
  later = tmp_path / "later"
  later.mkdir()
  of_another_machine(later, age=LEASE_S + 20)
  assert is_free(later)


def test_a_claim_is_touched_while_it_is_held(tmp_path, monkeypatch):
  monkeypatch.setattr(claims, "_TOUCH_S", 0.01)
  with claimed(tmp_path, CELL) as own:
    file = claim_file(tmp_path, CELL)
    os.utime(file, (1.0, 1.0))
    wait_until(lambda: file.stat().st_mtime > 1e6, "a touch")
    assert own


def computed(error):
  """Names of the cells that a sweep says it has computed itself."""
  return re.findall(r"^\[\d+/\d+\] (.*?): (?:hr|er)@", error, re.MULTILINE)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_two_sweeps_side_by_side_compute_each_cell_once(command, jobs):
  flags = command.arguments(*MANY, f"--jobs={jobs}", "--train.epochs=100")
  first, second = start(command, *flags), start(command, *flags)
  (_, one), (_, other) = first.communicate(), second.communicate()
  assert (first.returncode, second.returncode) == (0, 0), one + other
  names = computed(one) + computed(other)
  assert len(names) == 8 and len(set(names)) == 8, one + other
  assert results(command.folder).height == 8 and not (command.folder / "claims").exists()


def test_what_is_computed_elsewhere_is_waited_for_and_said(command, monkeypatch, capsys):
  """A cell that another process holds first, and finishes; one that fails there; one that it leaves undone."""
  monkeypatch.setattr(run, "PAUSE_S", 0.0)
  arguments = command.arguments("--seed=0-2")
  assert main(["sweep", *arguments, "--list"]) == 0
  taking, looks = run.claimed, []

  def busy(out_dir, cell):
    looks.append(cell)
    own = len(looks) > 3
    if len(looks) == 3:
      # Meanwhile in the other process.
      assert main(["sweep", *command.arguments("--seed=0")]) == 0
      run.failed(out_dir, looks[1], "seed 1", RuntimeError("out of luck"))
    return taking(out_dir, cell) if own else contextlib.nullcontext(False)

  capsys.readouterr()
  monkeypatch.setattr(run, "claimed", busy)
  assert main(["sweep", *arguments]) == 1
  error = capsys.readouterr().err
  assert error.count("3 cells are being computed by another process; waiting for the result\n") == 1
  assert error.count(": computed by another process") == 1
  assert error.count("failed in another process: RuntimeError: out of luck") == 1
  assert sorted(results(command.folder)["seed"]) == [0, 2]

