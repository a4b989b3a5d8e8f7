"""The table of base recommenders."""

from fedrecjax.methods.registry import Registry
from fedrecjax.types import Model

MODELS: Registry[Model] = Registry("model")
