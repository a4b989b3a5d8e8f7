"""The command `python -m experiments.popularity`: what popular items look like in the embeddings, round by round.

PIECK's observations (Figure 4 and Table II): how popular the items are that move most, how many users the popular ones
cover, and how far the vectors of the two lie apart.
"""

from __future__ import annotations

import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.atomic_files import new_file
from experiments.command_line import FlagGroup, command, output, read_group
from experiments.errors import UsageError
from experiments.recipes.printed_statistics import PRINTED_COVERAGE, PRINTED_DIVERGENCE
from experiments.tables import Table, print_and_write
from fedrecjax.analysis import (
  covered_users,
  delta_norms,
  largest,
  mining_precision,
  pairwise_divergence,
  popularity_ranks,
  uniformity,
  user_coverage,
)
from fedrecjax.config import from_flat
from fedrecjax.datasets import Dataset, load
from fedrecjax.defenses import none
from fedrecjax.simulation.planning import plan
from fedrecjax.simulation.trajectory import Snapshot, snapshots
from fedrecjax.types import Attack

SETTINGS: dict[str, dict[str, Any]] = {
  "mf": {"train.learning_rate": 1.0},
  "ncf": {"train.learning_rate": 0.005},
}
_PRINTED_ROUND = 200
_MOVING, _SIZES = 50, (1, 10, 50, 150)


def mined_rows(dataset: Dataset, states: dict[int, Snapshot], rounds: Sequence[int]) -> list[dict[str, Any]]:
  """Figure 4 in numbers: how popular the items are that a round moves most.

  Args:
    dataset: trained on.
    states: after each of the rounds and the one after it.
    rounds: to look at.

  Returns:
    One row for each round.
  """
  rows = []
  for number in rounds:
    mined = largest(delta_norms(states[number].items, states[number + 1].items), min(_MOVING, dataset.num_items))
    ranks = popularity_ranks(dataset.popularity, mined)
    rows.append({
      "round": number,
      "items": len(mined),
      "share popular": mining_precision(dataset.popularity, mined),
      "median rank": float(np.median(ranks)),
      "largest rank": int(ranks.max()),
      "uniformity": uniformity(states[number].items),
    })
  return rows


def alignment_rows(dataset: Dataset, state: Snapshot) -> list[dict[str, Any]]:
  """Table II: how the most popular items resemble the users who have one of them, by their number."""
  rows = []
  for size in _SIZES:
    popular = largest(dataset.popularity, min(size, dataset.num_items))
    users = covered_users(dataset, popular)
    rows.append({
      "round": state.round,
      "items": len(popular),
      "PKL": pairwise_divergence(state.items[popular], state.private[users]),
      "UCR": user_coverage(dataset, popular),
    })
  return rows


def with_printed(rows: Sequence[dict[str, Any]], dataset: str, model: str) -> list[dict[str, Any]]:
  """The rows of Table II with the paper's figures beside, which are of MovieLens-100K at round 200.

  Args:
    rows: from :func:`alignment_rows`.
    dataset: name of the data set.
    model: `mf` or `ncf`.
  """
  if dataset != "ml-100k":
    return list(rows)
  found = []
  for row in rows:
    size = row["items"] if row["round"] == _PRINTED_ROUND else 0
    printed = (PRINTED_DIVERGENCE[model].get(size, math.nan), PRINTED_COVERAGE.get(size, math.nan))
    found.append({**row, "PKL paper": printed[0], "UCR paper": printed[1]})
  return found


def _work(argv: Sequence[str]) -> None:
  value = read_group("popularity", argv, _define_flags)
  rounds = _rounds(value("rounds"))
  dataset = load(value("dataset"), data_dir=value("data_dir"))
  name, last = value("model"), value("last_round")
  states = _trained(dataset, name, value("seed"), {*rounds, *(one + 1 for one in rounds), last})
  title = f"{dataset.name}, {name}, no attack"
  tables = [
    _table(f"{title}: the {_MOVING} items that a round moves most", mined_rows(dataset, states, rounds)),
    _table(
      f"{title}: popular items and the users who have one",
      with_printed(alignment_rows(dataset, states[last]), dataset.name, name),
    ),
  ]
  _write(tables, pathlib.Path(value("out_dir")))


def _trained(dataset: Dataset, model: str, seed: int, rounds: set[int]) -> dict[int, Snapshot]:
  size = min(256, dataset.num_users)
  epochs = -(-max(rounds) // -(-dataset.num_users // size))
  config = from_flat({
    "model": model, "seed": seed, "train.epochs": epochs, "train.clients_per_round": 256,
    "train.duplicates": "first", **SETTINGS[model],
  })
  run = plan(dataset, model=config.model.build(), attack=Attack(), defense=none(), train=config.train,
             attacker=config.attacker, evaluation=config.eval, seed=seed)
  return {one.round: one for one in snapshots(run, rounds)}


def _rounds(text: str) -> list[int]:
  parts = [part.strip() for part in text.split(",")]
  if not all(part.isdecimal() for part in parts):
    raise UsageError(f"--rounds must be a comma list of rounds from 0, got {text!r}")
  return sorted({int(part) for part in parts})


def _define_flags(group: FlagGroup) -> None:
  group.dataset()
  group.data_dir()
  group.text("rounds", "4,8,20,80", "comma list of rounds whose largest moves are looked at.")
  group.out_dir()
  group.choice("model", "mf", list(SETTINGS), "model, with PIECK's settings.")
  group.integer("last_round", 200, "round of the second table.", least=0)
  group.integer("seed", 0, "seed of the run.", least=0)


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
  def shown(value: Any) -> str:
    if isinstance(value, float):
      return "-" if math.isnan(value) else f"{value:.4f}"
    return str(value)

  cells = tuple(tuple(shown(value) for value in row.values()) for row in rows)
  return Table(title, tuple(rows[0]), cells, num_labels=2)


def _write(tables: Sequence[Table], out_dir: pathlib.Path) -> None:
  out_dir.mkdir(parents=True, exist_ok=True)
  for name, table in zip(("moves", "alignment"), tables, strict=True):
    with new_file(out_dir / f"{name}.csv") as file:
      pl.DataFrame(table.rows, schema=list(table.header), orient="row").write_csv(file)
  print_and_write(tables, out_dir / "popularity.md", output())


main = command("popularity", _work)


if __name__ == "__main__":
  sys.exit(main())
