"""The command `python -m experiments.data_statistics`: the sizes of data sets beside those that the papers print.

And how unevenly items are chosen (PIECK, Figure 3).
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from experiments.command_line import FlagGroup, comma_list, command, output, read_group, use_folder
from experiments.recipes.printed_statistics import PRINTED_SETS, PrintedSet
from experiments.tables import Table, print_and_write
from fedrecjax.datasets import Dataset, load

_POPULAR = 0.15


def size_rows(dataset: Dataset, printed: Sequence[PrintedSet]) -> list[tuple[str, ...]]:
  """A data set as it is here, then as each paper prints it.

  Args:
    dataset: whose training and held-out items are counted, repeats too.
    printed: rows of the papers.
  """
  interactions = int(_interactions(dataset).sum())
  pairs = dataset.num_users * dataset.num_items
  here = (
    dataset.name, "here", f"{dataset.num_users:,}", f"{dataset.num_items:,}", f"{interactions:,}",
    f"{interactions / dataset.num_users:.1f}", f"{100 * (1 - interactions / pairs):.2f}", "-",
  )
  return [here, *(
    (
      dataset.name, one.source, f"{one.users:,}", f"{one.items:,}", f"{one.interactions:,}", one.per_user or "-",
      f"{one.sparsity:.2f}", one.remark or "-",
    )
    for one in printed
  )]


def popularity_row(dataset: Dataset) -> tuple[str, ...]:
  """How many interactions popular items have, and how few items have half of all."""
  counts = np.sort(_interactions(dataset))[::-1]
  popular = max(int(_POPULAR * len(counts)), 1)
  running = np.cumsum(counts) / counts.sum()
  half = int(np.searchsorted(running, 0.5)) + 1
  return (
    dataset.name, f"{running[popular - 1]:.3f}", f"{half:,}", f"{half / len(counts):.3f}", f"{counts[0]:,}",
    f"{np.median(counts):g}",
  )


def _interactions(dataset: Dataset) -> np.ndarray:
  """Of every item, training and held-out, repeats counted, `[M]`."""
  lists = (dataset.train, dataset.test, dataset.validation)
  items = np.concatenate([one.items for one in lists if one is not None])
  return np.bincount(items, minlength=dataset.num_items)


def _work(argv: Sequence[str]) -> None:
  value = read_group("data_statistics", argv, _define_flags)
  names, out_dir = comma_list("dataset", value("dataset")), pathlib.Path(value("out_dir"))
  use_folder(out_dir)
  # Nothing is evaluated, so that users with too few items to hold one out may stay.
  datasets = [load(name, data_dir=value("data_dir"), too_few="train_only") for name in names]
  sizes = Table(
    "Sizes of data sets",
    ("data set", "source", "users", "items", "interactions", "per user", "sparsity, %", "remark"),
    tuple(row for one in datasets for row in size_rows(one, PRINTED_SETS.get(one.name, ()))),
    2,
    ("Training and held-out items together, repeats counted. Where a paper prints a density, 100 minus it.",),
  )
  popularity = Table(
    "Popularity of items",
    ("data set", f"interactions with the top {_POPULAR:.0%}", "items with half", "share of items", "most", "median"),
    tuple(popularity_row(one) for one in datasets),
    1,
    ("PIECK, Figure 3, which prints no numbers: in its text the top 15 % have more than half of the interactions.",),
  )
  print_and_write([sizes, popularity], out_dir / "data_statistics.md", output())


def _define_flags(group: FlagGroup) -> None:
  group.text("dataset", ",".join(PRINTED_SETS), "comma list of data sets, by name or path; by default those of the"
             " papers.")
  group.data_dir()
  group.out_dir()


main = command("data_statistics", _work)


if __name__ == "__main__":
  sys.exit(main())
