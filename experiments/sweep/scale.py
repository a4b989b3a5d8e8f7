"""Recipes at two scales: as the paper has them, or small enough to see within minutes that all is in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.grid import Cell, Settings

SCALES = ("full", "quick")
QUICK_NOTE = (
  "Quick: embedded data, four epochs, two seeds, and as few rows as have every value of every setting; it shows that"
  " all runs, and nothing of the paper"
)

_EPOCHS = 4
_LEAST_RATIO = 0.01
_QUICK: Mapping[str, str] = {
  "dataset": "synthetic",
  "seed": "0-1",
  "train.epochs": str(_EPOCHS),
  "eval.every": str(_EPOCHS),
  # What some attacks compute before training, and the images' networks, would take longer than the training.
  "dl_poison.first_steps": "20",
  "dl_poison.steps": "2",
  "mf_poison.steps": "3",
  "gdmpd.respacing": "25",
  "gdmpd_unguided.respacing": "25",
}
_QUICK_IMAGES: Mapping[str, str] = {
  "images.source": "covers",
  "images.extractor": "small_cnn",
  "images.extractor_steps": "20",
  "images.diffusion_steps": "20",
  "images.diffusion_levels": "1+1",
}


def quick_blocks(blocks: Iterable[Settings]) -> list[Settings]:
  """A recipe's grids on embedded data for a few epochs; shares that would be nobody there are one percent.

  Args:
    blocks: the recipe's.

  >>> block = quick_blocks([{"dataset": "ml-1m", "attacker.malicious_ratio": "0.001,0.1"}])[0]
  >>> block["dataset"], block["attacker.malicious_ratio"]
  ('synthetic', '0.01,0.1')
  """
  return [_quick(block) for block in blocks]


def _quick(block: Settings) -> Settings:
  images = _QUICK_IMAGES if "images.source" in block else {}
  ratios, starts = "attacker.malicious_ratio", "attacker.start_epoch"
  fitted = {}
  if ratios in block:
    # The number that is there as text, where it is large enough: 0.1 is to stay 0.1.
    parts = [part if float(part) >= _LEAST_RATIO else str(_LEAST_RATIO) for part in block[ratios].split(",")]
    fitted[ratios] = ",".join(dict.fromkeys(parts))
  if starts in block:
    fitted[starts] = ",".join(dict.fromkeys(str(min(int(part), 1)) for part in block[starts].split(",")))
  return {**block, **_QUICK, **images, **fitted}


def covering(cells: Sequence[Cell]) -> list[Cell]:
  """As few rows as have every value of every field, each with all its seeds.

  Args:
    cells: of a grid.

  Returns:
    Some of them, in their order. Rows are chosen one after another, each with most values that none before it has.
  """
  rows: dict[tuple[Any, ...], list[Cell]] = {}
  for cell in cells:
    rows.setdefault(tuple(sorted(_values(cell))), []).append(cell)
  uncovered = {value for row in rows for value in row}
  chosen: set[str] = set()
  while uncovered:
    row = max(rows, key=lambda one: len(uncovered.intersection(one)))
    uncovered -= set(row)
    chosen.update(cell.hash for cell in rows[row])
  return [cell for cell in cells if cell.hash in chosen]


def _values(cell: Cell) -> list[tuple[str, str]]:
  return [(name, repr(value)) for name, value in cell.flat.items() if name != "seed"]
