"""What no attack and no defence may do, looked for where results are fetched: programs raise nothing."""

from __future__ import annotations

import numpy as np

from fedrecjax.metrics.stealth import COUNTS
from fedrecjax.simulation.contracts import method_name
from fedrecjax.simulation.image_provider import Provider
from fedrecjax.simulation.image_step import IMPOSSIBLE
from fedrecjax.simulation.measurements import Measurements
from fedrecjax.simulation.planning import Run
from fedrecjax.simulation.results import AttackError, DefenseError


def check_pixels(run: Run, provider: Provider) -> None:
  """Raises AttackError if an image that was uploaded, or kept, has impossible pixel values."""
  columns = provider.columns()
  bad = columns.get(IMPOSSIBLE, np.zeros(0)) > 0
  if bad.any():
    name = run.dataset.item_name(columns["item"][bad][0])
    raise AttackError(f"the image of item {name} in epoch {columns['epoch'][bad][0]} has pixel"
                      " values outside 0..255, as the attack uploaded it or as the defense made it")


def check_rows(run: Run, told: Measurements) -> None:
  """Raises AttackError or DefenseError if rows are of items or clients that do not exist."""
  parts, num_items = run.constants.parts, run.structure.num_items
  attack, rule = method_name("attack", parts.poison), method_name("defense", parts.aggregate)
  of_attack, of_rule = told.outside
  if of_attack > 0:
    raise AttackError(f"{attack}: poison uploaded {of_attack} rows for items that do not exist; items are 0 to"
                      f" {num_items - 1}, and {num_items} where a place is unused")
  foreign = sum(float(sums[:, COUNTS.index("foreign")].sum()) for sums in told.stealth)
  if foreign > 0:
    raise AttackError(f"{attack}: poison uploaded {foreign:.0f} rows in the name of clients that are not its own; rows"
                      " must carry the view.slot of an active place")
  if of_rule > 0:
    raise DefenseError(f"{rule}: aggregate made {of_rule} rows for items that do not exist; items are 0 to"
                       f" {num_items - 1}, and {num_items} where a place is unused")
