"""What each attack costs benign users: paired comparisons with the same runs without attack."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from experiments.grid import Cell, label
from experiments.results.cell_files import read_per_user
from experiments.results.report import group_by_seed, label_fields, text_of
from experiments.tables import Table
from fedrecjax.config import from_flat, owner_of
from fedrecjax.metrics.significance import holm, paired_p_value
from fedrecjax.metrics.stats import mean_interval, paired_differences

_COMPARED = ("hr@10", "ndcg@10")


class _Comparison(NamedTuple):
  """One metric of one attacked configuration beside the same runs without attack.

  Attributes:
    over_users: differences, one per user, users averaged over seeds.
    over_seeds: differences, one per seed, seeds averaged over users.
  """

  over_users: np.ndarray
  over_seeds: np.ndarray


def compare_with_unattacked(cells: Sequence[Cell], out_dir: pathlib.Path) -> Table | None:
  """What each attack costs benign users, user by user.

  Args:
    cells: finished cells; an attacked one is compared with the one of the same seed and the same configuration
      without attack.
    out_dir: folder of the results.

  Returns:
    The paired differences in hr@10 and ndcg@10 of every attacked configuration with their tests, or None if no cell
    has its counterpart.
  """
  by_hash = {cell.without_data: cell for cell in cells}
  labels = label_fields(cells)
  frames: dict[str, pl.DataFrame] = {}

  def users_of(cell: Cell) -> pl.DataFrame:
    if cell.hash not in frames:
      frames[cell.hash] = read_per_user(out_dir, cell).select("user", *_COMPARED)
    return frames[cell.hash]

  compared: list[tuple[tuple[str, ...], list[_Comparison]]] = []
  for group in group_by_seed([cell for cell in cells if cell.flat["attack"] != "none"]):
    pairs = [(cell, by_hash[other]) for cell in group.cells if (other := unattacked_hash(cell.flat)) in by_hash]
    if not pairs or 10 not in group.flat["eval.ks"]:
      continue
    frames_of = [(users_of(attacked), users_of(clean)) for attacked, clean in pairs]
    try:
      comparisons = [_comparison(frames_of, metric) for metric in _COMPARED]
    except ValueError:
      continue
    own = (*(label(group.flat, name) for name in labels), str(len(pairs)), str(comparisons[0].over_users.size))
    compared.append((own, comparisons))
  if not compared:
    return None
  tests = [
    _corrected([getattr(comparison, kind) for _, comparisons in compared for comparison in comparisons])
    for kind in _Comparison._fields
  ]
  rows = []
  for number, (own, comparisons) in enumerate(compared):
    row = list(own)
    for place, comparison in enumerate(comparisons):
      index = number * len(_COMPARED) + place
      row += [text_of(mean_interval(comparison.over_users), sign="+"), *(test[index] for test in tests)]
    rows.append(tuple(row))
  columns = (column for metric in _COMPARED
             for column in (f"{metric} - without attack", f"{metric} p over users", f"{metric} p over seeds"))
  return Table(
    "What the attack costs benign users",
    (*labels, "seeds", "users", *columns),
    tuple(rows),
    len(labels),
    (
      "Mean over users of the difference to the same run without attack (users averaged over seeds)"
      " ± half of the 95 % interval over users, which says nothing of other seeds.",
      "p: Student's paired test over users, and over seeds, each with Holm's correction over this table.",
    ),
  )


def _comparison(frames: Sequence[tuple[pl.DataFrame, pl.DataFrame]], metric: str) -> _Comparison:
  """Raises ValueError where runs have no user in common."""

  def differences(attacked: pl.DataFrame, clean: pl.DataFrame) -> np.ndarray:
    return paired_differences(*(frame[name].to_numpy() for frame in (attacked, clean) for name in ("user", metric)))

  attacked, clean = (pl.concat(list(side)) for side in zip(*frames, strict=True))
  over_seeds = np.asarray([differences(*pair).mean() for pair in frames])
  return _Comparison(differences(attacked, clean), over_seeds)


def _corrected(samples: Sequence[np.ndarray]) -> list[str]:
  """The corrected p of each sample of a family; "-" where one pair alone allows no test."""
  tested = [place for place, sample in enumerate(samples) if sample.size > 1]
  texts = ["-"] * len(samples)
  for place, value in zip(tested, holm([paired_p_value(samples[place]) for place in tested]), strict=True):
    texts[place] = "<.0001" if value < 0.0001 else f"{value:.4f}"
  return texts


def unattacked_hash(flat: Mapping[str, Any]) -> str:
  """The hash of the same run without attack."""
  owner = owner_of("attack", flat["attack"])
  own = {name: value for name, value in flat.items() if name.partition(".")[0] != owner}
  return from_flat({**own, "attack": "none"}).hash()
