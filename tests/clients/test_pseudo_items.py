"""Pseudo-interacted items: moments, draws, and rounds in which clients send them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses, models
from fedrecjax.clients.pseudo_items import pseudo_uploads, row_moments
from fedrecjax.config import TrainConfig
from fedrecjax.simulation.round_clients import client_view
from fedrecjax.uploads.rows import merge_rows
from tests.models.rounds import first_uploads, uneven
from tests.support.lockstep import final_state, make_run, round_input

LENGTHS = (0, 1, 2, 31, 32, 33, 65)
PSEUDO = 5


def one_round(dim=3, negatives=2, lengths=LENGTHS, model=None, num_items=40, clients=9, **changes):
  """A run with pseudo items, the view of its first round, rows drawn for its samples."""
  settings = TrainConfig(
    epochs=1, clients_per_round=clients, num_negatives=negatives, pseudo_items=PSEUDO, **changes
  )
  model = model or models.mf(dim=dim, init_std=0.5)
  run = make_run(uneven(2, lengths, num_items), model=model, train=settings)
  view = client_view(run.structure, run.constants, run.state, round_input(run, 0))
  shape = (run.structure.capacity, 1 + negatives, dim)
  random = np.random.default_rng(3)
  mixed = random.normal(size=shape) @ random.normal(size=(dim, dim)) + random.normal(size=dim)
  return run, view, jnp.asarray(mixed, jnp.float32)


def rows_of(view, rows, place):
  """All rows of the client in a place of the round `[n, d]`."""
  own = (np.asarray(view.samples.client) == place) & np.asarray(view.samples.valid)
  return np.asarray(rows, np.float64)[own].reshape(-1, rows.shape[-1])


def test_moments_are_those_of_each_client():
  run, view, rows = one_round()
  mean, covariance = row_moments(view, rows, run.structure.num_tiles)
  for place, length in enumerate(np.asarray(view.samples.length)):
    own = rows_of(view, rows, place)
    assert len(own) == 3 * length
    if length == 0:
      assert not mean[place].any() and not covariance[place].any()
      continue
    np.testing.assert_allclose(mean[place], own.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(covariance[place], np.cov(own.T, bias=True), atol=2e-5)


def test_drawn_items_are_different_ones_outside_the_clients_list():
  run, view, rows = one_round()
  sending = jnp.ones(view.clients.shape, bool).at[3].set(False)
  sent = pseudo_uploads(view, rows, sending, count=PSEUDO, num_tiles=run.structure.num_tiles)
  data = run.constants.data.training
  assert sent.item.shape == (PSEUDO * len(view.clients),)
  for place, client in enumerate(np.asarray(view.clients)):
    items = np.asarray(sent.item)[np.asarray(sent.client) == place]
    items = items[items < view.num_items].tolist()
    silent = client >= len(LENGTHS) or LENGTHS[client] == 0 or place == 3
    assert len(items) == len(set(items)) == (0 if silent else PSEUDO)
    if not silent:
      start, length = int(data.start[client]), int(data.length[client])
      assert not set(items) & set(np.asarray(data.positive)[start : start + length].tolist())


def test_a_client_with_few_items_left_sends_rows_for_all_of_them():
  lists = (1, 11, 2)
  run, view, rows = one_round(lengths=lists, num_items=12, clients=3)
  everybody = jnp.ones(3, bool)
  sent = pseudo_uploads(view, rows, everybody, count=9, num_tiles=run.structure.num_tiles)
  data = run.constants.data.training
  for place, client in enumerate(np.asarray(view.clients)):
    start, length = int(data.start[client]), int(data.length[client])
    own = set(np.asarray(data.positive)[start : start + length].tolist())
    items = np.asarray(sent.item)[np.asarray(sent.client) == place]
    items = items[items < 12].tolist()
    assert len(items) == len(set(items)) == min(9, 12 - len(own))
    assert not set(items) & own


def test_draws_follow_rows_that_rounding_changes():
  """Also where rows have no direction of most variance, so that any turn of them is a basis."""
  run, view, rows = one_round(dim=3, negatives=2)
  # Each sample has one row along each axis: all variances are the same.
  rows = jnp.broadcast_to(jnp.eye(3, dtype=jnp.float32), rows.shape)
  noise = 1e-6 * np.random.default_rng(0).normal(size=(2, *rows.shape)).astype(np.float32)
  everybody = jnp.ones(view.clients.shape, bool)
  first, second = (
    pseudo_uploads(view, rows + one, everybody, count=PSEUDO, num_tiles=run.structure.num_tiles).row for one in noise
  )
  assert np.abs(first).max() > 0.5
  # The variance along the mean is zero but for rounding, whose root is drawn along.
  np.testing.assert_allclose(first, second, atol=5e-3)


@pytest.mark.parametrize(
  ("dim", "shift", "negatives"), [(3, 0.0, 2), (3, 30.0, 2), (16, 0.0, 1), (32, 3.0, 1)]
)
def test_draws_have_the_moments_of_the_clients_rows(dim, shift, negatives):
  # In many dimensions short lists have fewer rows than dimensions; far from zero, rounding is large.
  run, view, rows = one_round(dim=dim, negatives=negatives)
  rows = rows + shift
  everybody = jnp.ones(view.clients.shape, bool)

  def drawn(key):
    return pseudo_uploads(
      view._replace(key=key), rows, everybody, count=PSEUDO, num_tiles=run.structure.num_tiles
    ).row.reshape(len(view.clients), PSEUDO, dim)

  keys = jax.random.split(jax.random.key(0), 400)
  draws = np.asarray(jax.jit(jax.vmap(drawn))(keys), np.float64)
  assert np.isfinite(draws).all()
  number = len(keys) * PSEUDO
  for place, length in enumerate(np.asarray(view.samples.length)):
    if length == 0:
      continue
    own, sample = rows_of(view, rows, place), draws[:, place].reshape(number, dim)
    covariance = np.cov(own.T, bias=True)
    spread = np.sqrt(np.diag(covariance))
    # Of n normal draws a mean deviates by sigma / sqrt(n), a covariance by at most
    # sigma_i sigma_j sqrt(2 / n); six of these, and the rounding of float32 in the moments.
    rounding = 4e-6 * np.max(own**2)
    within = 6 * spread / np.sqrt(number) + np.sqrt(rounding / number) + 1e-5 * np.abs(own).max()
    assert (np.abs(sample.mean(axis=0) - own.mean(axis=0)) < within).all()
    allowed = 6 * np.outer(spread, spread) * np.sqrt(2 / number) + rounding
    assert (np.abs(np.cov(sample.T, bias=True) - covariance) < allowed).all()


def test_a_client_without_a_trained_sample_sends_nothing():
  model = models.sasrec(dim=4, length=6, blocks=1, dropout=0.0, init_std=0.5)
  run, view, _ = one_round(dim=4, lengths=(0, 1, 2, 9), model=model, clients=4)
  uploads = first_uploads(run)
  senders = np.unique(np.asarray(uploads.client)[np.asarray(uploads.item) < view.num_items])
  assert sorted(np.asarray(view.clients)[senders].tolist()) == [2, 3]


def test_a_negative_that_is_also_drawn_becomes_one_row_of_the_client():
  run, view, _ = one_round(num_items=34, lengths=(2, 31, 3, 20), clients=4)
  uploads = first_uploads(run)
  assert bool(jnp.all(uploads.client[1:] >= uploads.client[:-1]))
  pairs = [
    (int(client), int(item), np.asarray(row, np.float64))
    for client, item, row in zip(*uploads[:3], strict=True)
    if item < view.num_items
  ]
  sums = {}
  for client, item, row in pairs:
    sums[client, item] = sums.get((client, item), 0.0) + row
  negatives = {
    (int(client), int(item))
    for client, items, valid in zip(
      view.samples.client, view.samples.negatives, view.samples.valid, strict=True
    )
    for item in items
    if valid
  }
  plain = run._replace(structure=run.structure._replace(pseudo_items=0))
  before = first_uploads(plain)
  own = {(int(c), int(i)) for c, i in zip(*before[:2], strict=True) if i < view.num_items}
  assert len(pairs) > len(sums) > len(own)
  hidden = [pair for pair in negatives if len([1 for c, i, _ in pairs if (c, i) == pair]) > 1]
  assert hidden
  merged = merge_rows(uploads, view.num_items)
  used = int(jnp.sum(merged.item < view.num_items))
  assert used == len(sums)
  for client, item, row in list(zip(*merged[:3], strict=True))[:used]:
    np.testing.assert_allclose(row, sums[int(client), int(item)], atol=1e-5)


# One model with shared parameters, one of histories and one without either: items are drawn behind the model.
@pytest.mark.parametrize("name", ["mf", "ncf", "sasrec"])
def test_rounds_with_pseudo_items_stay_finite_and_reach_more_items(name):
  options = {"length": 6, "blocks": 1} if name == "sasrec" else {}
  moved = []
  for count in (0, 6):
    run = make_run(
      uneven(2, (0, 1, 4, 33), 300),
      model=getattr(models, name)(dim=4, init_std=0.5, **options),
      defense=defenses.median(),
      train=TrainConfig(epochs=1, clients_per_round=4, pseudo_items=count, learning_rate=0.1),
    )
    after = final_state(run).server.public
    chex.assert_tree_all_finite(after)
    before = run.state.server.public.items
    moved.append(set(np.flatnonzero(np.any(after.items != before, axis=1)).tolist()))
  assert moved[0] < moved[1]
