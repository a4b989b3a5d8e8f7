"""Rules and filters of item rows against their oracles, on a thousand rounds with groups of every
size from 0 to 150.

Rows are small integers times 1/8, some of them a hundred times as large: sums, distances and
medians are then exact in float32, and ties are many. Rounds of one shape go through one program.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.types import ClientUpdates, DefenseContext
from fedrecjax.uploads.rows import merge_rows
from tests.oracles import aggregation, hics, whole_uploads
from tests.support.views import defense_view

M, C, D, CAPACITY = 14, 150, 2, 340
ROUNDS, BATCH = 1000, 250
BATCHES = range(ROUNDS // BATCH)


class Round(NamedTuple):
  """One round.

  Attributes:
    uploads: with unused places of any content among them, and a tenth of the rows in two parts.
    clients: how many clients take part: those in places 0..clients - 1.
    federation: how many clients there are at all.
    sent: which client sends which item, bool [clients, M].
    rows: what it sends in all [clients, M, D].
  """

  uploads: ClientUpdates
  clients: int
  federation: int
  sent: np.ndarray
  rows: np.ndarray

  def group(self, item: int) -> np.ndarray:
    """The rows that an item receives."""
    return self.rows[self.sent[:, item], item]


@functools.cache
def random_round(seed: int) -> Round:
  """A round in which one item has `seed` clients, modulo 151, and the others have few, or none."""
  random = np.random.default_rng(seed)
  largest = seed % (C + 1)
  sizes = random.integers(0, 10, M) * (random.random(M) < 0.7) * (largest > 0)
  sizes[random.integers(M)] = largest
  return round_with(random, sizes)


def round_with(
  random: np.random.Generator, sizes: np.ndarray, far: float = 100, most: int = C
) -> Round:
  """A round of at most `most` clients with groups of given sizes [M], of which a fifth of the rows
  is `far` times as large.
  """
  # Half of the rounds have no more clients than the largest group.
  least = int(sizes.max())
  clients = int(random.integers(least, most + 1)) if random.random() < 0.5 else least
  sent = np.zeros((clients, M), bool)
  for item, size in enumerate(sizes):
    sent[random.choice(clients, size, replace=False), item] = True
  rows = random.integers(-3, 4, (clients, M, D)) / 8
  rows *= np.where(random.random((clients, M, 1)) < 0.8, 1, far)
  client, item = np.nonzero(sent)
  split = random.random(len(client)) < 0.1
  part = random.integers(-3, 4, (len(client), D)) / 8 * split[:, None]
  row = np.concatenate([rows[client, item] - part, part[split]])
  client, item = np.append(client, client[split]), np.append(item, item[split])
  # Clients in any order; the places of one client still follow one another.
  order = np.argsort(random.permutation(C)[client], kind="stable")
  uploads = ClientUpdates(
    random.integers(0, C, CAPACITY, np.int32),
    np.full(CAPACITY, M, np.int32),
    np.full((CAPACITY, D), 7.5, np.float32),
  )
  places = np.sort(random.choice(CAPACITY, len(order), replace=False))
  for array, used in zip(uploads[:3], (client, item, row), strict=True):
    array[places] = used[order]
  return Round(uploads, clients, int(random.choice([200, 1000, 5000])), sent, rows)


@functools.cache
def batch_of(batch: int) -> tuple[list[Round], tuple]:
  """Some rounds, and what a program takes of them, one after another."""
  rounds = [random_round(seed) for seed in range(batch * BATCH, (batch + 1) * BATCH)]
  return rounds, stacked(rounds)


def stacked(rounds: list[Round]) -> tuple:
  """What a program takes of rounds, one after another."""
  uploads = (jnp.stack(parts) for parts in zip(*(one.uploads[:3] for one in rounds), strict=True))
  clients, federation = (jnp.array([one[place] for one in rounds]) for place in (1, 2))
  return ClientUpdates(*uploads), clients, federation


def view_of(clients, federation, places=C):
  return defense_view(num_items=M, num_clients=places, clients=clients, federation=federation)


def test_groups_of_every_size_occur():
  rounds = [random_round(seed) for seed in range(ROUNDS)]
  sizes = np.concatenate([one.sent.sum(axis=0) for one in rounds])
  counts = np.bincount(sizes, minlength=C + 1)
  assert len(counts) == C + 1 and (counts >= 6).all() and (counts[:10] > 300).all()
  assert {0, C} <= {one.clients for one in rounds}
  used = [int((one.uploads.item < M).sum()) for one in rounds]
  assert sum(used) > 1.05 * sizes.sum() and max(used) < CAPACITY


SHARES = (0.05, 0.0, 0.25, 0.29, 0.45)
# f, and what it is a share of in the oracle: clients of the item, of the round, of the federation.
F_RULES = {
  "ratio_of_count": (SHARES, lambda one, rows: len(rows)),
  "number": ((1.0, 0.0, 2.9, 40.0, 80.0), lambda one, rows: 1),
  "per_round": (SHARES, lambda one, rows: one.clients),
  "global": ((0.001, 0.0, 0.004, 0.012, 0.45), lambda one, rows: one.federation),
}
READINGS = ("extremes", "around_median")


def trimmed_by(one, rows, f, *, reading, f_rule, too_few, scale):
  trimmed = aggregation.distrusted(f, F_RULES[f_rule][1](one, rows), f_rule)
  return aggregation.trimmed_mean(rows, trimmed, reading, scale=scale, too_few=too_few)


# What does not meet in the code varies together.
TRIMMED = {
  f"{reading} {f_rule}": {
    "reading": reading, "f_rule": f_rule, "too_few": too_few, "scale": scale
  }
  for reading, (f_rule, too_few, scale) in itertools.product(
    READINGS,
    (
      ("ratio_of_count", "median", "sum"),
      ("number", "zero", "mean"),
      ("per_round", "zero", "sum"),
      ("global", "median", "mean"),
    ),
  )
}
RULES = {
  "none": (defenses.none, lambda one, rows, f: aggregation.sum_(rows)),
  "none mean": (
    functools.partial(defenses.none, scale="mean"), lambda one, rows, f: aggregation.mean(rows)
  ),
  "median": (defenses.median, lambda one, rows, f: aggregation.median(rows, scale="sum")),
  "median mean": (
    functools.partial(defenses.median, scale="mean"), lambda one, rows, f: aggregation.median(rows)
  ),
  **{
    name: (
      functools.partial(defenses.trimmed_mean, **options),
      functools.partial(trimmed_by, **options),
    )
    for name, options in TRIMMED.items()
  },
}


@functools.cache
def updates_of(name):
  """The program for the dense updates of several rounds, [rounds, M, D]."""

  def one_round(argument):
    uploads, clients, federation, f = argument
    defense = RULES[name][0](**({"f": f} if name in TRIMMED else {}))
    rows = defense.aggregate((), merge_rows(uploads, M), view_of(clients, federation))[0].items
    return jnp.zeros((M, D)).at[rows.item].add(rows.row, mode="drop")

  return jax.jit(functools.partial(jax.lax.map, one_round))


def assert_matches(name, batch, fs, atol=0.0):
  rounds, arguments = batch_of(batch)
  found = updates_of(name)((*arguments, jnp.array(fs)))
  for number, (one, f) in enumerate(zip(rounds, fs, strict=True)):
    expected = [RULES[name][1](one, one.group(item), f) for item in range(M)]
    message = f"round {batch * BATCH + number}, f {f}"
    np.testing.assert_allclose(found[number], expected, rtol=2e-6, atol=atol, err_msg=message)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", [name for name in RULES if name not in TRIMMED])
def test_sums_means_and_medians(name, batch):
  # The plain mean divides before it adds up.
  assert_matches(name, batch, [0.0] * BATCH, atol=4e-6 if name == "none mean" else 0.0)


@pytest.mark.parametrize("batch", BATCHES)
def test_trimmed_mean_as_it_is_by_default(batch):
  default = defenses.trimmed_mean().aggregate
  named = defenses.trimmed_mean(f=0.05, **TRIMMED["extremes ratio_of_count"]).aggregate
  assert jax.tree.structure(default) == jax.tree.structure(named)
  assert jax.tree.leaves(default) == [0.05]
  assert_matches("extremes ratio_of_count", batch, [0.05] * BATCH)


# A thousand rounds for each reading.
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("reading", READINGS)
def test_trimmed_means(reading, batch):
  f_rule, (choices, _) = list(F_RULES.items())[batch]
  fs = [choices[number % len(choices)] for number in range(BATCH)]
  assert_matches(f"{reading} {f_rule}", batch, fs)


WEIGHTED = [
  (scope, weights, scale)
  for scope, weights in (("item", "samples"), ("client", "equal"), ("client", "samples"))
  for scale in ("sum", "mean")
]


def averaged(one, rows, samples, *, scope, weights, scale):
  """The sum or mean of the rows [clients, M, D], for each item [M, D]."""
  claimed = samples[: one.clients] if weights == "samples" else np.ones(one.clients)
  if scope == "client":
    whole = (rows * one.sent[..., None]).reshape(one.clients, M * D)
    average = whole_uploads.mean(whole, claimed).reshape(M, D)
    return average * one.clients if scale == "sum" else average
  result = np.zeros((M, D))
  for item, sent in enumerate(one.sent.T):
    average = whole_uploads.mean(rows[sent, item], claimed[sent])
    result[item] = average * sent.sum() if scale == "sum" else average
  return result


@functools.partial(jax.jit, static_argnames=("scope", "weights", "scale"))
def plain_updates(arguments, **options):
  """Dense updates of several rounds by sums and means, [rounds, M, D]."""

  def one_round(argument):
    uploads, clients, federation, samples = argument
    view = view_of(clients, federation)
    view = view._replace(samples=jnp.where(view.present, samples, 0.0))
    rows = defenses.none(**options).aggregate((), merge_rows(uploads, M), view)[0].items
    return jnp.zeros((M, D)).at[rows.item].add(rows.row, mode="drop")

  return jax.lax.map(one_round, arguments)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("scope", "weights", "scale"), WEIGHTED)
def test_sums_and_means_of_every_scope_and_weight(scope, weights, scale, batch):
  rounds, arguments = batch_of(batch)
  options = {"scope": scope, "weights": weights, "scale": scale}
  samples = np.random.default_rng(batch).integers(1, 50, (BATCH, C)).astype(np.float32)
  found = np.asarray(plain_updates((*arguments, jnp.asarray(samples)), **options))
  for number, (one, claimed) in enumerate(zip(rounds, samples, strict=True)):
    expected = averaged(one, one.rows, claimed.astype(float), **options)
    # Rounding is relative to what is added up.
    size = averaged(one, np.abs(one.rows), claimed.astype(float), **options)
    wrong = np.abs(found[number] - expected) > 2e-6 * size
    assert not wrong.any(), f"round {batch * BATCH + number}"


NORMS = (0.3, 1.0, 20.0, 0.01)
BOUNDS = {
  "row": lambda rows, max_norm: np.array(
    [[aggregation.norm_bound(row, max_norm) for row in client] for client in rows]
  ).reshape(rows.shape),
  "client": lambda rows, max_norm: whole_uploads.norm_bound(
    rows.reshape(len(rows), M * D), max_norm
  ).reshape(rows.shape),
}


@functools.partial(jax.jit, static_argnames="scope")
def clipped(scope, arguments):
  """All rows of several rounds after clipping, [rounds, C, M, D]."""

  def one_round(argument):
    uploads, clients, federation, max_norm = argument
    bound = defenses.norm_bound(max_norm=max_norm, scope=scope)
    uploads, _ = bound.filter((), merge_rows(uploads, M), view_of(clients, federation))
    return jnp.zeros((C, M, D)).at[uploads.client, uploads.item].add(uploads.row, mode="drop")

  return jax.lax.map(one_round, arguments)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("scope", BOUNDS)
def test_norm_bound(scope, batch):
  rounds, arguments = batch_of(batch)
  norms = [NORMS[number % len(NORMS)] for number in range(BATCH)]
  found = np.asarray(clipped(scope, (*arguments, jnp.array(norms))))
  for number, (one, max_norm) in enumerate(zip(rounds, norms, strict=True)):
    expected = np.zeros((C, M, D))
    expected[: one.clients] = BOUNDS[scope](one.rows * one.sent[..., None], max_norm)
    message = f"round {batch * BATCH + number}"
    np.testing.assert_allclose(found[number], expected, rtol=1e-6, atol=0, err_msg=message)


RUN = 25
SETTINGS = [
  {"row_norm": row_norm, "quantile": quantile, "bound_scale": scale, "kept_share": kept_share}
  for (kept_share, quantile), (row_norm, scale) in zip(
    itertools.product((0.01, 0.1, 0.29, 0.5, 1.0), (0.5, 0.0, 0.9, 1.0)),
    itertools.cycle(((0.25, 1.25), (1e9, 1.0), (3.0, 0.5))),
    strict=False,
  )
]


@jax.jit
def hics_run(settings, arguments):
  """Dense updates of consecutive rounds, [rounds, M, D], and the memory after the last."""
  defense = defenses.hics(**settings)

  def one_round(state, argument):
    uploads, *sizes = argument
    view = view_of(*sizes)
    uploads, state = defense.filter(state, merge_rows(uploads, M), view)
    update, state = defense.aggregate(state, uploads, view)
    rows = update.items
    return state, jnp.zeros((M, D)).at[rows.item].add(rows.row, mode="drop")

  context = DefenseContext(M, D, C, C, np.zeros((1, C), np.int32), None, None)
  state, updates = jax.lax.scan(one_round, defense.init(jax.random.key(0), context), arguments)
  return updates, state.memory


@pytest.mark.parametrize("batch", BATCHES)
def test_runs_of_hics(batch):
  rounds, arguments = batch_of(batch)
  for first in range(0, BATCH, RUN):
    settings = SETTINGS[(batch * BATCH + first) // RUN % len(SETTINGS)]
    part = slice(first, first + RUN)
    updates, memory = hics_run(settings, jax.tree.map(lambda leaf: leaf[part], arguments))
    server = hics.Server(**settings)
    for number, one in enumerate(rounds[part]):
      uploads = [(client, item, one.rows[client, item]) for client, item in np.argwhere(one.sent)]
      expected = np.zeros((M, D))
      for item, row in server.round(uploads).items():
        expected[item] = row
      message = f"round {batch * BATCH + first + number}, {settings}"
      np.testing.assert_allclose(updates[number], expected, rtol=1e-5, atol=1e-5, err_msg=message)
    waiting = [server.memory.get(item, np.zeros(D)) for item in range(M)]
    np.testing.assert_allclose(memory, waiting, rtol=1e-5, atol=1e-5)
