"""UNION's filter against the oracle, on a thousand rounds of 0 to 150 clients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedrecjax import defenses
from fedrecjax.defenses.union import draw_round, uniformities
from fedrecjax.numerics.optimizers import OPTIMIZERS
from fedrecjax.types import ClientUpdates, Public
from fedrecjax.uploads.rows import merge_rows
from tests.oracles import union as oracle
from tests.support.views import defense_view

C, M, D, T, B = 150, 8, 3, 6, 3
ROUNDS, BATCH = 1000, 200
RATE = 0.4
CAPACITY = 5 * C + 1
OPTIONS = {"sample": "shared", "num_sampled": T, "num_references": B}


def random_round(seed):
  """Clients in any places, every number of them once and then few; some draw all items together.

  Returns the uploads in two forms, the table, which places are taken, and the optimiser's moments.
  """
  random = np.random.default_rng(seed)
  count = seed if seed <= C else int(random.integers(0, 13))
  table = random.normal(size=(M, D)).astype(np.float32)
  present = np.zeros(C, bool)
  present[random.choice(C, count, replace=False)] = True
  attackers = random.permutation(np.flatnonzero(present))[: random.integers(0, 2 + count // 5)]
  entries, uploads = [], {}
  for client in np.flatnonzero(present).tolist():
    items, rows = range(M), 2 * table
    if client not in attackers:
      items = random.choice(M, random.integers(1, 4), replace=False).tolist()
      rows = (random.normal(size=(len(items), D)) * 0.3).astype(np.float32)
    uploads[client] = dict(zip(items, rows.astype(float), strict=True))
    entries += [(client, item, row) for item, row in zip(items, rows, strict=True)]
  arrays = ClientUpdates(
    np.zeros(CAPACITY, np.int32),
    np.full(CAPACITY, M, np.int32),
    np.full((CAPACITY, D), 7.5, np.float32),
  )
  for place, entry in enumerate(entries):
    for array, value in zip(arrays[:3], entry, strict=True):
      array[place] = value
  first, second = random.normal(size=(M, D)) / 20, random.random((M, D)) / 20 + 0.001
  moments = first.astype(np.float32), second.astype(np.float32)
  return uploads, (arrays, table, present, moments, np.int32(seed % 3), np.int32(seed))


def test_every_number_of_clients_occurs():
  rounds = [random_round(seed)[0] for seed in range(ROUNDS)]
  assert set(map(len, rounds)) == set(range(C + 1))
  senders_of_all = [sum(len(items) == M for items in one.values()) for one in rounds]
  assert min(senders_of_all) == 0 and max(senders_of_all) > 20


@jax.jit
def filtered(arguments):
  """Draws, uniformities, and which clients still send anything, of several rounds."""

  def one_round(argument):
    uploads, table, present, (first, second), steps, seed = argument
    view = defense_view(
      num_items=M,
      num_clients=C,
      items=table,
      present=present,
      transformation=OPTIMIZERS["adam"],
      optimizer=optax.ScaleByAdamState(steps, Public(first, ()), Public(second, ())),
      learning_rate=RATE,
      key=jax.random.key(seed),
    )
    view = view._replace(clients=jnp.sum(present, dtype=jnp.int32))
    uploads = merge_rows(uploads, M)
    draws = draw_round(view, **OPTIONS)
    values = uniformities(uploads, view, draws.items, trial="optimizer", squared=False)
    after, _ = defenses.union(**OPTIONS).filter((), uploads, view)
    sending = jnp.zeros(C, bool).at[after.client].max(after.item < M)
    return draws, values, sending

  return jax.lax.map(one_round, arguments)


@pytest.mark.parametrize("batch", range(ROUNDS // BATCH))
def test_filter(batch):
  seeds = range(batch * BATCH, (batch + 1) * BATCH)
  rounds = [random_round(seed) for seed in seeds]
  arguments = jax.tree.map(lambda *leaves: np.stack(leaves), *(one for _, one in rounds))
  draws, values, sending = jax.tree.map(np.asarray, filtered(arguments))
  rejecting = keeping = 0
  for number, (uploads, (_, table, _, moments, steps, seed)) in enumerate(rounds):
    adam = oracle.Adam(*(one.astype(float) for one in moments), int(steps))
    measure = functools.partial(
      oracle.trial_rows, table.astype(float), draws.items[number], learning_rate=RATE, adam=adam
    )
    expected = [oracle.uniformity(measure(one), squared=False) for one in uploads.values()]
    clients, message = list(uploads), f"round {seed}"
    np.testing.assert_allclose(values[number][clients], expected, rtol=2e-5, err_msg=message)
    references = draws.references[number][:, : len(clients)].astype(float)
    rejected = {clients[one] for one in oracle.rejected(expected, references)}
    assert set(np.flatnonzero(sending[number])) == set(clients) - rejected, message
    rejecting += bool(rejected)
    keeping += bool(clients) and not rejected
  assert rejecting > 20 and keeping > 20
