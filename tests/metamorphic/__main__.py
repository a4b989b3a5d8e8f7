"""Holds random configurations to every relation.

    python -m tests.metamorphic [--first SEED] [--count N] [--relations N] [--out FILE.csv]

A line per configuration and relation, written as it comes; configurations that the file has are not done again. Every
configuration is held to that many of the relations that apply to it, all by default; which come first follows its seed.
"""

from __future__ import annotations

import argparse
import collections
import csv
import pathlib
import time

import jax

from fedrecjax.simulation.results import DivergedError
from tests.metamorphic.configurations import random_case
from tests.metamorphic.relations import RELATIONS

COLUMNS = ("seed", "configuration", "relation", "outcome", "seconds")
HELD, DOES_NOT_APPLY, DIVERGED = "held", "does not apply", "diverged"
# Programs of a configuration are of no use to the next one, and thousands of them fill the memory.
_CLEAR_EVERY = 10


def outcomes(seed: int, wanted: int) -> list[tuple[object, ...]]:
  """A row for each relation that a seed's configuration is held to."""
  case, rows = random_case(seed), []
  for number in range(len(RELATIONS)):
    relation = RELATIONS[(seed + number) % len(RELATIONS)]
    if sum(row[3] not in (DOES_NOT_APPLY, DIVERGED) for row in rows) == wanted:
      break
    started = time.perf_counter()
    try:
      outcome = HELD if relation(case) else DOES_NOT_APPLY
    except DivergedError:
      # Numbers that are not finite are neither equal nor unequal.
      outcome = DIVERGED
    except Exception as error:
      outcome = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    rows.append((seed, case.names, relation.__name__, outcome, round(time.perf_counter() - started, 1)))
  return rows


def main() -> int:
  """Runs the command; the status is 1 if a relation did not hold."""
  parser = argparse.ArgumentParser(prog="python -m tests.metamorphic")
  parser.add_argument("--first", type=int, default=0)
  parser.add_argument("--count", type=int, default=20)
  parser.add_argument("--relations", type=int, default=len(RELATIONS))
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("metamorphic.csv"))
  arguments = parser.parse_args()
  done: set[int] = set()
  if arguments.out.is_file():
    with arguments.out.open() as file:
      done = {int(row["seed"]) for row in csv.DictReader(file)}
  total: dict[str, int] = collections.Counter()
  with arguments.out.open("a", newline="") as file:
    writer = csv.writer(file)
    if not done:
      writer.writerow(COLUMNS)
    for seed in range(arguments.first, arguments.first + arguments.count):
      if seed in done:
        continue
      for row in outcomes(seed, arguments.relations):
        writer.writerow(row)
        total[row[3] if row[3] in (HELD, DOES_NOT_APPLY, DIVERGED) else "failed"] += 1
      file.flush()
      if seed % _CLEAR_EVERY == 0:
        jax.clear_caches()
  print(", ".join(f"{count} {outcome}" for outcome, count in sorted(total.items())))
  return 1 if total["failed"] else 0


if __name__ == "__main__":
  raise SystemExit(main())
