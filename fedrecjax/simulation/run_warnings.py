"""What a run did not do although it was asked to: an attack that nobody made, a rule that was never in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedrecjax.config import AttackerConfig
from fedrecjax.metrics.detection import COUNTS, LEVELS

_FLAGGED = [COUNTS.index("malicious_flagged"), COUNTS.index("benign_flagged")]


def warnings_of(
  attack: str | None,
  attacker: AttackerConfig | None,
  *,
  attacking: int,
  judged: Mapping[str, np.ndarray],
  idle: Sequence[np.ndarray],
  rule: str,
) -> tuple[str, ...]:
  """One line for each of these things that happened in a run.

  Args:
    attack: its name; None if it has none.
    attacker: as asked for; None if no attack uploads as a client does.
    attacking: how many times a malicious client attacked in a round.
    judged: verdicts over all rounds of each stage that may reject or rescale uploads, `[2, 4]` by the stage's name.
    idle: where the rule had too few rows, `[rounds, 2]` each; empty for a rule that needs none.
    rule: its name.
  """
  lines = []
  if attacker is not None and attacking == 0:
    reason = f"attacker.malicious_ratio={attacker.malicious_ratio:g}"
    if attacker.malicious_ratio > 0:
      reason = f"no malicious client took part from epoch {attacker.start_epoch} on"
    lines.append(f"{attack or 'the attack'} was never made: {reason}")
  for name, counts in judged.items():
    if counts[LEVELS.index("row"), _FLAGGED].sum() == 0 and name != rule:
      lines.append(f"{name} rejected and changed nothing in any round")
  if idle:
    items, touched = np.concatenate(idle).sum(axis=0)
    if items == touched > 0:
      lines.append(f"{rule} was never in force: wherever anything was uploaded there were too few rows for it")
  return tuple(lines)
