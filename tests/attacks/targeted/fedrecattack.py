"""A small set with public items for FedRecAttack, and its models."""


import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.datasets import ItemLists
from fedrecjax.types import Public
from tests.attacks.targeted.test_fedrecattack_uploads import M

C = 20
# Users 1 and 4 have nothing public; user 3 has all but two items, among them both usual targets.
PUBLIC = [[5, 0], [], [14], [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13], [], [2, 5, 9], [7]]
KNOWN = [items for items in PUBLIC if items]
LISTS = ItemLists.from_lists(PUBLIC)
def as_public(table, shared=()):
  return Public(jnp.asarray(table, jnp.float32), shared)



def random_public(model, random):
  """Parameters of a model, large enough for every term to count."""
  shapes = model.init_public(jax.random.key(0), M)
  return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shapes)



def layers_of(shared):
  """The package's parameters as the oracle has them."""
  hidden = [shared[f"Dense_{number}"] for number in range(len(shared) - 3)]
  pairs = [shared, *hidden, shared["output"]]
  return [(np.asarray(one["kernel"], float), np.asarray(one["bias"], float)) for one in pairs]



