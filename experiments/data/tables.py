"""What data sets hold, as tables: their sizes beside those that papers print, and how popular their items are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.recipes.printed_statistics import Printed, printed_of
from experiments.tables import Table
from experiments.verdicts import Verdict, counted
from fedrecjax.analysis import Summary, top_share
from fedrecjax.datasets import Dataset


def statistics_table(summaries: Sequence[Summary]) -> Table | None:
  """Our numbers and those that papers print with a verdict, a row each; None if no paper prints any."""
  rows, verdicts = [], []
  for one in summaries:
    printed = printed_of(one.name)
    if not printed:
      continue
    per_user = f"{one.interactions / one.users:.1f}"
    density = f"{100 * one.density:.2f}"
    rows.append((one.name, "here", *_counts(one.users, one.items, one.interactions), per_user, density, "-"))
    for row in printed:
      verdicts.append(size_verdict(one, row))
      rows.append((
        one.name, row.source, *_counts(row.users, row.items, row.interactions), row.per_user or "-", row.density,
        str(verdicts[-1]),
      ))
  if not rows:
    return None
  header = ("data set", "from", "users", "items", "interactions", "of a user", "density, %", "verdict")
  notes = ("Verdict: agrees where users, items and interactions are as printed.", f"Verdicts: {counted(verdicts)}.")
  return Table("Data sets as papers print them", header, tuple(rows), 2, notes)


def size_verdict(here: Summary, printed: Printed) -> Verdict:
  """Whether a set has the users, items and interactions that a paper prints."""
  if printed.note:
    return Verdict("not comparable", printed.note)
  apart = [
    f"{ours - theirs:+,} {name}"
    for name in ("users", "items", "interactions")
    if (ours := getattr(here, name)) != (theirs := getattr(printed, name))
  ]
  return Verdict("differs" if apart else "agrees", f"here {', '.join(apart)}" if apart else "all three as printed")


def popularity_table(datasets: Sequence[Dataset]) -> Table:
  """How unevenly the training interactions are spread over items, a row for each data set."""
  return Table(
    "Popularity of items",
    ("data set", "share of the top 15 %", "items with half of all", "share of items", "most", "median"),
    tuple(_popularity_row(one) for one in datasets),
    1,
    ("Training interactions. PIECK, Figure 3, prints no numbers; its text gives the top 15 % more than half of all.",),
  )


def _popularity_row(dataset: Dataset) -> tuple[str, ...]:
  counts = np.sort(dataset.popularity)[::-1]
  half = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 1
  return (
    dataset.name, f"{top_share(counts):.3f}", f"{half:,}", f"{half / len(counts):.3f}", f"{counts[0]:,}",
    f"{np.median(counts):g}",
  )


def _counts(*numbers: int) -> tuple[str, ...]:
  return tuple(f"{number:,}" for number in numbers)
