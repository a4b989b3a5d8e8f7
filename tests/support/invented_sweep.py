"""Folders of sweeps whose results are invented: all that a real one has, without training."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.grid import Cell
from experiments.results.cell_files import write_cell
from fedrecjax.attacks import UNTARGETED
from fedrecjax.metrics.detection import COUNTS, LEVELS
from fedrecjax.simulation.results import DivergedError, Result

_WEAKENED = {"none": 1.0, "norm_bound": 0.55, "median": 0.12}
_COSTS = {"none": 1.0, "norm_bound": 0.97, "median": 0.7}
_LIFTS = {"explicit_boosting": 0.6, "pieck_ipe": 0.9, "pieck_uea": 0.98}


def invented_result(cell: Cell, *, points: int = 10, users: int = 40) -> Result:
  """A run that looks like one: rates rise over epochs, seeds differ, defenses weaken attacks and cost utility."""
  attack, defense, epochs = cell.flat["attack"], cell.flat["defense"], cell.config.train.epochs
  random = np.random.default_rng([cell.config.seed, len(attack), len(defense), epochs])
  at = np.unique(np.linspace(1, epochs, points).round().astype(int))
  grown = 1.0 - np.exp(-3.0 * at / epochs)
  noise = random.normal(0.0, 0.012, len(at)).cumsum() / math.sqrt(len(at))
  utility = np.clip(0.4 * _COSTS.get(defense, 0.9) * (0.5 if attack in UNTARGETED else 1.0) * grown + noise, 0.0, 1.0)
  exposure = np.clip(_LIFTS.get(attack, 0.0) * _WEAKENED.get(defense, 0.7) * grown**3 + np.abs(noise) / 3, 0.0, 1.0)
  exposure += 0.002
  rounds = np.arange(1, 5)
  flagged = defense == "norm_bound"
  counts = {f"{level}_{count}": np.full(4, 3.0 + place) for level in LEVELS for place, count in enumerate(COUNTS)}
  malicious = attack != "none"
  stealth = {"malicious_clients": np.full(4, 2.0), "malicious_rows": np.full(4, 30.0),
             "benign_clients": np.full(4, 60.0), "benign_rows": np.full(4, 80.0), "norm_percentile": np.full(4, 0.8)}
  return Result(
    metrics={"epoch": at, "round": at * len(rounds), "hr@10": utility, "ndcg@10": utility * 0.6, "er@5": exposure * 0.9,
             "er@10": exposure, "train_loss": 0.7 - 0.4 * grown, "wall_s": at * 0.1},
    per_user={name: random.uniform(0.0, 2.0 * utility[-1], users) for name in ("hr@10", "ndcg@10")},
    users=np.arange(users), targets=np.array([5]), state=None, compile_s=0.5,  # type: ignore[arg-type]
    detection=counts if flagged and malicious else {}, stealth=stealth if malicious else {}, images={},
    warnings=("nobody was malicious in round 3",) if attack == "pieck_uea" and defense == "median" else (),
  )


def write_invented(out_dir: pathlib.Path, cells: Sequence[Cell], *, diverged: Sequence[str] = (), version: str = "0.1"
                   ) -> None:
  """Writes the folder of a sweep.

  Args:
    out_dir: to write.
    cells: finished ones.
    diverged: hashes of those that have diverged.
    version: of the package.
  """
  for cell in cells:
    result = invented_result(cell)
    end = DivergedError("the update grew without bound", result, epoch=7, round=28) if cell.hash in diverged else None
    write_cell(out_dir, cell, result, version, {}, end)
