"""Defences against poisoning."""

from fedrecjax.defenses.chain import chain
from fedrecjax.defenses.none import none
from fedrecjax.defenses.norm_bound import norm_bound
from fedrecjax.defenses.order_statistics import median, trimmed_mean
from fedrecjax.defenses.registry import DEFENSES

__all__ = ["DEFENSES", "chain", "median", "none", "norm_bound", "trimmed_mean"]
