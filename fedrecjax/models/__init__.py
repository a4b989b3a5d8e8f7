"""Base recommenders."""

from fedrecjax.models.mf import mf
from fedrecjax.models.registry import MODELS

__all__ = ["MODELS", "mf"]
