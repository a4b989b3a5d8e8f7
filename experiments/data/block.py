"""One block of lines that says what a data set holds, and what attackers are up against in it."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from fedrecjax.analysis import Summary, popularity_ranks
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.datasets import Dataset
from fedrecjax.simulation.participants import who_takes_part
from fedrecjax.types import Attack
from fedrecjax.vision.visuals import Visuals

# Unix seconds between 1973 and 2096; other numbers may be ranks or anything else that orders rows.
_SECONDS = range(10**8, 4 * 10**9)


class Threat(NamedTuple):
  """Malicious clients and their targets in a run; plain values, ready for JSON.

  Attributes:
    malicious: malicious clients.
    clients: all clients.
    per_round: malicious clients that attack in a round, mean over all rounds.
    most_per_round: the same in the fullest round.
    targets: items.
    popularity: training interactions of each of them.
    ranks: where they stand in order of popularity, from 1.
  """

  malicious: int
  clients: int
  per_round: float
  most_per_round: int
  targets: tuple[int, ...]
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
    targets=tuple(targets.tolist()),
    popularity=tuple(dataset.popularity[targets].tolist()),
    ranks=tuple(popularity_ranks(dataset.popularity, targets).tolist()),
  )


def data_lines(summary: Summary) -> list[str]:
  """The block of a data set, a line for each thing that is known of it."""
  rows = [
    ("users", _count(summary.users)),
    ("items", _count(summary.items) + _aside(summary.items_without, "without an interaction")),
    ("interactions", f"{_count(summary.interactions)}, {summary.density:.2%} of all pairs"
     + _aside(summary.repeats, "repeat a pair; data.repeats=drop leaves them out")),
    ("of a user", f"{_count(summary.least)} to {_count(summary.most)}, median {summary.median:g}, mean"
     f" {summary.mean:.1f}"),
    ("popular items", f"the top 15 % have {summary.top_share:.1%} of the training interactions"),
    *([] if summary.dropped is None else [("time", _span(summary))]),
    ("training", _count(summary.training)),
    ("held out", _count(summary.held_out)
     + _aside(summary.unrankable, "can never be ranked, since their user trains on them or has them set aside")),
  ]
  if summary.validation:
    rows.append(("set aside", _count(summary.validation)))
  if summary.not_evaluated:
    rows.append(("not evaluated", f"{_count(summary.not_evaluated)} users, who hold out nothing"))
  if summary.dropped:
    rows.append(("left out", f"{_count(summary.dropped)} users with too few rows (data.too_few=drop)"))
  if summary.public is not None:
    rows.append(("public", f"{_count(summary.public)} interactions that everybody can see"))
  rows.append(("first ids", f"users {', '.join(map(str, summary.first_users))}; items"
               f" {', '.join(map(str, summary.first_items))}"))
  return [f"Data: {summary.name}", *(f"  {label:<14}{text}" for label, text in rows)]


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


def _span(summary: Summary) -> str:
  if summary.first_time is None or summary.last_time is None:
    return "not known; rows are in the order of the file"
  ends = (summary.first_time, summary.last_time)
  if all(one in _SECONDS for one in ends):
    first, last = (datetime.datetime.fromtimestamp(one, datetime.UTC).date().isoformat() for one in ends)
    return f"{first} to {last}"
  return f"{ends[0]} to {ends[1]}, which orders rows"
