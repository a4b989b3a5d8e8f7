"""Metrics: ranking quality and exposure of targets per user, statistics, detection and stealth of uploads.

The evaluation of a run, which calls them, is in `simulation`.
"""

from fedrecjax.metrics.exposure import exposure_ratio, target_ndcg
from fedrecjax.metrics.ranking import Standing, discounts, gain, hit, standing

__all__ = ["Standing", "discounts", "exposure_ratio", "gain", "hit", "standing", "target_ndcg"]
