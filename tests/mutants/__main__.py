"""Shows which tests find which seeded mistakes.

    python -m tests.mutants [--only NAME,...] [--marks "not slow"] [--out FILE.csv]

The tree is copied, and the mistakes are made in the copy alone, one at a time. The tests of all chosen mistakes must
pass before any is made.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console

from experiments.tables import Table, print_table
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS

ROOT = pathlib.Path(__file__).parents[2]
# The rest of a checkout is not needed by any test that a mistake names, and may be large.
PARTS = ("fedrecjax", "experiments", "tests", "docs", "pyproject.toml", "setup.py", "README.md", "CHANGELOG.md")
COLUMNS = ("mutant", "file", "killed_by", "seconds")
SURVIVED = ""
TIMED_OUT = "timeout"
NO_TESTS = 5
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - (.*))?$", re.MULTILINE)


class Outcome(NamedTuple):
  """What became of a mistake.

  Attributes:
    killed_by: the first test that failed; `SURVIVED` if none did, `TIMED_OUT` if they took too long.
    seconds: that the tests took.
    message: with which that test failed.
  """

  killed_by: str
  seconds: float
  message: str = ""


def copy_tree(target: pathlib.Path) -> None:
  """Copies what the tests need to a folder."""
  for part in PARTS:
    source = ROOT / part
    if source.is_dir():
      shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    else:
      shutil.copy2(source, target / part)


def in_copy(
  command: Sequence[str], copy: pathlib.Path, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
  """Runs Python in the copy, whose modules come before those of any installed fedrecjax."""
  # Two versions of a file of one length within a second would share their bytecode; messages are cut at the width.
  environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "240"}
  return subprocess.run(
    [sys.executable, *command], cwd=copy, env=environment, text=True, timeout=timeout, check=False,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
  )


def check_imports(copy: pathlib.Path) -> None:
  """Raises RuntimeError if the copy is not what is imported."""
  found = in_copy(["-c", "import fedrecjax; print(fedrecjax.__file__)"], copy).stdout.strip()
  if not pathlib.Path(found).is_relative_to(copy):
    raise RuntimeError(f"fedrecjax must be imported from {copy}, got {found}")


def run_tests(tests: Sequence[str], marks: str | None, copy: pathlib.Path, timeout: float | None) -> tuple[int, str]:
  """Exit status and output of pytest, which stops at the first failure."""
  chosen = [] if marks is None else ["-m", marks]
  command = ["-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", *chosen, *tests]
  done = in_copy(command, copy, timeout)
  return done.returncode, done.stdout


def judge(mutant: Mutant, marks: str | None, copy: pathlib.Path, timeout: float) -> Outcome:
  """Makes a mistake, runs its tests and takes the mistake back.

  Raises:
    RuntimeError: if pytest fails without a test that fails.
  """
  file = copy / mutant.file
  right = file.read_text(encoding="utf-8")
  file.write_text(right.replace(mutant.old, mutant.new), encoding="utf-8")
  start = time.monotonic()
  try:
    status, output = run_tests(mutant.tests, marks, copy, timeout)
  except subprocess.TimeoutExpired:
    return Outcome(TIMED_OUT, time.monotonic() - start)
  finally:
    file.write_text(right, encoding="utf-8")
  seconds = time.monotonic() - start
  if status in (0, NO_TESTS):
    return Outcome(SURVIVED, seconds)
  failed = _FAILED.findall(output)
  if not failed:
    raise RuntimeError(f"{mutant.name}: pytest ended with {status} and no failed test:\n{output}")
  name, message = failed[0]
  return Outcome(name, seconds, message)


def chosen_mutants(names: str | None) -> list[Mutant]:
  """Those of the given names, separated by commas; all without any."""
  if names is None:
    return list(MUTANTS)
  by_name = {mutant.name: mutant for mutant in MUTANTS}
  unknown = sorted(set(names.split(",")) - by_name.keys())
  if unknown:
    raise SystemExit(f"unknown mutants: {', '.join(unknown)}")
  return [by_name[name] for name in names.split(",")]


def show(outcomes: Sequence[tuple[Mutant, Outcome]], console: Console) -> None:
  """Prints a table of all, survivors last."""
  rows = tuple(
    (mutant.name, outcome.killed_by or f"SURVIVED: {mutant.wrong}", f"{outcome.seconds:.0f}")
    for mutant, outcome in sorted(outcomes, key=lambda one: one[1].killed_by == SURVIVED)
  )
  survived = sum(outcome.killed_by == SURVIVED for _, outcome in outcomes)
  title = f"{len(outcomes) - survived} of {len(outcomes)} mutants killed"
  print_table(Table(title, ("mutant", "killed by", "seconds"), rows, num_labels=2), console)


def main(arguments: Sequence[str] | None = None) -> int:
  """The command; 1 if a mistake survived or the tests do not pass without one."""
  parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
  parser.add_argument("--only", help="names of mutants, separated by commas")
  parser.add_argument("--marks", help='which tests may kill, as for pytest -m: "not slow" or "slow"')
  parser.add_argument("--out", type=pathlib.Path, help="CSV file of the outcomes, written as they come")
  parser.add_argument("--timeout", type=float, default=1200.0, help="seconds after which tests count as failed")
  given = parser.parse_args(arguments)
  mutants, console = chosen_mutants(given.only), Console()
  outcomes: list[tuple[Mutant, Outcome]] = []
  with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
    copy = pathlib.Path(folder).resolve()
    copy_tree(copy)
    check_imports(copy)
    every_test = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    status, output = run_tests(every_test, given.marks, copy, timeout=None)
    if status not in (0, NO_TESTS):
      console.print(output, f"pytest ended with {status} without any mutant", markup=False, highlight=False)
      return 1
    for mutant in mutants:
      outcome = judge(mutant, given.marks, copy, given.timeout)
      outcomes.append((mutant, outcome))
      line = f"{mutant.name}: {outcome.killed_by or 'survived'} {outcome.message}"
      console.print(line, markup=False, highlight=False, soft_wrap=True)
      if given.out is not None:
        write(outcomes, given.out)
  show(outcomes, console)
  return int(any(outcome.killed_by == SURVIVED for _, outcome in outcomes))


def write(outcomes: Sequence[tuple[Mutant, Outcome]], file: pathlib.Path) -> None:
  """Writes the outcomes as CSV."""
  with file.open("w", encoding="utf-8", newline="") as stream:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for mutant, outcome in outcomes:
      writer.writerow([mutant.name, mutant.file, outcome.killed_by, f"{outcome.seconds:.0f}"])


if __name__ == "__main__":
  sys.exit(main())
