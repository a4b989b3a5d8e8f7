"""Parameters of models, drawn at random and as the oracles have them."""

import jax
import jax.numpy as jnp
import numpy as np


def random_public(model, num_items, random):
  """Parameters of a model, all its biases too, large enough for every term to count."""
  shapes = model.init_public(jax.random.key(0), num_items)
  return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shapes)


def layers_of(shared):
  """The network of NCF as the oracles have it."""
  hidden = [shared[f"Dense_{number}"] for number in range(len(shared) - 3)]
  pairs = [shared, *hidden, shared["output"]]
  return [(np.asarray(one["kernel"], float), np.asarray(one["bias"], float)) for one in pairs]
