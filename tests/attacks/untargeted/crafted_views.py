"""Rounds made by hand for attacks on the statistics of honest gradients."""

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.models import mf, ncf
from fedrecjax.types import AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads.rows import merge_rows
from tests.oracles import crafted

M, D, C = 12, 3, 20
NETWORK = ncf(dim=D, hidden=(5, 4))
PLAIN = mf(dim=D)
# Clients 0, 2 and 1 in the round; the second place is empty.
CLIENTS = np.array([0, 3, 2, 1])
SLOTS = np.array([4, 0, 9, 6])
ATTACKERS = {4: 0, 9: 2, 6: 3}
"""Place in the round -> place among the malicious ones."""


@jax.jit
def run_poison(poison, state, uploads, view, key):
  # The number of clients is static.
  return poison(state, uploads, view._replace(num_clients=C), key)


def drawn_rows(seed, clients, *, size=12, merged=False):
  """Rows of clients for random items, some of them twice, with item M - 1 left to nobody."""
  random = np.random.default_rng(seed)
  rows = []
  for client in clients:
    for item in np.sort(random.choice(M - 1, size)):
      # On either side of zero, but not symmetric.
      rows.append((client, int(item), random.normal(0.3, 1.0, D).astype(np.float32)))
  if merged:
    summed = crafted.rows_by_item([(0, (client, item), row) for client, item, row in rows])
    rows = [(client, item, row[0].astype(np.float32)) for (client, item), row in summed.items()]
  return rows


def as_uploads(rows, *, unused=5, shared=(), sent=None):
  """Uploads with some unused places between and behind others."""
  client = np.array([0, *(one[0] for one in rows), *[0] * unused], np.int32)
  item = np.array([M, *(one[1] for one in rows), *[M] * unused], np.int32)
  row = np.array([np.full(D, 7.0), *(one[2] for one in rows), *[np.ones(D)] * unused], np.float32)
  return ClientUpdates(
    jnp.asarray(client), jnp.asarray(item), jnp.asarray(row.reshape(-1, D)), shared, sent
  )


def shared_of(seed, places, sent):
  """Gradients of the network's parameters `[places, ...]`, zeros for those who sent none."""
  random = np.random.default_rng(seed)
  shapes = NETWORK.init_public(jax.random.key(0), M).shared

  def draw(leaf):
    values = random.normal(0.2, 1.0, (places, *leaf.shape)).astype(np.float32)
    return jnp.asarray(values * np.expand_dims(sent, tuple(range(1, values.ndim))))

  return jax.tree.map(draw, shapes)


def view_of(*, pool=None, benign=None, network=False, targets=(5,), active=CLIENTS < 3):
  """A round in which clients 0, 2 and 1 attack; `pool` and `benign` are uploads."""
  model = NETWORK if network else PLAIN
  public = model.init_public(jax.random.key(1), M)
  public = jax.tree.map(lambda leaf: 30 * leaf if leaf.ndim == 2 else leaf, public)
  pool = None if pool is None else merge_rows(pool, M)
  return AttackView(
    public, jnp.int32(0), jnp.asarray(np.where(active, CLIENTS, 3)), jnp.asarray(active),
    jnp.asarray(SLOTS), jnp.array(targets, jnp.int32), jnp.float32(0.3), benign, model, C,
    private=jnp.zeros((4, D)), pool=pool,
  )


def context_of(targets=(5,)):
  return AttackContext(M, 3, np.array(targets, np.int32), D, np.tile(CLIENTS % 3, (2, 1)), None)


def rows_sent(uploads):
  """What was sent: place in the round -> item -> row; nothing twice."""
  found = {}
  for client, item, row in zip(*(np.asarray(part) for part in uploads[:3]), strict=True):
    if item < M:
      assert int(item) not in found.setdefault(int(client), {})
      found[int(client)][int(item)] = row
  return found


def flat(shared):
  """Gradients of shared parameters as vectors `[C, size]`."""
  return np.concatenate(
    [np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(shared)], axis=1
  )
