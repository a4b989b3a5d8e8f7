"""Power laws, predictions and measurements for one data set: the rows of the breakdown table."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from experiments.breakdown.flags import Options
from fedrecjax.analysis import (
  PowerLaw,
  Rule,
  UploadCounts,
  degree_bound,
  draw_counts,
  expected_uploaders,
  fit_power_law,
  interactions_per_item,
  item_reach,
  largest_list,
  leaves_range,
  malicious_clients,
  proposition_2,
  share_broken,
)
from fedrecjax.datasets import DataError, Dataset
from fedrecjax.version import __version__


class Analysis(NamedTuple):
  """Results for one data set.

  Attributes:
    dataset: its name.
    degrees: users of every item `[M]`.
    tail: the power law of the tail that is fitted best.
    plain: the power law of all degrees from 1 on, which proposition 2 assumes.
    rows: a row of the result table for each ratio and rule.
  """

  dataset: str
  degrees: np.ndarray
  tail: PowerLaw
  plain: PowerLaw
  rows: list[dict[str, Any]]


def analyse(dataset: Dataset, options: Options) -> Analysis:
  """Fits, predicts and measures for one data set.

  Args:
    dataset: whose training items are the benign uploads.
    options: of the command line.

  Raises:
    DataError: if the set is too small to fit a law, or leaves no negative to draw.
  """
  degrees = interactions_per_item(dataset)
  try:
    tail = fit_power_law(degrees, min_items=options.min_tail_items)
    plain = fit_power_law(degrees, minimum=1)
    uploaders = expected_uploaders(dataset, num_negatives=options.num_negatives)
  except ValueError as error:
    raise DataError(f"{dataset.name}: {error}") from error
  max_items = (options.max_items or largest_list(dataset)) if options.sampled else None
  reach = item_reach(dataset.popularity, max_items)
  rows = []
  for ratio in options.ratios:
    num_malicious = malicious_clients(ratio, dataset.num_users)
    counts = draw_counts(
      dataset, num_malicious=num_malicious, num_rounds=options.rounds, clients_per_round=options.clients_per_round,
      num_negatives=options.num_negatives, max_items=max_items, seed=options.seed,
    )
    for rule in options.rules:
      bound = degree_bound(rule, num_malicious)
      rows.append({
        "dataset": dataset.name,
        "rule": rule.name,
        "breakdown_point": rule.breakdown_point,
        "ratio": ratio,
        "num_malicious": num_malicious,
        "degree_bound": bound if math.isfinite(bound) else None,
        "share_proposition_2": proposition_2(plain, rule, num_malicious),
        "share_tail_law": proposition_2(tail, rule, num_malicious),
        "share_interactions": float(share_broken(rule, degrees, num_malicious * reach)),
        "share_uploads": float(share_broken(rule, uploaders, num_malicious * reach)),
        **_measured(rule, counts),
        **_laws(tail, plain),
        "max_items": max_items,
        "clients_per_round": options.clients_per_round,
        "num_negatives": options.num_negatives,
        "rounds": options.rounds,
        "trimmed_share": options.trimmed_share,
        "seed": options.seed,
        "version": __version__,
      })
  return Analysis(dataset.name, degrees, tail, plain, rows)


def _measured(rule: Rule, counts: UploadCounts) -> dict[str, float | None]:
  """Means over rounds, of shares over those with a benign row."""
  touched = counts.benign > 0
  items = touched.sum(axis=1)
  filled = items > 0
  shares = share_broken(rule, counts.benign[filled], counts.malicious[filled])
  moved = None
  if rule.statistic is not None and filled.any():
    outside = leaves_range(rule, counts.benign[filled], counts.malicious[filled])
    moved = float((outside.sum(axis=1) / items[filled]).mean())
  return {
    "share_measured": float(shares.mean()) if shares.size else None,
    "share_measured_sd": float(shares.std(ddof=1)) if shares.size > 1 else None,
    "share_moved": moved,
    "touched_items": float(items.mean()),
    "malicious_only_items": float((~touched & (counts.malicious > 0)).sum(axis=1).mean()),
  }


def _laws(tail: PowerLaw, plain: PowerLaw) -> dict[str, float | int]:
  return {
    "exponent": tail.exponent,
    "standard_error": tail.standard_error,
    "minimum": tail.minimum,
    "distance": tail.distance,
    "tail_items": tail.num_items,
    "tail_share": tail.tail_share,
    "plain_exponent": plain.exponent,
    "plain_standard_error": plain.standard_error,
    "plain_distance": plain.distance,
  }
