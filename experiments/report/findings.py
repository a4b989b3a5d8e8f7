"""What stands out in a sweep, in sentences; words between backticks are names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.grid import Cell, shown
from experiments.report.measured import Measured
from fedrecjax.attacks import UNTARGETED
from fedrecjax.metrics.stats import mean_interval

_MOST_SETTINGS = 3
_MOST_NAMES = 8
# Differences of rates below this are no finding.
_LEAST = 0.005
_FEW_SEEDS = 3
_WIDEST = 0.15


def what_ran(cells: Sequence[Cell], num_configurations: int) -> str:
  """One sentence on how much of what was run.

  Args:
    cells: finished ones.
    num_configurations: that they belong to.
  """
  axes = {name: list(dict.fromkeys(shown(cell.flat[name]) for cell in cells))
          for name in ("dataset", "model", "attack", "defense")}
  epochs = sorted({cell.config.train.epochs for cell in cells})
  seeds = len({cell.config.seed for cell in cells})
  lengths = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
  attacks, defenses = (["none", *(name for name in axes[kind] if name != "none")] if "none" in axes[kind]
                       else axes[kind] for kind in ("attack", "defense"))
  return (
    f"{counted(len(cells), 'run')} of {counted(num_configurations, 'configuration')}"
    f" with {counted(seeds, 'seed')}: {_names('model', axes['model'])} on {_names('data set', axes['dataset'])},"
    f" {_names('attack', attacks)}, {_names('defense', defenses)}; {lengths}"
    f" {'epoch' if lengths == '1' else 'epochs'} each."
  )


def counted(count: int, noun: str) -> str:
  """A number with its noun.

  >>> counted(1, "seed"), counted(1200, "run")
  ('1 seed', '1,200 runs')
  """
  return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _names(noun: str, names: Sequence[str]) -> str:
  more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
  listed = ", ".join(f"`{name}`" for name in names[:_MOST_NAMES])
  return f"{noun if len(names) == 1 else noun + 's'} {listed}{more}"


def stands_out(groups: Sequence[Measured], exposure: str, utility: str) -> list[str]:
  """Sentences on the strongest attacks, what defenses do against them, and what these cost.

  Args:
    groups: configurations.
    exposure: metric of the targets.
    utility: metric of benign users.
  """
  settings: dict[str, list[Measured]] = {}
  for group in groups:
    settings.setdefault(group.setting, []).append(group)
  lines = []
  for setting, members in list(settings.items())[:_MOST_SETTINGS]:
    found = [*_promotion(members, exposure), *_spoiling(members, utility), *_price(members, utility)]
    lines += [f"With {setting}: {line}" if len(settings) > 1 else line for line in found]
  if len(settings) > _MOST_SETTINGS:
    lines.append(f"{len(settings) - _MOST_SETTINGS} more settings are in the tables.")
  if groups and min(group.num_seeds for group in groups) < _FEW_SEEDS:
    fewest = min(group.num_seeds for group in groups)
    lines.append(f"Some figures are of {counted(fewest, 'seed')} alone, which tells little of chance:"
                 " compare them with care, or add seeds.")
  return lines


def _promotion(groups: Sequence[Measured], metric: str) -> list[str]:
  """On attacks that promote items."""
  found = [group for group in groups if group.flat["attack"] not in {"none", *UNTARGETED} and group.values[metric]]
  open_ = [group for group in found if group.defense == "none"]
  lines = []
  if open_:
    strongest = max(open_, key=_by(metric))
    clean = _unattacked(groups, metric, "none")
    without = "" if clean is None else f", against {clean:.3f} without attack"
    if clean is not None and _value(strongest, metric) - clean < _LEAST:
      lines.append(f"Without a defense no attack lifts the targets' exposure `{metric}` above the {clean:.3f}"
                   " that they have without attack.")
    else:
      of = f", the most of {len(open_)} attacks" if len(open_) > 1 else ""
      lines.append(f"Without a defense `{strongest.row}` brings the targets' exposure `{metric}` to"
                   f" {_text(strongest, metric)}{without}{of}.")
  worst = _worst_case(found, max(found, key=_by(metric), default=None), _by(metric))
  if len(worst) > 1:
    best, weakest = min(worst, key=_by(metric)), max(worst, key=_by(metric))
    lines.append(f"Under the attack that is worst for it, `{best.defense}` leaves `{metric}` at {_text(best, metric)}"
                 f" (`{best.row}`), the least of {len(worst)} defenses; `{weakest.defense}` at"
                 f" {_text(weakest, metric)} (`{weakest.row}`).")
  return lines


def _spoiling(groups: Sequence[Measured], metric: str) -> list[str]:
  """On attacks that spoil recommendations for everybody."""
  found = [group for group in groups if group.flat["attack"] in UNTARGETED and group.values[metric]]
  open_ = [group for group in found if group.defense == "none"]
  clean = _unattacked(groups, metric, "none")
  if not open_ or clean is None:
    return []
  strongest = min(open_, key=_by(metric))
  if clean - _value(strongest, metric) < _LEAST:
    return [f"Without a defense no untargeted attack brings `{metric}` below the {clean:.3f} without attack."]
  return [f"Without a defense `{strongest.row}` brings `{metric}` of benign users from {clean:.3f} to"
          f" {_text(strongest, metric)}."]


def _price(groups: Sequence[Measured], metric: str) -> list[str]:
  """On what defenses cost without an attack."""
  clean = _unattacked(groups, metric, "none")
  defended = [group for group in groups
              if group.flat["attack"] == "none" and group.defense != "none" and group.values[metric]]
  if clean is None or not defended:
    return []
  dearest = min(defended, key=_by(metric))
  if clean - _value(dearest, metric) < _LEAST:
    return [f"Without attack no defense costs benign users anything that is seen: `{metric}` is {clean:.3f} without one"
            f" and at least {_value(dearest, metric):.3f} with one."]
  return [f"Without attack `{dearest.defense}` costs benign users most: `{metric}` is {_text(dearest, metric)} with"
          f" it, {clean:.3f} without a defense."]


def _worst_case(groups: Sequence[Measured], strongest: Measured | None, by: Callable[[Measured], float]
                ) -> list[Measured]:
  """Of each real defense the configuration that is worst for it, if it was tried against the strongest attack."""
  if strongest is None:
    return []
  worst: dict[str, Measured] = {}
  tried: dict[str, set[str]] = {}
  for group in groups:
    tried.setdefault(group.defense, set()).add(group.row)
    if group.defense not in worst or by(group) > by(worst[group.defense]):
      worst[group.defense] = group
  return [group for name, group in worst.items() if name != "none" and strongest.row in tried[name]]


def _by(metric: str) -> Callable[[Measured], float]:
  return lambda group: _value(group, metric)


def _value(group: Measured, metric: str) -> float:
  mean = group.mean(metric)
  assert mean is not None
  return mean


def _unattacked(groups: Sequence[Measured], metric: str, defense: str) -> float | None:
  return next((group.mean(metric) for group in groups
               if group.flat["attack"] == "none" and group.defense == defense), None)


def _text(group: Measured, metric: str) -> str:
  """A mean with its interval, where that says anything."""
  interval = mean_interval(group.values[metric])
  half = interval.half_width
  return f"{interval.mean:.3f}" + (f" ±{half:.3f}" if half is not None and half <= _WIDEST else "")


def diverged_line(groups: Sequence[Measured]) -> list[str]:
  """A warning on runs that have diverged."""
  count = sum(group.num_diverged for group in groups)
  if not count:
    return []
  first = next(group for group in groups if group.num_diverged)
  return [f"{counted(count, 'run')} diverged and {'has' if count == 1 else 'have'} no part in means; the first under"
          f" `{first.row}` against `{first.column}`."]


def settings_rows(cells: Sequence[Cell], defaults: Callable[[Cell], Mapping[str, Any]]) -> list[tuple[str, str, str]]:
  """(field, values, default) of every field, those that differ from the default first.

  Args:
    cells: finished ones.
    defaults: the fields of a cell as they are by default.
  """
  values: dict[str, dict[str, None]] = {}
  default: dict[str, str] = {}
  for cell in cells:
    own = defaults(cell)
    for name, value in cell.flat.items():
      values.setdefault(name, {})[shown(value)] = None
      default.setdefault(name, shown(own.get(name)))
  rows = [(name, ", ".join(found), default[name]) for name, found in values.items()]
  return sorted(rows, key=lambda row: row[1] == row[2])
