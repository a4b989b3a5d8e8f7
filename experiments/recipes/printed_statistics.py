"""What papers print about the data sets that they use, and of popular items in them."""

from __future__ import annotations

from typing import NamedTuple


class Printed(NamedTuple):
  """A row of a paper's table of data sets, as printed.

  Attributes:
    dataset: name of the set here.
    source: paper and table.
    users: number of users.
    items: number of items.
    interactions: number of interactions.
    per_user: interactions per user; empty where the table has none.
    density: in percent; where the table prints the sparsity, 100 % less that.
    note: where the set here is known to be another one than printed; empty where it is the same.
  """

  dataset: str
  source: str
  users: int
  items: int
  interactions: int
  per_user: str
  density: str
  note: str = ""


_CLUSTER = "ClusterAttack, Table 2"
_FEDRECATTACK = "FedRecAttack, Table II"
_PIECK = "PIECK, Table VIII"
_SPATTACK = "Spattack, Table 2"
_VISUAL = "PSMU++, Table 1"

PRINTED = (
  Printed("ml-100k", _FEDRECATTACK, 943, 1682, 100_000, "106", "6.30"),
  Printed("ml-100k", _PIECK, 943, 1682, 100_000, "106", "6.30"),
  Printed("ml-100k", _SPATTACK, 943, 1682, 100_000, "", "6.30"),
  Printed("ml-1m", _CLUSTER, 6040, 3706, 1_000_209, "165.6", "4.47"),
  Printed("ml-1m", _FEDRECATTACK, 6040, 3706, 1_000_209, "166", "4.47"),
  Printed("ml-1m", _PIECK, 6040, 3706, 1_000_209, "166", "4.47"),
  Printed("ml-1m", _SPATTACK, 6040, 3706, 1_000_209, "", "4.47"),
  Printed("ml-1m", _VISUAL, 6040, 3706, 1_000_208, "166", "4.46"),
  Printed("steam-200k", _FEDRECATTACK, 3753, 5134, 114_713, "31", "0.60"),
  Printed("steam-200k", _SPATTACK, 3753, 5134, 114_713, "", "0.60"),
  Printed("amazon-digital-music", _PIECK, 16_566, 11_797, 169_781, "10", "0.09"),
  Printed("gowalla", _CLUSTER, 29_858, 40_981, 1_585_043, "53.1", "0.13",
          "printed with repeats and with times; the published lists have each pair once and no time"),
  Printed("amazon-cell-phones", _VISUAL, 13_174, 5970, 103_593, "8", "0.13",
          "printed of a subset with images that is not published"),
)


def printed_of(dataset: str) -> list[Printed]:
  """What papers print of a data set."""
  return [one for one in PRINTED if one.dataset == dataset]


# After 200 rounds on MovieLens-100K, by the number of popular items; PIECK, Table II.
PRINTED_DIVERGENCE = {
  "mf": {1: 0.0848, 10: 0.0828, 50: 0.0871, 150: 0.0891},
  "ncf": {1: 0.0026, 10: 0.0025, 50: 0.0016, 150: 0.0010},
}
PRINTED_COVERAGE = {1: 0.6151, 10: 0.9830, 50: 0.9979, 150: 1.0}
