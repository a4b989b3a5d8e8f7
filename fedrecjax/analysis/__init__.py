"""What results and data sets say about attacks, on the host: arrays out.

Nothing here trains or draws; plots and tables are in `experiments`.
"""

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
from fedrecjax.analysis.popularity import (
  covered_users,
  delta_norms,
  largest,
  mining_precision,
  pairwise_divergence,
  popularity_ranks,
  uniformity,
  user_coverage,
)
from fedrecjax.analysis.power_law import PowerLaw, fit_power_law, hurwitz_zeta, tail_probability
from fedrecjax.analysis.projections import kernel_density, principal_components, upload_products
from fedrecjax.analysis.summary import Summary, summarize, top_share
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
  "Summary",
  "UploadCounts",
  "covered_users",
  "degree_bound",
  "delta_norms",
  "draw_counts",
  "expected_uploaders",
  "fit_power_law",
  "hurwitz_zeta",
  "interactions_per_item",
  "is_broken",
  "item_reach",
  "kernel_density",
  "krum_rule",
  "largest",
  "largest_list",
  "leaves_range",
  "malicious_clients",
  "mean_rule",
  "median_rule",
  "mining_precision",
  "pairwise_divergence",
  "popularity_ranks",
  "principal_components",
  "proposition_2",
  "rules",
  "share_broken",
  "summarize",
  "tail_probability",
  "top_share",
  "trimmed_mean_rule",
  "uniformity",
  "upload_products",
  "user_coverage",
]
