"""Krum, MultiKrum and Bulyan against their oracles, on a thousand rounds with groups, or clients,
of every number from 0 to 150.

Rows are small integers times 1/8, some of them ten times as large: sums of squared distances are
then exact in float32, and ties are many. What iterative selection costs grows with the cube of a
group's size, hence one large group in each of the first rounds and small ones in the others.
"""

import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.uploads.rows import merge_rows
from tests.defenses import test_thousand_rounds as item_rounds
from tests.defenses import whole_rounds
from tests.defenses.test_krum import NAMES, constructor, enough, of_clients, of_rows
from tests.defenses.test_thousand_rounds import F_RULES, SHARES
from tests.oracles import aggregation
from tests.support.views import dense

C, MOST = 150, 32
M, D = item_rounds.M, item_rounds.D
ROUNDS, BATCH = 1000, 200
BATCHES = range(ROUNDS // BATCH)
FAR = 10
DEFAULT = 0.05


@functools.cache
def random_round(seed):
  """A round in which one item has `seed` clients, if there are so many; in later ones some items
  have up to 32, and most fewer. And the rows of each item, in the order in which they arrive: that
  decides which of two equal ones is the first.
  """
  random = np.random.default_rng(seed)
  # What a program takes for a round depends on its largest group.
  bound = random.choice([4, 9, MOST])
  sizes = random.integers(0, min(bound, 9) + 1, M)
  if seed <= C:
    sizes *= seed > 0
    sizes[random.integers(M)] = seed
  elif bound == MOST:
    sizes = np.where(random.random(M) < 0.3, random.integers(10, MOST + 1, M), sizes)
  one = item_rounds.round_with(random, sizes, FAR, C if seed <= C else MOST)
  used = one.uploads.client[one.uploads.item < M].tolist()
  arriving = np.array(list(dict.fromkeys(used)), np.int32)
  return one, [one.rows[arriving[one.sent[arriving, item]], item] for item in range(M)]


def test_groups_of_every_size_occur():
  rounds = [random_round(seed) for seed in range(ROUNDS)]
  sizes = [len(rows) for _, groups in rounds for rows in groups]
  counts = np.bincount(sizes, minlength=C + 1)
  assert len(counts) == C + 1 and (counts > 0).all() and (counts[:10] > 500).all()
  # From 20 on the default distrusts a row.
  assert counts[20 : MOST + 1].sum() > 500
  assert sum(sizes) == sum(one.sent.sum() for one, _ in rounds)
  assert {0, C} <= {one.clients for one, _ in rounds}


VARIANTS = {
  "krum global": {"neighbors": "n-f", "distance": "plain", "too_few": "zero", "scale": "mean"},
  "drop per_round": {"neighbors": "n-f-1", "distance": "plain", "too_few": "median"},
  "iterative number": {"neighbors": "n-f", "too_few": "zero", "scale": "selected"},
}


@functools.cache
def updates_of(variant):
  """The program for the dense updates of several rounds, [rounds, M, D]."""
  name, *f_rule = variant.split()
  options = {**VARIANTS.get(variant, {}), **({"f_rule": f_rule[0]} if f_rule else {})}
  places = MOST if f_rule else C

  def one_round(argument):
    uploads, clients, federation, f = argument
    view = item_rounds.view_of(clients, federation, places)
    defense = constructor(name, f=f, **options)
    return dense(defense.aggregate((), merge_rows(uploads, M), view)[0], M)

  return jax.jit(functools.partial(jax.lax.map, one_round))


def assert_items_match(variant, seeds, fs):
  """Returns how many groups a rule selected from, and how many were too small for it."""
  name, f_rule = (*variant.split(), "ratio_of_count")[:2]
  options = {"scale": "sum", **VARIANTS.get(variant, {})}
  options["squared"] = options.pop("distance", "squared") == "squared"
  options["rule"] = options.pop("neighbors", "n-f-2")
  rounds = [random_round(seed) for seed in seeds]
  fs = [fs[number % len(fs)] for number in range(len(rounds))]
  uploads, *sizes = item_rounds.stacked([one for one, _ in rounds])
  # Roots are not exact; rows on a line have distances that are.
  axes = np.array([1.0, 1.0 if options["squared"] else 0.0], np.float32)
  found = updates_of(variant)((uploads._replace(row=uploads.row * axes), *sizes, jnp.array(fs)))
  selecting = falling_back = 0
  for number, ((one, groups), f) in enumerate(zip(rounds, fs, strict=True)):
    expected = np.zeros((M, D))
    for item, rows in enumerate(groups):
      distrusted = aggregation.distrusted(f, F_RULES[f_rule][1](one, rows), f_rule)
      expected[item] = of_rows(name, rows * axes, distrusted, **options)
      is_enough = enough(name, len(rows), distrusted)
      selecting += bool(distrusted and is_enough)
      falling_back += bool(len(rows)) and not is_enough
    message = f"round {seeds[number]}, f {f}"
    np.testing.assert_allclose(found[number], expected, rtol=2e-6, atol=4e-6, err_msg=message)
  return selecting, falling_back


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", NAMES)
def test_items(name, batch):
  default = constructor(name).aggregate
  assert jax.tree.leaves(default) == [DEFAULT]
  assert jax.tree.structure(default) == jax.tree.structure(constructor(name, f=DEFAULT).aggregate)
  seeds = range(batch * BATCH, (batch + 1) * BATCH)
  assert assert_items_match(name, seeds, [DEFAULT])[0] > 100


@pytest.mark.parametrize("name", NAMES)
def test_shares(name):
  seeds = range(ROUNDS, ROUNDS + BATCH)
  selecting, falling_back = assert_items_match(name, seeds, SHARES)
  assert selecting > 50 and (falling_back > 50 or name in ("krum", "drop"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_options(variant):
  seeds = range(ROUNDS, ROUNDS + BATCH)
  selecting, falling_back = assert_items_match(variant, seeds, F_RULES[variant.split()[1]][0])
  assert selecting > 50 and falling_back > 50


@functools.cache
def random_whole_round(seed):
  """A round of `seed` clients, if there are so many, and else of few."""
  clients = seed if seed <= C else int(np.random.default_rng(seed).integers(0, 33))
  return whole_rounds.random_round(seed, clients, FAR)


def test_every_number_of_clients_occurs():
  rounds = [random_whole_round(seed) for seed in range(ROUNDS)]
  counts = np.bincount([one.clients for one in rounds], minlength=C + 1)
  assert len(counts) == C + 1 and (counts > 0).all() and (counts[:33] > 10).all()
  assert sum(one.twins.size > 2 for one in rounds) > 100


@functools.partial(jax.jit, static_argnames="name")
def whole_updates(name, arguments):
  """Dense updates of several rounds, [rounds, M, D], and whether places sent a kept row."""

  def one_round(argument):
    uploads, clients, f = argument
    uploads = merge_rows(uploads, whole_rounds.M)
    defense = constructor(name, scope="client", f=f)
    update = defense.aggregate((), uploads, whole_rounds.view_of(clients))[0]
    kept = jnp.zeros(C, bool).at[uploads.client].max(update.kept)
    return dense(update, whole_rounds.M), kept

  return jax.lax.map(one_round, arguments)


def assert_whole_uploads_match(name, seeds, fs):
  rounds = [random_whole_round(seed) for seed in seeds]
  fs = [fs[number % len(fs)] for number in range(len(rounds))]
  clients = jnp.array([one.clients for one in rounds], jnp.int32)
  found, kept = whole_updates(name, (whole_rounds.stacked(rounds), clients, jnp.array(fs)))
  found = np.asarray(found).reshape(len(rounds), -1)
  selecting = 0
  for number, (one, f) in enumerate(zip(rounds, fs, strict=True)):
    message = f"round {seeds[number]}, f {f}"
    expected, picked = np.zeros(found.shape[1]), set()
    if one.clients:
      distrusted = math.floor(Fraction(str(f)) * one.clients)
      expected, picked = of_clients(name, one, distrusted, scale="sum", too_few="sum")
      selecting += bool(distrusted) and enough(name, one.clients, distrusted)
    np.testing.assert_allclose(found[number], expected, rtol=1e-5, atol=1e-5, err_msg=message)
    silent = {client for client in picked if not np.any(one.vectors[client])}
    senders = set(np.flatnonzero(kept[number]).tolist())
    assert picked - silent <= senders <= picked, message
  return selecting


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", NAMES)
def test_whole_uploads(name, batch):
  default = constructor(name, scope="client").aggregate
  named = constructor(name, scope="client", f=DEFAULT).aggregate
  assert jax.tree.leaves(default) == [DEFAULT]
  assert jax.tree.structure(default) == jax.tree.structure(named)
  seeds = range(batch * BATCH, (batch + 1) * BATCH)
  assert assert_whole_uploads_match(name, seeds, [DEFAULT]) > 50


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_whole_uploads(name):
  assert assert_whole_uploads_match(name, range(ROUNDS, ROUNDS + BATCH), SHARES) > 20
