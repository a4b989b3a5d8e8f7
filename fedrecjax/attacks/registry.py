"""The table of attacks."""

from fedrecjax.methods.registry import Registry
from fedrecjax.types import Attack

ATTACKS: Registry[Attack] = Registry("attack")
