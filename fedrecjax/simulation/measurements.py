"""What a run tells about itself while it goes on, fetched from the device a few evaluation points at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from fedrecjax.metrics.detection import detection_columns
from fedrecjax.metrics.stealth import COUNTS, stealth_columns
from fedrecjax.simulation.divergence import Divergence, divergence_in
from fedrecjax.simulation.programs import compiled_program
from fedrecjax.simulation.records import Reports, joined, mean_loss

POINTS_TOGETHER = 10
_BY_ROUND = ("verdicts", "stealth", "idle")
_TOLD = "told."


class Measurements:
  """Metrics of the evaluation points so far, and what the rounds before them tell.

  Fetching a result waits for the device, so results are left there until ten points have come together. Where a run has
  diverged, nothing is kept of the point behind that and of later ones.

  Attributes:
    verdicts: counts of a defence's verdicts in the rounds before each point, `[rounds, S, 2, 4]` each; empty for a
      defence that has none.
    stealth: sums over malicious uploads in the rounds before each point, `[rounds, 6]` each; empty if nobody is
      malicious.
    idle: where the rule had too few rows in the rounds before each point, `[rounds, 2]` each; empty for a rule that
      needs none.
    penalties: mean L2 term of benign clients before each point; empty without one.
    told: by the attack in the rounds before each point, `[rounds]` by name, NaN in rounds without an
      attacker; empty of an attack that tells nothing.
    outside: rows for items that do not exist so far, of the attack and of the server's rule, `[2]`.
    divergence: where the run has diverged, as far as fetched; None while it has not.
  """

  def __init__(self, names: Sequence[str], judges: Sequence[str]):
    self.verdicts: list[np.ndarray] = []
    self.stealth: list[np.ndarray] = []
    self.idle: list[np.ndarray] = []
    self.penalties: list[float] = []
    self.told: list[dict[str, np.ndarray]] = []
    self._judges = judges
    self.outside = np.zeros(2, np.int64)
    self.divergence: Divergence | None = None
    self._names = [*names, "train_loss"]
    self._rows: list[np.ndarray] = []
    self._walls: list[float] = []
    self._lengths: list[int] = []
    self._per_user: jax.Array | np.ndarray | None = None
    self._waiting: list[tuple[jax.Array, jax.Array, tuple[Reports, ...]]] = []

  def add(self, means: jax.Array, per_user: jax.Array, reports: Sequence[Reports]) -> None:
    """Adds an evaluation point.

    Args:
      means: of the metrics over users, in the order of their names.
      per_user: metrics of each user `[N, metrics]`.
      reports: of the stretches of rounds since the point before.
    """
    self._waiting.append((means, per_user, tuple(reports)))

  def fetch(self, *, everything: bool) -> bool:
    """Fetches the points that wait, if they are enough or everything is asked for; returns whether it did."""
    if not everything and len(self._waiting) < POINTS_TOGETHER:
      return False
    for means, per_user, parts in self._waiting:
      one = joined(parts)
      program, _ = compiled_program(mean_loss, one.loss, one.benign)
      row, faults = np.append(np.asarray(means), np.asarray(program(one.loss, one.benign))), np.asarray(one.faults)
      self.divergence = self.divergence or divergence_in(faults, row, sum(self._lengths))
      if self.divergence is not None:
        break
      self._lengths.append(len(faults))
      self._rows.append(row)
      self._per_user = per_user
      for name in _BY_ROUND:
        if getattr(one, name) is not None:
          getattr(self, name).append(np.asarray(getattr(one, name)))
      if one.penalty is not None:
        self.penalties.append(float(program(one.penalty, one.benign)))
      if one.told is not None:
        attacked = np.asarray(one.stealth)[:, COUNTS.index("malicious")] > 0
        self.told.append({name: np.where(attacked, np.asarray(each), np.nan) for name, each in one.told.items()})
      self.outside += np.asarray(one.outside)
    self._waiting = []
    return True

  def date(self, trained_s: float) -> None:
    """Dates the points fetched since the last call, evenly up to the given seconds of training."""
    before = self._walls[-1] if self._walls else 0.0
    new = len(self._rows) - len(self._walls)
    self._walls += [before + (trained_s - before) * (place + 1) / new for place in range(new)]

  def saved(self) -> dict[str, np.ndarray]:
    """The points fetched so far, by name, for :meth:`restore`."""
    kept = {
      "rows": np.array(self._rows), "walls": np.array(self._walls), "lengths": np.array(self._lengths, np.int64),
      "outside": self.outside,
    }
    kept |= {name: np.concatenate(getattr(self, name)) for name in _BY_ROUND if getattr(self, name)}
    kept |= {f"{_TOLD}{name}": column for name, column in self.told_columns.items()}
    kept |= {"penalties": np.array(self.penalties)} if self.penalties else {}
    return kept if self._per_user is None else kept | {"per_user": np.asarray(self._per_user)}

  def restore(self, kept: Mapping[str, np.ndarray]) -> None:
    """Takes over the points of :meth:`saved`, in place of none."""
    self._rows, self._walls = list(kept["rows"]), kept["walls"].tolist()
    self._lengths, self.outside = kept["lengths"].tolist(), kept["outside"].copy()
    self._per_user = kept.get("per_user")
    ends = np.cumsum(kept["lengths"])[:-1]
    for name in _BY_ROUND:
      setattr(self, name, np.split(kept[name], ends) if name in kept else [])
    told = {name.removeprefix(_TOLD): np.split(kept[name], ends) for name in kept if name.startswith(_TOLD)}
    self.told = [dict(zip(told, one, strict=True)) for one in zip(*told.values(), strict=True)]
    self.penalties = kept["penalties"].tolist() if "penalties" in kept else []

  @property
  def points(self) -> int:
    """Number of points fetched so far."""
    return len(self._rows)

  def per_user(self, num_users: int) -> dict[str, np.ndarray]:
    """Metrics of each of N users `[N]` by name, at the last point fetched; NaN before the first."""
    names = self._names[:-1]
    values = np.full((num_users, len(names)), np.nan) if self._per_user is None else np.asarray(self._per_user)
    return {name: values[:, number] for number, name in enumerate(names)}

  @property
  def detection(self) -> dict[str, np.ndarray]:
    """Quality of detection of every round, see :func:`fedrecjax.metrics.detection.detection_columns`."""
    return self._detection(np.concatenate(self.verdicts)) if self.verdicts else {}

  @property
  def told_columns(self) -> dict[str, np.ndarray]:
    """What the attack told of every round, `[rounds]` by name, NaN where it took no part."""
    return {name: np.concatenate([one[name] for one in self.told]) for name in (self.told[0] if self.told else ())}

  @property
  def judged(self) -> dict[str, np.ndarray]:
    """Counts of the verdicts of each stage over all rounds, `[2, 4]`, by the stage's name."""
    if not self.verdicts:
      return {}
    return dict(zip(self._judges, np.concatenate(self.verdicts).sum(axis=0)))

  def _detection(self, counts: np.ndarray) -> dict[str, np.ndarray]:
    return detection_columns(counts, self._judges[: counts.shape[1]])

  def columns(self) -> dict[str, np.ndarray]:
    """One array over evaluation points per metric, of detection and stealth, what attacks tell, and `wall_s`."""
    table = np.array(self._rows).reshape(-1, len(self._names))
    columns = {name: table[:, number] for number, name in enumerate(self._names)}
    if self.penalties:
      columns["train_loss_l2"] = columns["train_loss"] + np.array(self.penalties)
    if self.verdicts:
      columns |= self._detection(np.array([counts.sum(axis=0) for counts in self.verdicts]))
    if self.stealth:
      columns |= stealth_columns(np.array([sums.sum(axis=0) for sums in self.stealth]))
    if self.idle:
      idle, items = np.array([counts.sum(axis=0) for counts in self.idle], float).reshape(-1, 2).T
      columns["rule_idle"] = np.divide(idle, items, out=np.full(len(items), np.nan), where=items > 0)
    for name in self.told[0] if self.told else ():
      columns[f"attack_{name}"] = np.array([_mean(one[name]) for one in self.told])
    return columns | {"wall_s": np.array(self._walls)}


def _mean(told: np.ndarray) -> float:
  """The mean over the rounds in which the attack took part; NaN without one."""
  known = told[~np.isnan(told)]
  return float(known.mean()) if known.size else np.nan
