"""Two folders side by side: the same runs before and after a change, or with another setting."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from experiments.errors import UsageError
from experiments.grid import Cell, label, shown
from experiments.report.content import Part, Report
from experiments.report.findings import counted
from experiments.report.folders import Gathered
from experiments.results.cell_files import versions_of
from experiments.results.report import has_targets, label_fields, shown_metrics, text_of
from experiments.tables import Table
from fedrecjax.config import with_unset
from fedrecjax.metrics.stats import Interval, mean_interval
from fedrecjax.version import __version__

_METRICS = ("hr@10", "ndcg@10", "er@10")
_Key = tuple[tuple[str, str], ...]


class _Pairs(NamedTuple):
  """The same configuration in both folders.

  Attributes:
    flat: of the first.
    rows: results of both, one pair per seed.
  """

  flat: Mapping[str, Any]
  rows: list[tuple[Mapping[str, Any], Mapping[str, Any]]]


def comparison_of(first: Gathered, second: Gathered) -> Report:
  """How the second folder's results differ from the first's, run by run.

  A field that has one value in all of the first folder and another in all of the second is what is compared, and does
  not keep runs apart.

  Raises:
    UsageError: if they have no run in common.
  """
  changed = _changed_fields(first.cells, second.cells)
  ours, theirs = ({_key(cell, changed): cell for cell in found.cells} for found in (first, second))
  common = [key for key in ours if key in theirs]
  if not common:
    raise UsageError("--compare: the folders have no run in common, even apart from settings that differ throughout")
  metrics = shown_metrics(_METRICS, [name for name in first.results.columns if name in second.results.columns],
                          exposure=has_targets(first.cells))
  groups = _grouped(common, ours, theirs, first, second)
  labels = label_fields([ours[key] for key in common])
  rows, beyond, largest = [], 0, ("", "", Interval(0.0, None, 0))
  for group in groups.values():
    row = [*(label(group.flat, name) for name in labels), str(len(group.rows))]
    seen = False
    for metric in metrics:
      values = [(one[metric], other[metric]) for one, other in group.rows if None not in (one[metric], other[metric])]
      if not values:
        row += ["-", "-", "-"]
        continue
      before, after = (sum(side) / len(values) for side in zip(*values, strict=True))
      change = mean_interval([other - one for one, other in values])
      row += [f"{before:.4f}", f"{after:.4f}", text_of(change, sign="+")]
      seen |= change.half_width is not None and abs(change.mean) > change.half_width
      if abs(change.mean) > abs(largest[2].mean):
        largest = (metric, ", ".join(row[: len(labels)]), change)
    beyond += seen
    rows.append(tuple(row))
  columns = [column for metric in metrics for column in (f"{metric} first", f"{metric} second", f"{metric} change")]
  table = Table(
    "Second minus first", (*labels, "seeds", *columns), tuple(rows), len(labels),
    ("Means over the seeds that both folders have; change: mean over seeds of second minus first, seed by seed,"
     " ± half of its 95 % interval (Student's t).",),
  )
  pairs = [pair for group in groups.values() for pair in group.rows]
  same = sum(all(one[name] == other[name] for name in metrics) for one, other in pairs)
  summary = [
    f"{counted(len(common), 'run')} of {counted(len(groups), 'configuration')} are in both folders;"
    f" {same} of them came to the very same {', '.join(f'`{name}`' for name in metrics)}.",
    *(f"`{name}` is {before} in the first and {after} in the second." for name, (before, after) in changed.items()),
  ]
  if largest[0]:
    summary.append(f"Largest change: `{largest[0]}` {text_of(largest[2], sign='+')} of {largest[1]}.")
    summary.append(f"Beyond its interval over seeds is the change of {counted(beyond, 'configuration')} of"
                   f" {len(groups)}; of one in twenty it is by chance alone.")
  return Report(
    " against ".join(f"{found.places[0]}" for found in (first, second)),
    f"written {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z} by fedrecjax {__version__}",
    ((str(len(common)), "runs in both"), (str(same), "the very same")),
    tuple(summary),
    tuple(_warnings(first, second, len(ours) - len(common), len(theirs) - len(common))),
    (Part("changes", "Changes", tables=(table,)),),
  )


def _changed_fields(first: Sequence[Cell], second: Sequence[Cell]) -> dict[str, tuple[str, str]]:
  """The fields of one value in all cells of the first and another in all of the second."""
  ours, theirs = _values(first), _values(second)
  return {
    name: (next(iter(ours[name])), next(iter(theirs[name])))
    for name in ours
    if name in theirs and name != "seed" and len(ours[name]) == len(theirs[name]) == 1 and ours[name] != theirs[name]
  }


def _values(cells: Sequence[Cell]) -> dict[str, set[str]]:
  values: dict[str, set[str]] = {}
  for cell in cells:
    for name, value in with_unset(cell.flat).items():
      values.setdefault(name, set()).add(shown(value))
  return values


def _key(cell: Cell, without: Set[str] | Mapping[str, Any]) -> _Key:
  return tuple((name, shown(value)) for name, value in sorted(with_unset(cell.flat).items()) if name not in without)


def _grouped(
  common: Sequence[_Key], ours: Mapping[_Key, Cell], theirs: Mapping[_Key, Cell], first: Gathered, second: Gathered
) -> dict[_Key, _Pairs]:
  """The runs that both have, seeds of a configuration together."""
  rows = [{row["config_hash"]: row for row in found.results.iter_rows(named=True)} for found in (first, second)]
  groups: dict[_Key, _Pairs] = {}
  for key in common:
    without_seed = tuple(part for part in key if part[0] != "seed")
    pair = rows[0][ours[key].hash], rows[1][theirs[key].hash]
    groups.setdefault(without_seed, _Pairs(ours[key].flat, [])).rows.append(pair)
  return groups


def _warnings(first: Gathered, second: Gathered, only_first: int, only_second: int) -> list[str]:
  lines = [f"{counted(count, 'run')} only in {found.places[0]}."
           for found, count in ((first, only_first), (second, only_second)) if count]
  versions = [", ".join(sorted(versions_of(found.folder, found.cells))) for found in (first, second)]
  if versions[0] != versions[1]:
    lines.append(f"Computed by fedrecjax {versions[0]} in the first and {versions[1]} in the second.")
  return [*lines, *first.remarks, *second.remarks]
