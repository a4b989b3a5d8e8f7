"""Defences against poisoning: what clients do to their uploads, filters, aggregation rules, purification of images.

They know nothing of attacks, and never which clients are malicious.
"""

from fedrecjax.defenses.chain import chain
from fedrecjax.defenses.fl_wbc import fl_wbc
from fedrecjax.defenses.gdmpd import gdmpd, gdmpd_unguided
from fedrecjax.defenses.hics import hics
from fedrecjax.defenses.krum import bulyan, krum, multi_krum
from fedrecjax.defenses.none import none
from fedrecjax.defenses.norm_bound import norm_bound
from fedrecjax.defenses.order_statistics import median, trimmed_mean
from fedrecjax.defenses.pieck_reg import pieck_reg
from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.defenses.union import union

__all__ = [
  "DEFENSES",
  "bulyan",
  "chain",
  "fl_wbc",
  "gdmpd",
  "gdmpd_unguided",
  "hics",
  "krum",
  "median",
  "multi_krum",
  "none",
  "norm_bound",
  "pieck_reg",
  "trimmed_mean",
  "union",
]
