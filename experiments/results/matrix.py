"""The matrix of attacks and defenses in numbers: how strong each attack is under each defense, and two rankings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl

from experiments.grid import Cell
from experiments.recipes.matrix import DEFENSES, TARGETED, UNTARGETED
from fedrecjax.metrics.stats import Interval, mean_interval

Half = Literal["targeted", "untargeted"]
HALVES: Mapping[Half, tuple[str, ...]] = {"targeted": TARGETED, "untargeted": UNTARGETED}
LEAST_KEPT = 0.5
"""A defense that keeps less than this share of the hits without defense, nobody attacking, is no defense to choose."""

Runs = Mapping[tuple[str, str, str], Mapping[int, Mapping[str, Any]]]
"""Rows of results by seed, of each (model, attack, defense)."""


class RankedAttack(NamedTuple):
  """An attack under the defense that is best against it.

  Attributes:
    attack: its name.
    best: the defense that leaves it the least.
    strength: what it leaves.
    undefended: its strength without defense; None where that is not measured.
    defenses: number of defenses that it was measured under.
  """

  attack: str
  best: str
  strength: Interval
  undefended: Interval | None
  defenses: int


class RankedDefense(NamedTuple):
  """A defense under the attack that is worst for it.

  Attributes:
    defense: its name.
    worst: the attack that is strongest under it.
    strength: of that attack.
    hits: hr@10 under the defense without attack.
    chosen: whether it keeps enough hits to be a defense to choose, see `LEAST_KEPT`.
    attacks: number of attacks that were measured under it.
  """

  defense: str
  worst: str
  strength: Interval
  hits: Interval
  chosen: bool
  attacks: int


def runs_of(cells: Sequence[Cell], results: pl.DataFrame) -> Runs:
  """The rows of the cells that are there.

  Args:
    cells: of the matrix.
    results: a row per cell, by `config_hash`.
  """
  rows = {row["config_hash"]: row for row in results.iter_rows(named=True)}
  runs: dict[tuple[str, str, str], dict[int, Mapping[str, Any]]] = {}
  for cell in cells:
    if cell.hash in rows:
      key = (cell.flat["model"], cell.flat["attack"], cell.flat["defense"])
      runs.setdefault(key, {})[cell.config.seed] = rows[cell.hash]
  return runs


def rate(row: Mapping[str, Any], metric: str) -> float | None:
  """A metric of a run; a run that has diverged recommends nothing.

  >>> rate({"hr@10": None, "diverged_at_epoch": 7}, "hr@10"), rate({"hr@10": 0.5}, "hr@10")
  (0.0, 0.5)
  """
  if row.get("diverged_at_epoch") is not None:
    return 0.0
  value = row.get(metric)
  return None if value is None else float(value)


def mean_rate(runs: Runs, key: tuple[str, str, str], metric: str) -> Interval | None:
  """The mean over seeds of a metric; None where there is no value."""
  values = [value for row in runs.get(key, {}).values() if (value := rate(row, metric)) is not None]
  return mean_interval(values) if values else None


def strength(runs: Runs, model: str, attack: str, defense: str) -> Interval | None:
  """How strong an attack is under a defense, against the same seeds without attack under the same defense.

  Returns:
    Of a targeted attack the er@10 that it gains, of an untargeted one the share of hr@10 that it takes; None where
    either side is missing, or there are no hits to take.
  """
  with_attack, without = runs.get((model, attack, defense), {}), runs.get((model, "none", defense), {})
  differences = []
  for seed in sorted(set(with_attack) & set(without)):
    metric = "er@10" if attack in TARGETED else "hr@10"
    attacked, clean = rate(with_attack[seed], metric), rate(without[seed], metric)
    if attacked is None or clean is None:
      continue
    if attack in TARGETED:
      differences.append(attacked - clean)
    elif clean > 0:
      differences.append((clean - attacked) / clean)
  return mean_interval(differences) if differences else None


def keeps_enough(runs: Runs, model: str, defense: str) -> bool:
  """Whether a defense keeps the share `LEAST_KEPT` of hr@10 without attack; unknown ones do."""
  own, undefended = (mean_rate(runs, (model, "none", one), "hr@10") for one in (defense, "none"))
  return own is None or undefended is None or own.mean >= LEAST_KEPT * undefended.mean


def ranked_attacks(runs: Runs, model: str, half: Half) -> list[RankedAttack]:
  """Attacks by their strength under the defense that is best against each, the strongest first.

  Defenses that do not keep enough hits count for none of them, and no defense is no defense.
  """

  def of(attack: str) -> Iterator[tuple[str, Interval]]:
    for defense in DEFENSES:
      found = strength(runs, model, attack, defense)
      if defense != "none" and found is not None and keeps_enough(runs, model, defense):
        yield defense, found

  ranked = []
  for attack in HALVES[half]:
    measured = list(of(attack))
    if measured:
      best, least = min(measured, key=lambda one: one[1].mean)
      ranked.append(RankedAttack(attack, best, least, strength(runs, model, attack, "none"), len(measured)))
  return sorted(ranked, key=lambda one: -one.strength.mean)


def ranked_defenses(runs: Runs, model: str, half: Half) -> list[RankedDefense]:
  """Defenses by the strength of the attack that is worst for each, the best first; those that cost too much last."""
  ranked = []
  for defense in DEFENSES:
    found = {attack: strength(runs, model, attack, defense) for attack in HALVES[half]}
    measured = {attack: one for attack, one in found.items() if one is not None}
    hits = mean_rate(runs, (model, "none", defense), "hr@10")
    if measured and hits is not None:
      worst = max(measured, key=lambda attack: measured[attack].mean)
      chosen = keeps_enough(runs, model, defense)
      ranked.append(RankedDefense(defense, worst, measured[worst], hits, chosen, len(measured)))
  return sorted(ranked, key=lambda one: (not one.chosen, one.strength.mean))
