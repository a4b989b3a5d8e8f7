"""What a defence is shown, for tests that call its stages without a simulation."""

import jax
import jax.numpy as jnp

from fedrecjax.types import DefenseView, Public


def defense_view(*, num_items, num_clients, clients=None, items=None, **changes):
  """A round of `num_clients` places of which the first `clients` are taken, all of them by default."""
  clients = num_clients if clients is None else clients
  present = jnp.arange(num_clients) < clients
  view = DefenseView(
    public=Public(jnp.zeros((num_items, 2)) if items is None else items, ()),
    round=jnp.int32(0),
    num_items=num_items,
    num_clients=num_clients,
    present=present,
    clients=jnp.int32(clients),
    federation=jnp.int32(num_clients),
    samples=present.astype(jnp.float32),
    optimizer=(),
    learning_rate=1.0,
    key=jax.random.key(0),
  )
  return view._replace(**changes)
