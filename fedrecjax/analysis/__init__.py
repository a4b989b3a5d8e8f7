"""What results and data sets say about attacks, on the host: arrays out, plotting elsewhere."""

from fedrecjax.analysis.breakdown import (
  Rule,
  degree_bound,
  is_broken,
  krum_rule,
  leaves_range,
  malicious_clients,
  mean_rule,
  median_rule,
  proposition_2,
  rules,
  share_broken,
  trimmed_mean_rule,
)
from fedrecjax.analysis.power_law import PowerLaw, fit_power_law, hurwitz_zeta, tail_probability
from fedrecjax.analysis.upload_counts import (
  UploadCounts,
  draw_counts,
  expected_uploaders,
  interactions_per_item,
  item_reach,
  largest_list,
)

__all__ = [
  "PowerLaw",
  "Rule",
  "UploadCounts",
  "degree_bound",
  "draw_counts",
  "expected_uploaders",
  "fit_power_law",
  "hurwitz_zeta",
  "interactions_per_item",
  "is_broken",
  "item_reach",
  "krum_rule",
  "largest_list",
  "leaves_range",
  "malicious_clients",
  "mean_rule",
  "median_rule",
  "proposition_2",
  "rules",
  "share_broken",
  "tail_probability",
  "trimmed_mean_rule",
]
