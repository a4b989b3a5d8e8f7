"""What the papers print of data sets and of popular items.

ClusterAttack Table 2, FedRecAttack Table II, PIECK Tables II and VIII, Spattack Table 2, GDMPD Table 1.
"""

from typing import NamedTuple


class PrintedSet(NamedTuple):
  """One row of a table of data sets.

  Attributes:
    source: paper and table.
    users: number of users.
    items: number of items.
    interactions: number of interactions.
    per_user: interactions of a user on average, as printed; empty where the table has none.
    sparsity: share of pairs without interaction in percent; 100 minus a density that is printed instead.
    remark: what is other about the paper's set.
  """

  source: str
  users: int
  items: int
  interactions: int
  per_user: str
  sparsity: float
  remark: str = ""


_ML1M = (6040, 3706, 1_000_209)
_ML100K = (943, 1682, 100_000)
_STEAM = (3753, 5134, 114_713)

PRINTED_SETS: dict[str, tuple[PrintedSet, ...]] = {
  "ml-100k": (
    PrintedSet("FedRecAttack II", *_ML100K, "106", 93.70),
    PrintedSet("PIECK VIII", *_ML100K, "106", 93.70),
    PrintedSet("Spattack 2", *_ML100K, "", 93.70),
  ),
  "ml-1m": (
    PrintedSet("ClusterAttack 2", *_ML1M, "165.6", 95.53),
    PrintedSet("FedRecAttack II", *_ML1M, "166", 95.53),
    PrintedSet("PIECK VIII", *_ML1M, "166", 95.53),
    PrintedSet("Spattack 2", *_ML1M, "", 95.53),
    PrintedSet("GDMPD 1", 6040, 3706, 1_000_208, "166", 95.54, "with pictures of 3,301 items"),
  ),
  "steam-200k": (
    PrintedSet("FedRecAttack II", *_STEAM, "31", 99.40),
    PrintedSet("Spattack 2", *_STEAM, "", 99.40),
  ),
  "amazon-digital-music": (PrintedSet("PIECK VIII", 16_566, 11_797, 169_781, "10", 99.91),),
  "gowalla": (
    PrintedSet("ClusterAttack 2", 29_858, 40_981, 1_585_043, "53.1", 99.87, "repeats and time cannot be had"),
  ),
  "amazon-cell-phones": (
    PrintedSet("GDMPD 1", 13_174, 5_970, 103_593, "8", 99.87, "the subset and its pictures cannot be had"),
  ),
}

# After 200 rounds on MovieLens-100K, by the number of popular items.
PRINTED_DIVERGENCE = {
  "mf": {1: 0.0848, 10: 0.0828, 50: 0.0871, 150: 0.0891},
  "ncf": {1: 0.0026, 10: 0.0025, 50: 0.0016, 150: 0.0010},
}
PRINTED_COVERAGE = {1: 0.6151, 10: 0.9830, 50: 0.9979, 150: 1.0}
