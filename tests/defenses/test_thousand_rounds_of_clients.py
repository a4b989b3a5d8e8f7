"""What defences have clients do, against the oracles, on a thousand rounds of 0 to 150 clients."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.numerics.noise import laplace_noise
from fedrecjax.types import ClientUpdates, ClientView, DefenseContext, Public, Samples
from tests.oracles import fl_wbc, pieck_reg

C, FEDERATION, M, D = 150, 200, 14, 3
ROUNDS, RUN = 1000, 100
PAIRS = 400  # of a client and an item that it holds; a round has no more rows
# Rows are multiples of 1/8, and the scale of the noise is one: products and changes are exact.
SCALE = 0.125


def context_of(random):
  """Clients that hold random items, some of them none."""
  pairs = np.sort(random.choice(FEDERATION * M, PAIRS, replace=False))
  client, held = np.divmod(pairs, M)
  indptr = np.searchsorted(client, np.arange(FEDERATION + 1))
  return DefenseContext(M, D, C, FEDERATION, np.zeros((1, C), np.int32), indptr, held)


def participants(random, count):
  """Clients in random places of a round; other places are empty."""
  clients = np.full(C, FEDERATION, np.int32)
  places = random.choice(C, count, replace=False)
  clients[places] = random.choice(FEDERATION, count, replace=False)
  return clients, places


def random_rows(random, context, count):
  """The clients in their places, and their uploads with unused places among them."""
  clients, places = participants(random, count)
  client = np.full(PAIRS, C - 1, np.int32)
  item, row = np.full(PAIRS, M, np.int32), random.integers(-3, 4, (PAIRS, D)) / 8
  lists = [context.held[slice(*context.indptr[[clients[one], clients[one] + 1]])] for one in places]
  used = np.sort(random.choice(PAIRS, sum(map(len, lists)), replace=False))
  client[used] = np.repeat(places, [len(one) for one in lists])
  item[used] = np.concatenate([np.empty(0, np.int32), *lists])
  return clients, ClientUpdates(client, item, row.astype(np.float32))


def fl_wbc_rounds(run):
  """What the clients hold, and consecutive rounds with one client more in each, modulo 151."""
  random = np.random.default_rng(run)
  context = context_of(random)
  counts = [(run * RUN + number) % (C + 1) for number in range(RUN)]
  return context, [random_rows(random, context, count) for count in counts]


def test_every_number_of_clients_occurs():
  runs = (fl_wbc_rounds(run)[1] for run in range(ROUNDS // RUN))
  for rounds in (
    [clients for run in runs for clients, _ in run],
    [random_term_round(seed)[2] for seed in range(ROUNDS)],
  ):
    assert len(rounds) == ROUNDS
    assert {int((clients < FEDERATION).sum()) for clients in rounds} == set(range(C + 1))


@jax.jit
def fl_wbc_run(state, key, arguments):
  """Rows sent and noise in consecutive rounds, [rounds, PAIRS, D], and the last state."""
  transform = defenses.fl_wbc(scale=SCALE).client_transform

  def one_round(state, argument):
    number, clients, uploads = argument
    own = jax.random.fold_in(key, number)
    view = ClientView(None, None, clients, number, None, None, own, M)
    sent, state = transform(state, uploads, view)
    noise = laplace_noise(own, clients[uploads.client], uploads.item, D)
    return state, (sent.row, noise)

  return jax.lax.scan(one_round, state, arguments)


def stacked(rounds):
  return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *rounds)


@pytest.mark.parametrize("run", range(ROUNDS // RUN))
def test_runs_of_fl_wbc(run):
  context, rounds = fl_wbc_rounds(run)
  start = defenses.fl_wbc(scale=SCALE).init(jax.random.key(0), context)
  numbers = jnp.arange(RUN, dtype=jnp.int32)
  state, (rows, noise) = fl_wbc_run(start, jax.random.key(run), (numbers, *stacked(rounds)))
  rows, noise = np.asarray(rows), SCALE * np.asarray(noise, np.float64)
  beside, perturbed = collections.defaultdict(fl_wbc.Client), 0
  for number, (clients, uploads) in enumerate(rounds):
    expected = uploads.row.astype(float)
    mine = collections.defaultdict(list)
    for place in np.flatnonzero(uploads.item < M):
      mine[int(clients[uploads.client[place]])].append(place)
    for client, places in mine.items():
      own, drawn = (
        dict(zip(uploads.item[places].tolist(), part[places], strict=True))
        for part in (uploads.row.astype(float), noise[number])
      )
      sent = beside[client].participate(own, drawn)
      expected[places] = [sent[item] for item in own]
    message = f"round {number} of run {run}"
    np.testing.assert_allclose(rows[number], expected, rtol=1e-6, atol=1e-7, err_msg=message)
    perturbed += (expected != uploads.row).sum()
  assert perturbed > 1000 and (rows == stacked(rounds)[1].row).sum() > 1000
  previous = np.asarray(state.previous)
  for client in range(FEDERATION):
    part = slice(context.indptr[client], context.indptr[client + 1])
    last = beside[client].previous or {item: np.full(D, np.inf) for item in context.held[part]}
    assert sorted(last) == context.held[part].tolist()
    for item, row in zip(context.held[part], previous[part], strict=True):
      np.testing.assert_array_equal(row, last[item])


N = 4
MOST = 3  # samples of a client
READINGS = {
  "default": {
    "weighting": "exponential", "kl": "item_to_user", "kl_scale": "mean", "before_mined": "wait"
  },
  "published": {
    "weighting": "quadratic", "kl": "user_to_item", "kl_scale": "mean", "before_mined": "arbitrary"
  },
  "sums": {
    "weighting": "exponential", "kl": "item_to_user", "kl_scale": "sum", "before_mined": "wait"
  },
}


def random_samples(random, clients):
  """Samples of the clients in their places, repeated items among them, and unused places."""
  length = random.integers(0, MOST + 1, C) * (clients < FEDERATION)
  client = np.repeat(np.arange(C), length)
  unused = C * MOST - len(client)
  client = np.append(client, np.full(unused, C - 1)).astype(np.int32)
  positive, negative = random.integers(0, M, (2, C * MOST), np.int32)
  first = (np.cumsum(length) - length).astype(np.int32)[client]
  valid = np.arange(C * MOST) < C * MOST - unused
  uploaded = np.stack([positive, negative], axis=1)
  return Samples(
    client, valid, first, *2 * [length.astype(np.int32)], positive, negative[:, None], uploaded
  )


def random_vectors(random, count):
  """Vectors of very different lengths, some of them zero."""
  lengths = random.choice([0.0, 0.01, 1.0, 3.0], (count, 1), p=[0.1, 0.2, 0.5, 0.2])
  return (lengths * random.normal(size=(count, D))).astype(np.float32)


def random_term_round(seed):
  """Table, private vectors, clients, samples, and each client's popular items and whether it mined
  them; every number of clients once, then small ones.
  """
  random = np.random.default_rng(seed)
  clients, _ = participants(random, seed if seed <= C else random.integers(0, 13))
  table, private = random_vectors(random, M), random_vectors(random, C)
  popular = random.permuted(np.tile(np.arange(M, dtype=np.int32), (FEDERATION, 1)), axis=1)[:, :N]
  mined = random.random(FEDERATION) < 0.7
  return table, private, clients, random_samples(random, clients), popular, mined


@functools.partial(jax.jit, static_argnames="reading")
def terms_of(reading, state, arguments):
  """The terms of several rounds."""
  defense = defenses.pieck_reg(num_popular=N, beta=0.7, gamma=1.3, **READINGS[reading])

  def one_round(argument):
    table, private, clients, samples, popular, mined = argument
    view = ClientView(Public(table, ()), private, clients, jnp.int32(0), samples, None, None, M)
    return defense.client_term(state._replace(popular=popular, mined=mined), view)[0]

  return jax.lax.map(one_round, arguments)


def mining_state():
  """Before a round in which nobody mines; each client is a cohort of its own."""
  nobody = np.full((1, C), FEDERATION)
  context = DefenseContext(M, D, C, FEDERATION, nobody, None, None)
  state = defenses.pieck_reg(num_popular=N).init(jax.random.key(0), context)
  return state._replace(plan=state.plan._replace(cohort=jnp.arange(FEDERATION, dtype=jnp.int32)))


@pytest.mark.parametrize(
  ("reading", "batch"),
  [("default", batch) for batch in range(5)] + [("published", 2), ("sums", 3)],
)
def test_terms_of_pieck_reg(reading, batch):
  first, count = batch * ROUNDS // 5, ROUNDS // 5
  rounds = [random_term_round(seed) for seed in range(first, first + count)]
  state = mining_state()
  terms = jax.tree.map(np.asarray, terms_of(reading, state, stacked(rounds)))
  options = dict(READINGS[reading])
  waits = options.pop("before_mined") == "wait"
  often = 0
  for number, (table, private, clients, samples, popular, mined) in enumerate(rounds):
    loss, slopes = np.zeros(C), np.zeros((C, D))
    rows = np.zeros((C * MOST, 2, D))
    for place in np.flatnonzero(clients < FEDERATION):
      client = clients[place]
      if waits and not mined[client]:
        continue
      mine = np.flatnonzero(samples.valid & (samples.client == place))
      items = popular[client] if mined[client] else np.asarray(state.arbitrary[client])
      value, slopes[place], entries = pieck_reg.regularisers(
        private[place].astype(float),
        table.astype(float),
        samples.uploaded[mine].reshape(-1).tolist(),
        items.tolist(),
        beta=0.7 if mined[client] else 0.0,
        gamma=1.3,
        **options,
      )
      loss[place] = value
      rows[mine] = np.reshape(entries, (len(mine), 2, D))
      often += 1
    # Empty places have no client whose vector could move.
    taken = clients < FEDERATION
    message = f"round {first + number}"
    # Gradients by short rows are large.
    scale = max(1.0, np.abs(rows).max())
    for found, expected, atol in (
      (terms.loss[number][taken], loss[taken], 2e-6),
      (terms.private[number][taken], slopes[taken], 2e-6),
      (terms.rows[number], rows, 2e-6 * scale),
    ):
      np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol, err_msg=message)
  assert often > 500
