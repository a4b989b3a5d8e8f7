"""The table of defences."""

from fedrecjax.methods.registry import Registry
from fedrecjax.types import Defense

DEFENSES: Registry[Defense] = Registry("defense")
