"""One block of lines that says what a data set holds, and what attackers are up against in it."""

from __future__ import annotations

from typing import NamedTuple

from fedrecjax.analysis import Summary, popularity_ranks
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.datasets import Dataset, FileReading, Reading
from fedrecjax.simulation.participants import who_takes_part
from fedrecjax.types import Attack
from fedrecjax.vision.visuals import Visuals

_LEFT_OUT = {
  "keep_if": "data.keep_if", "min_rating": "data.min_rating", "core": "data.user_core and data.item_core",
  "repeats": "data.repeats=drop", "too_few": "data.too_few=drop, since they have too few rows for this split",
}
"""The field that leaves rows out, by the name of the filter."""


class Threat(NamedTuple):
  """Malicious clients and their targets in a run; plain values, ready for JSON.

  Attributes:
    malicious: malicious clients.
    clients: all clients.
    per_round: malicious clients that attack in a round, mean over all rounds.
    most_per_round: the same in the fullest round.
    targets: items, by name.
    popularity: training interactions of each of them.
    ranks: where they stand in order of popularity, from 1.
  """

  malicious: int
  clients: int
  per_round: float
  most_per_round: int
  targets: tuple[int | str, ...]
  popularity: tuple[int, ...]
  ranks: tuple[int, ...]


def threat_of(
  dataset: Dataset, attack: Attack, attacker: AttackerConfig, train: TrainConfig, seed: int,
  visuals: Visuals | None = None,
) -> Threat:
  """Counts who attacks in a run and how popular its targets are; arguments as in :func:`fedrecjax.simulate`."""
  who = who_takes_part(dataset, attack, attacker, train, seed, visuals)
  attacking = (who.rounds.malicious >= 0).sum(axis=1)
  targets = who.population.targets
  return Threat(
    malicious=who.population.num_malicious,
    clients=who.population.num_clients,
    per_round=float(attacking.mean()),
    most_per_round=int(attacking.max()),
    targets=tuple(dataset.item_name(target) for target in targets),
    popularity=tuple(dataset.popularity[targets].tolist()),
    ranks=tuple(popularity_ranks(dataset.popularity, targets).tolist()),
  )


def data_lines(summary: Summary, reading: Reading | None) -> list[str]:
  """The block of a data set, a line for each thing that is known of it.

  Args:
    summary: what it holds.
    reading: what was understood of its source; None of data that were made in parts.
  """
  dropped = reading is not None and any(one.by == "repeats" for one in reading.left_out)
  repeats = 0 if reading is None or dropped else reading.repeats
  rows = [
    *[("file", _file(one)) for one in (() if reading is None else reading.files)],
    ("users", _count(summary.users)),
    ("items", _count(summary.items) + _aside(summary.items_without, "without an interaction")),
    ("interactions", f"{_count(summary.interactions)}, {summary.density:.2%} of all pairs"
     + _aside(repeats, "repeat a pair; data.repeats=drop leaves them out")),
    ("of a user", f"{_count(summary.least)} to {_count(summary.most)}, median {summary.median:g}, mean"
     f" {summary.mean:.1f}"),
    ("popular items", f"the top 15 % have {summary.top_share:.1%} of the training interactions"),
    *([] if reading is None else [("time", _span(reading))]),
    ("training", _count(summary.training)),
    ("held out", _count(summary.held_out)
     + _aside(summary.unrankable, "can never be ranked, since their user trains on them or has them set aside")),
  ]
  if summary.validation:
    rows.append(("set aside", _count(summary.validation)))
  if summary.not_evaluated:
    rows.append(("not evaluated", f"{_count(summary.not_evaluated)} users, who hold out nothing"))
  if summary.public is not None:
    rows.append(("public", f"{_count(summary.public)} interactions that everybody can see"))
  rows += [] if reading is None else _understood(reading)
  return [f"Data: {summary.name}", *(f"  {label:<14}{text}" for label, text in rows)]


def _understood(reading: Reading) -> list[tuple[str, str]]:
  """How rows were divided, which were left out, and what is likely not meant."""
  rows = [("split", f"{reading.split}; {reading.split_reason}")]
  for one in reading.left_out:
    users = f" and {_count(one.users)} users" if one.users else ""
    rows.append(("left out", f"{_count(one.rows)} rows{users} by {_LEFT_OUT[one.by]}"))
  rows.append(("first ids", f"users {', '.join(reading.users)}; items {', '.join(reading.items)}"))
  return rows + [("warning", line) for line in reading.warnings]


def _file(one: FileReading) -> str:
  """A file, and what was understood of it."""
  told = (one.format, one.encoding, one.separator and f"{one.separator} between fields")
  columns = ", ".join(column if role == column else f"{column} is the {role}" for role, column in one.columns)
  parts = [
    f"{one.path}{'' if one.part == 'all' else f' ({one.part})'}: {', '.join(filter(None, told))}",
    *([f"columns {columns}"] if columns else []),
    *([f"not used: {', '.join(one.unused)}"] if one.unused else []),
  ]
  return "; ".join(parts)


def threat_lines(threat: Threat) -> list[str]:
  """The lines that a sweep adds to the block of its data set."""
  lines = [f"  {'malicious':<14}{_count(threat.malicious)} of {_count(threat.clients)} clients,"
           f" {threat.per_round:.1f} in a round on average, {_count(threat.most_per_round)} at most"]
  for target, popularity, rank in zip(threat.targets, threat.popularity, threat.ranks, strict=True):
    lines.append(f"  {'target':<14}item {target}, {_count(popularity)} training interactions, rank {_count(rank)}")
  return lines


def _count(number: int) -> str:
  return f"{number:,}"


def _aside(number: int, what: str) -> str:
  return f" ({_count(number)} {what})" if number else ""


def _span(reading: Reading) -> str:
  if reading.time_span is None:
    return "not known; rows are in the order of the file"
  first, last = reading.time_span
  # Ranks, or anything else that is no date.
  return f"{first} to {last}{', which orders rows' if first.isdigit() and last.isdigit() else ''}"
