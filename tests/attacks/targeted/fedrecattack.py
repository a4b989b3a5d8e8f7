"""A small set with public items for FedRecAttack."""

import jax.numpy as jnp

from fedrecjax.datasets import ItemLists
from fedrecjax.types import Public

C = 20
# Users 1 and 4 have nothing public; user 3 has all but two items, among them both usual targets.
PUBLIC = [[5, 0], [], [14], [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13], [], [2, 5, 9], [7]]
KNOWN = [items for items in PUBLIC if items]
LISTS = ItemLists.from_lists(PUBLIC)


def as_public(table, shared=()):
  return Public(jnp.asarray(table, jnp.float32), shared)
