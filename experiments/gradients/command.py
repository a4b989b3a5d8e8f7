"""The command `python -m experiments.gradients`: flags to windows of rounds, their table, rows and picture."""

from __future__ import annotations

import itertools
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from experiments.atomic_files import new_file
from experiments.command_line import FlagGroup, command, output, print_line, read_group, use_folder
from experiments.errors import UsageError
from experiments.gradients.plot import plot_windows
from experiments.gradients.windows import TASKS, Window, planned, windows
from experiments.results.plots import PlotError
from experiments.tables import Table, print_and_write
from fedrecjax.datasets import load

_ATTACKS = ("cluster", "lie", "fang", "gaussian", "label_flip", "fedattack")


def table_of(found: Mapping[str, Sequence[Window]], title: str) -> Table:
  """How far apart benign and malicious uploads leave the items, and how far from the middle of all they lie."""
  rows = []
  for task, of_task in found.items():
    for one in of_task:
      bad, good = one.uniformity[one.malicious], one.uniformity[~one.malicious]
      distance = np.linalg.norm(one.points, axis=1)
      rows.append((
        task, f"{one.start:,}", str(good.size), str(bad.size), _mean(good), _mean(bad), _separation(good, bad),
        _mean(distance[~one.malicious]), _mean(distance[one.malicious]), f"{one.shares.sum():.3f}",
      ))
  header = (
    "contrastive task", "from round", "benign", "malicious", "uniformity, benign", "malicious", "told apart",
    "distance, benign", "malicious", "variance shown",
  )
  return Table(title, header, tuple(rows), 2, (
    "Uniformity: mean distance of sampled items after the server's step with one upload alone. Told apart: the chance"
    " that a malicious upload leaves them closer than a benign one; 0.5 is not at all, and 0 or 1 always. Distance:"
    " from the middle in the plane of the two first principal components.",
  ))


def _mean(values: np.ndarray) -> str:
  return f"{values.mean():.4g}" if values.size else "-"


def _separation(good: np.ndarray, bad: np.ndarray) -> str:
  if not good.size or not bad.size:
    return "-"
  closer = (bad[:, None] < good[None]).mean() + 0.5 * (bad[:, None] == good[None]).mean()
  return f"{closer:.3f}"


def _work(argv: Sequence[str]) -> None:
  value = read_group("gradients", argv, _define_flags)
  starts, width = _starts(value("rounds"), value("width")), value("width")
  ratio, out_dir = value("malicious_ratio"), pathlib.Path(value("out_dir"))
  dataset = load(value("dataset"), data_dir=value("data_dir"), split="last_two")
  use_folder(out_dir)
  found = {}
  for task, contrastive in TASKS.items():
    run = planned(dataset, attack=value("attack"), contrastive=contrastive, ratio=ratio,
                  rounds=max(starts) + width, seed=value("seed"))
    found[task] = list(windows(run, starts, width))
  console = output()
  with new_file(out_dir / "uploads.csv") as file:
    pl.concat([_rows(task, one) for task, of_task in found.items() for one in of_task]).write_csv(file)
  title = f"{dataset.name}, {value('attack')}, {ratio:g} malicious: uploads of {width} rounds"
  print_and_write([table_of(found, title)], out_dir / "gradients.md", console)
  try:
    plot_windows(found, out_dir / "gradients.png")
    print_line(console, f"Picture: {out_dir / 'gradients.png'}")
  except PlotError as error:
    print(f"gradients: {error}", file=sys.stderr)


def _rows(task: str, window: Window) -> pl.DataFrame:
  return pl.DataFrame({
    "task": [task] * len(window.round), "from_round": [window.start] * len(window.round), "round": window.round,
    "malicious": window.malicious, "uniformity": window.uniformity, "component_1": window.points[:, 0],
    "component_2": window.points[:, 1],
  })


def _starts(text: str, width: int) -> list[int]:
  parts = [part.strip() for part in text.split(",")]
  if not all(part.isdecimal() for part in parts):
    raise UsageError(f"--rounds must be a comma list of rounds from 0, got {text!r}")
  starts = sorted({int(part) for part in parts})
  if any(later - earlier < width for earlier, later in itertools.pairwise(starts)):
    raise UsageError(f"--rounds must be at least --width={width} apart, got {text!r}")
  return starts


def _define_flags(group: FlagGroup) -> None:
  group.dataset()
  group.data_dir()
  group.out_dir()
  group.text("rounds", "50,200,500", "comma list of first rounds of what is looked at.")
  group.integer("width", 10, "rounds whose uploads are looked at together.", least=1)
  group.choice("attack", "cluster", _ATTACKS, "attack, with ClusterAttack's settings of training.")
  group.number("malicious_ratio", 0.01, "share of malicious users.", least=0.0, most=1.0)
  group.integer("seed", 0, "seed of the runs.", least=0)


main = command("gradients", _work)
