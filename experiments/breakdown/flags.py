"""The flags of the command `python -m experiments.breakdown`."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from experiments.command_line import FlagGroup, comma_list, folder, read_group
from experiments.errors import UsageError
from fedrecjax.analysis import Rule, rules
from fedrecjax.datasets import DATASETS
from fedrecjax.methods.spelling import did_you_mean

RULE_NAMES = tuple(rules(trimmed_share=0.0))


@dataclasses.dataclass(frozen=True)
class Options:
  """What the command line asks for.

  Attributes:
    datasets: names or paths.
    ratios: malicious clients as shares of all clients.
    rules: aggregation rules in the order asked for.
    trimmed_share: of the trimmed mean.
    sampled: whether malicious clients upload items drawn by popularity; else all items.
    max_items: for `sampled`: items of each; None: as many as the longest training list has.
    clients_per_round: None: all clients in every round.
    num_negatives: negatives per positive of benign clients.
    rounds: rounds measured.
    min_tail_items: items that the tail of a fitted law must hold.
    seed: of all draws.
    data_dir: folder of the data sets; None: the default.
    out_dir: where results go.
  """

  datasets: tuple[str, ...]
  ratios: tuple[float, ...]
  rules: tuple[Rule, ...]
  trimmed_share: float
  sampled: bool
  max_items: int | None
  clients_per_round: int | None
  num_negatives: int
  rounds: int
  min_tail_items: int
  seed: int
  data_dir: pathlib.Path | None
  out_dir: pathlib.Path


def parse_command_line(argv: Sequence[str]) -> Options:
  """Reads the command line.

  Args:
    argv: the program's name and its flags.

  Raises:
    HelpAsked: for --help.
    UsageError: for flags that cannot be used.
  """
  value = read_group("breakdown", argv, _define_flags)
  if value("max_items") is not None and value("attacker") == "dense":
    raise UsageError("--max_items goes with --attacker=sampled")
  try:
    known = rules(trimmed_share=value("trimmed_share"))
  except ValueError as error:
    raise UsageError(f"--trimmed_share: {error}") from error
  names = comma_list("rules", value("rules"))
  for name in names:
    if name not in known:
      raise UsageError(f"--rules must be a comma list of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}")
  return Options(
    datasets=comma_list("dataset", value("dataset"), paths=True),
    ratios=tuple(_ratio(text) for text in comma_list("ratio", value("ratio"))),
    rules=tuple(known[name] for name in names),
    trimmed_share=value("trimmed_share"),
    sampled=value("attacker") == "sampled",
    max_items=value("max_items"),
    clients_per_round=value("clients_per_round"),
    num_negatives=value("num_negatives"),
    rounds=value("rounds"),
    min_tail_items=value("min_tail_items"),
    seed=value("seed"),
    data_dir=folder(value("data_dir")),
    out_dir=pathlib.Path(value("out_dir")),
  )


def _define_flags(group: FlagGroup) -> None:
  group.text("dataset", "synthetic", f"comma list of data sets: {', '.join(DATASETS)}, or paths of files.")
  group.text("ratio", "0.01,0.03,0.05,0.1,0.15", "comma list of malicious clients' shares of all clients.")
  group.text("rules", ",".join(RULE_NAMES), f"comma list of aggregation rules: {', '.join(RULE_NAMES)}.")
  group.number("trimmed_share", 0.05, "share of the rows that trimmed_mean drops at either end.")
  group.choice("attacker", "dense", ["dense", "sampled"],
               "malicious clients upload all items, or items drawn by popularity.")
  group.integer("max_items", None, "items of each sampled attacker; default: the longest training list.", least=1)
  group.integer("clients_per_round", None, "clients of a measured round; default: all.", least=1)
  group.integer("num_negatives", 1, "negatives that benign clients draw, and upload, for each positive.", least=0)
  group.integer("rounds", 3, "rounds measured.", least=1)
  group.integer("min_tail_items", 50, "items that the tail of the fitted power law must hold.", least=2)
  group.integer("seed", 0, "seed of all draws.", least=0)
  group.data_dir()
  group.out_dir()


def _ratio(text: str) -> float:
  try:
    ratio = float(text)
  except ValueError:
    ratio = math.nan
  if not 0 < ratio < 1:
    raise UsageError(f"--ratio must be numbers between 0 and 1, got {text!r}")
  return ratio
