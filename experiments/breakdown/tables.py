"""The tables of a breakdown analysis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.breakdown.analysis import Analysis
from experiments.breakdown.flags import Options
from experiments.tables import Table

_SHARES = {
  "share_proposition_2": "proposition 2", "share_tail_law": "tail law", "share_interactions": "interactions",
  "share_uploads": "uploads", "share_measured": "measured", "share_moved": "moved",
}


def law_table(analyses: Sequence[Analysis]) -> Table:
  """The fitted laws, two for each data set."""
  rows = []
  for one in analyses:
    for name, law in (("best tail", one.tail), ("all", one.plain)):
      exponent = f"{law.exponent:.3f} ± {law.standard_error:.3f}"
      items = (str(law.num_items), f"{law.tail_share:.3f}")
      rows.append((one.dataset, name, exponent, str(law.minimum), f"{law.distance:.3f}", *items))
  notes = (
    "best tail: the law with the x_min at which the Kolmogorov-Smirnov distance (KS) is smallest",
    "all: the law with x_min = 1, which proposition 2 assumes",
    "exponent ± standard error; items with a degree of x_min or more, and their share of the items with any",
  )
  header = ("data set", "law of", "exponent", "x_min", "KS", "items", "share")
  return Table("Power laws of item degrees", header, tuple(rows), 2, notes)


def share_table(options: Options, analyses: Sequence[Analysis]) -> Table:
  """The shares of items broken, predicted and measured."""
  rows = []
  for row in (row for one in analyses for row in one.rows):
    bound = "all" if row["degree_bound"] is None else f"{row['degree_bound']:g}"
    counts = (f"{row['touched_items']:.0f}", f"{row['malicious_only_items']:.0f}")
    shares = (_shown(row[name]) for name in _SHARES)
    rows.append((row["dataset"], row["rule"], f"{row['ratio']:g}", str(row["num_malicious"]), bound, *shares, *counts))
  header = ("data set", "rule", "ratio", "malicious", "degrees to", *_SHARES.values(), "touched", "only")
  return Table("Share of items broken", header, tuple(rows), 2, _notes(options))


def _notes(options: Options) -> tuple[str, ...]:
  clients = "all clients" if options.clients_per_round is None else f"{options.clients_per_round} clients"
  number = "as many as the longest training list" if options.max_items is None else str(options.max_items)
  uploaded = f"{number} items drawn by popularity" if options.sampled else "all items"
  return (
    "the paper, of Steam: 97 % of the items have fewer than 200 interactions, and 5 % of all clients are 197",
    "proposition 2: by the law of all degrees; tail law: by that of the best tail, - where it says nothing of degrees"
    " so low; both for attackers that upload all items",
    "interactions: counted, with a benign row from each user of an item; uploads: with the expected number of benign"
    f" rows, negatives included ({options.num_negatives} per positive)",
    f"measured: mean over {options.rounds} rounds of {clients}, negatives included; moved: the same, by uploading a"
    " huge value; both of the touched items, which have a benign row",
    f"malicious clients upload {uploaded}; only: items that they alone upload",
    f"trimmed_mean drops {options.trimmed_share:g} of the rows at either end",
  )


def _shown(share: float | None) -> str:
  return "-" if share is None or math.isnan(share) else f"{share:.3f}"
