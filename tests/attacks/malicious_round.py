"""A round as an attack sees it, made by hand, and what it sends in the round by client and item."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.clients.losses import bce
from fedrecjax.methods.hyperparameters import as_arguments
from fedrecjax.types import AttackContext, AttackView, ClientUpdates
from tests.models.clients import network_of

M, C, RATE = 14, 20, 0.3
# Clients 0, 2 and 1 of three; the second place is empty.
CLIENTS, SLOTS = (0, 3, 2, 1), (4, 0, 9, 6)
MALICIOUS = 3


def public_of(model, seed, num_items=M):
  """Parameters large enough for every term to count, biases included."""
  random = np.random.default_rng(seed)
  shapes = model.init_public(jax.random.key(0), num_items)
  return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shapes)


def view_of(model, public, targets, *, clients=CLIENTS, number=0, private=None, loss=None):
  """A view of A places; `private` is `[A, d]`."""
  clients = np.array(clients)
  return AttackView(
    public=public,
    round=jnp.int32(number),
    client=jnp.asarray(clients),
    active=jnp.asarray(clients < MALICIOUS),
    slot=jnp.asarray(np.where(clients < MALICIOUS, np.array(SLOTS)[: len(clients)], 0)),
    targets=jnp.array(targets),
    learning_rate=jnp.float32(RATE),
    benign=None,
    model=as_arguments(model)._replace(history=model.history),
    num_clients=C,
    private=None if private is None else jnp.asarray(private, jnp.float32),
    loss=as_arguments(loss or bce()),
  )


def context_of(model, targets, *, popularity=None, num_items=M):
  dim = model.init_public(jax.random.key(0), num_items).items.shape[1]
  rounds = np.tile(np.where(np.array(CLIENTS) < MALICIOUS, CLIENTS, -1), (3, 1))
  return AttackContext(num_items, MALICIOUS, np.array(targets, np.int32), dim, rounds, popularity)


@functools.partial(jax.jit, static_argnames="history")
def _poison(poison, state, uploads, view, key, history):
  view = view._replace(num_clients=C, model=view.model._replace(history=history))
  return poison(state, uploads, view, key)


def poison(attack, state, uploads, view, key=None):
  """One call, compiled once for each structure."""
  key = jax.random.key(0) if key is None else key
  return _poison(attack.poison, state, uploads, view, key, view.model.history)


def by_slot(uploads, num_items=M):
  """Rows added up: {place in the round: {item: row}}; also checks that places of a client are
  together, or that all are in order of items.
  """
  used = np.asarray(uploads.item) < num_items
  client, item, row = (np.asarray(part)[used] for part in uploads[:3])
  changes = 1 + (client[1:] != client[:-1]).sum() if len(client) else 0
  assert changes == len(set(client.tolist())) or (item[1:] >= item[:-1]).all()
  found = {}
  for slot, one, values in zip(client.tolist(), item.tolist(), row, strict=True):
    rows = found.setdefault(slot, {})
    rows[one] = rows.get(one, 0.0) + values.astype(float)
  return found


def networks_of(uploads):
  """The gradients of shared parameters: {place in the round: network}."""
  if uploads.sent is None:
    return {}
  found = {}
  for slot in range(C):
    one = jax.tree.map(lambda leaf, slot=slot: leaf[slot], uploads.shared)
    if uploads.sent[slot]:
      found[slot] = network_of(one)
    else:
      chex.assert_trees_all_equal(one, jax.tree.map(jnp.zeros_like, one))
  return found


def assert_rows(found, expected, atol=3e-6):
  """Both are {place: {item: row}}."""
  assert found.keys() == expected.keys()
  for slot, rows in expected.items():
    assert found[slot].keys() == rows.keys()
    for item, row in rows.items():
      np.testing.assert_allclose(found[slot][item], row, atol=atol, err_msg=f"{slot}, {item}")


def assert_networks(found, expected, atol=3e-6):
  """Both are {place: network}."""
  assert found.keys() == expected.keys()
  for slot, network in expected.items():
    chex.assert_trees_all_close(found[slot], network, rtol=5e-5, atol=atol)


def honest_of(model, public, seed):
  """What the malicious clients would send, as {place: {item: row}}, networks, and as uploads with
  items that stand in several places and unused places between them.
  """
  random = np.random.default_rng(seed)
  num_items, dim = public.items.shape
  client, item, row, rows = [], [], [], {}
  for slot in sorted(SLOTS[place] for place, one in enumerate(CLIENTS) if one < MALICIOUS):
    for one in [*random.choice(num_items, 4), num_items, *random.choice(num_items, 2)]:
      values = random.normal(size=dim).astype(np.float32)
      client.append(slot)
      item.append(one)
      row.append(values)
      if one < num_items:
        own = rows.setdefault(slot, {})
        own[int(one)] = own.get(int(one), 0.0) + values.astype(float)
  sent = np.isin(np.arange(C), list(rows))
  shared = jax.tree.map(
    lambda leaf: jnp.asarray(
      np.where(sent.reshape(-1, *[1] * leaf.ndim), random.normal(size=(C, *leaf.shape)), 0.0),
      jnp.float32,
    ),
    public.shared,
  )
  uploads = ClientUpdates(
    jnp.array(client), jnp.array(item, jnp.int32), jnp.asarray(np.array(row)), shared,
    jnp.asarray(sent) if jax.tree.leaves(shared) else None,
  )
  return rows, networks_of(uploads), uploads
