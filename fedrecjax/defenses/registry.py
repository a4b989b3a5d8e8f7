"""The table of defences."""

from fedrecjax.registry import Registry
from fedrecjax.types import Defense

DEFENSES: Registry[Defense] = Registry("defense")
