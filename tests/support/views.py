"""What a defence is shown, for tests that call its stages without a simulation."""

import functools

import jax
import jax.numpy as jnp

from fedrecjax.numerics.optimizers import DESCENT
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
    transformation=DESCENT,
    optimizer=(),
    learning_rate=1.0,
    key=jax.random.key(0),
  )
  return view._replace(**changes)


@functools.partial(jax.jit, static_argnames="num_items")
def updated(aggregate, uploads, present, samples=None, state=(), *, num_items):
  """The update that a rule makes of a round; compiled once for each rule and shape."""
  num_clients = present.shape[0]
  view = defense_view(num_items=num_items, num_clients=num_clients)
  view = view._replace(
    present=present,
    clients=jnp.sum(present, dtype=jnp.int32),
    samples=view.samples if samples is None else samples,
    federation=jnp.int32(1000),
  )
  return aggregate(state, uploads, view)[0]


def dense(update, num_items):
  """An update's item rows added up, `[M, d]`."""
  rows = update.items
  return jnp.zeros((num_items, rows.row.shape[1])).at[rows.item].add(rows.row, mode="drop")
