"""What attacks on statistics of gradients are shown, and how their uploads are compared."""


import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.attacks import fang, gaussian, lie, lie_targeted
from tests.attacks.untargeted.crafted_views import (
  ATTACKERS,
  C,
  M,
  as_uploads,
  drawn_rows,
  flat,
  rows_sent,
  run_poison,
  shared_of,
)

POOL = [0, 1, 2, 3, 4]
BENIGN = [1, 2, 3, 5, 7, 8, 11, 13, 19]
KEY = jax.random.key(5)
CONSTRUCTORS = {"gaussian": gaussian, "lie": lie, "fang": fang, "lie_targeted": lie_targeted}
def knowledge_of(knowledge, seed=0, *, clients=None, network=False):
  """What is known, for `view_of` and for the oracle, whose shared rows are vectors."""
  clients = clients if clients is not None else POOL if knowledge == "own" else BENIGN
  rows = drawn_rows(seed, clients)
  places = len(POOL) if knowledge == "own" else C
  shared, sent = (), None
  vectors = None
  if network:
    sent = np.isin(np.arange(places), clients)
    shared = shared_of(seed + 1, places, sent)
    vectors, sent = flat(shared)[sent], jnp.asarray(sent)
  uploads = as_uploads(rows, shared=shared, sent=sent)
  return {"pool" if knowledge == "own" else "benign": uploads}, rows, vectors



def own_rows(seed=30):
  """What the three attackers would send; item M - 1, which nobody else sends, among it."""
  rows = drawn_rows(seed, sorted(ATTACKERS), size=4)
  return [*rows, (9, M - 1, np.array([1.0, 2.0, 3.0], np.float32))]



def sent_by(attack, view, own=(), key=KEY):
  uploads, state = run_poison(attack.poison, (), as_uploads(list(own)), view, key)
  assert state == ()
  return rows_sent(uploads), uploads



def assert_rows(found, expected):
  assert {slot: sorted(rows) for slot, rows in found.items()} == {
    slot: sorted(rows) for slot, rows in expected.items() if rows
  }
  for slot, rows in expected.items():
    for item, row in rows.items():
      np.testing.assert_allclose(found[slot][item], row, atol=2e-5, err_msg=f"{slot}, {item}")



def assert_shared(uploads, expected):
  """All attackers send `expected`, a vector; nobody else sends anything."""
  assert np.flatnonzero(uploads.sent).tolist() == sorted(ATTACKERS)
  found = flat(uploads.shared)
  for slot in range(C):
    wanted = expected if slot in ATTACKERS else 0.0
    np.testing.assert_allclose(found[slot], wanted, atol=2e-5)



def many(attack, view, own=(), times=4000):
  """Rows [times, A * items, d] of many rounds, with the uploads of the first."""
  uploads = as_uploads(list(own))
  keys = jax.random.split(KEY, times)

  @jax.jit
  def rounds(poison, view, keys):
    view = view._replace(num_clients=C)
    return jax.vmap(lambda key: poison((), uploads, view, key)[0].row)(keys)

  return np.asarray(rounds(attack.poison, view, keys), float), sent_by(attack, view, own)[1]



