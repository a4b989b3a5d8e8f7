"""Several local steps against a loop over clients; one step against the gradient."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses, models
from fedrecjax.clients.local_steps import row_slots, train_clients_locally
from fedrecjax.clients.local_training import LocalSettings, train_clients
from fedrecjax.clients.losses import bce
from fedrecjax.clients.tiles import tiles_of
from fedrecjax.config import TrainConfig
from fedrecjax.simulation.round_clients import client_view
from fedrecjax.uploads.rows import merge_rows
from tests.models import clients
from tests.models.rounds import RULES, assert_rounds_match, first_uploads, locally, uneven
from tests.support.lockstep import make_run, round_input

RATE = 0.1


@pytest.mark.parametrize(
  ("name", "options", "defense", "negatives", "loss"),
  [
    ("mf", {}, "sum", 3, "bce"),
    ("mf", {}, "median", 1, "bpr"),
    ("ncf", {"hidden": (8, 8)}, "sum", 1, "bce"),
    ("ncf", {"hidden": (8, 8)}, "samples", 1, "bpr"),
    ("lightgcn", {"hidden": (6, 5)}, "sum", 1, "bce"),
    ("fedgnn", {}, "sum", 1, "bce"),
  ],
)
def test_three_steps_are_those_of_a_loop_over_clients(name, options, defense, negatives, loss):
  settings = TrainConfig(
    epochs=1,
    clients_per_round=6,
    learning_rate=0.5,
    client_learning_rate=RATE,
    num_negatives=negatives,
    loss=loss,
    local_steps=3,
  )
  rules = {
    "sum": defenses.none(),
    "median": defenses.median(),
    "samples": defenses.none(scale="mean", weights="samples"),
  }
  run = make_run(
    uneven(4, (0, 1, 2, 32, 33, 3, 7)),
    model=getattr(models, name)(dim=4, init_std=0.5, **options),
    defense=rules[defense],
    train=settings,
  )
  assert run.structure.own_shared == (name != "mf")
  graph = {"layers": 1, "combine": "sum"} if name == "lightgcn" else {}
  client = getattr(clients, name)(loss=loss, reduction="mean", **graph)
  assert_rounds_match(run, locally(client, 3, RATE), RULES[defense])


@pytest.mark.parametrize("name", ["mf", "ncf", "lightgcn", "fedgnn"])
@pytest.mark.parametrize(("rate", "l2_rows"), [(0.05, "copies"), (2.0, "copies"), (0.5, "uploaded")])
def test_one_step_uploads_the_gradient_whatever_the_step_size(name, rate, l2_rows):
  run = make_run(
    uneven(4, (0, 1, 2, 32, 33)),
    model=getattr(models, name)(dim=4, init_std=0.5),
    defense=defenses.median(),
    train=TrainConfig(epochs=1, clients_per_round=6),
  )
  view = client_view(run.structure, run.constants, run.state, round_input(run, 0))
  samples, everybody = view.samples, jnp.ones(view.clients.shape, bool)
  settings = LocalSettings(mean=True, l2=jnp.full(view.clients.shape, 0.1), l2_rows=l2_rows, dropout=None)
  tiles = None
  if run.structure.own_shared:
    tiles = tiles_of(samples.length, samples.client, samples.first, run.structure.num_tiles)
  model = run.constants.parts.model
  rates = rate * jnp.linspace(0.5, 1.0, view.clients.shape[0])

  @jax.jit
  def both(rates):
    plain = train_clients(model, bce(), None, (), view, everybody, settings, tiles)
    return plain, train_clients_locally(model, bce(), (), view, settings, tiles, rates, steps=1)

  plain, stepped = both(rates)
  close = {"atol": 2e-5}
  np.testing.assert_allclose(stepped.private, plain.private, **close)
  np.testing.assert_allclose(stepped.loss, plain.loss, rtol=1e-5)
  ours, theirs = (merge_rows(one.uploads, view.num_items) for one in (stepped, plain))
  if l2_rows == "uploaded":  # a single step leaves it to the round, which merges rows first
    penalty = 0.1 * view.public.items.at[theirs.item].get(mode="clip")
    theirs = theirs._replace(row=theirs.row + penalty)
  used = int(jnp.sum(theirs.item < view.num_items))
  assert used == int(jnp.sum(ours.item < view.num_items)) > 0
  np.testing.assert_array_equal(ours.item[:used], theirs.item[:used])
  np.testing.assert_array_equal(ours.client[:used], theirs.client[:used])
  np.testing.assert_allclose(ours.row[:used], theirs.row[:used], **close)
  chex.assert_trees_all_close(ours.shared, theirs.shared, rtol=1e-7, **close)
  if name != "mf":
    assert ours.sent.tolist() == theirs.sent.tolist() == (samples.length > 0).tolist()


@pytest.mark.parametrize("rate", [1e-1, 1e-5, 1e-8])
def test_small_step_sizes_lose_no_digits(rate):
  """At a vanishing step size two steps upload twice the gradient, however little vectors move."""
  run = make_run(
    uneven(4, (0, 1, 2, 32, 33)),
    model=models.mf(dim=4, init_std=0.5),
    train=TrainConfig(epochs=1, clients_per_round=6),
  )
  view = client_view(run.structure, run.constants, run.state, round_input(run, 0))
  settings = LocalSettings(mean=True, l2=None, l2_rows="none", dropout=None)
  model, rates = run.constants.parts.model, jnp.full(view.clients.shape, rate)
  plain = train_clients(model, bce(), None, (), view, jnp.ones(view.clients.shape, bool), settings, None)
  twice = train_clients_locally(model, bce(), (), view, settings, None, rates, steps=2)
  ours, theirs = (merge_rows(one.uploads, view.num_items) for one in (twice, plain))
  atol = 2 * rate + 1e-6
  used = int(jnp.sum(theirs.item < view.num_items))
  np.testing.assert_allclose(ours.row[:used], 2 * theirs.row[:used], atol=atol)
  np.testing.assert_allclose(twice.private, 2 * plain.private, atol=atol)
  assert float(jnp.abs(theirs.row[:used]).max()) > 0.01


@pytest.mark.parametrize("name", ["mf", "sasrec"])
def test_slots_are_one_for_each_client_and_item_that_it_uploads(name):
  model = models.mf(dim=4) if name == "mf" else models.sasrec(dim=4, length=6, dropout=0.0)
  run = make_run(
    uneven(4, (0, 1, 2, 32, 33)),
    model=model,
    train=TrainConfig(epochs=1, clients_per_round=8, num_negatives=2),
  )
  view = client_view(run.structure, run.constants, run.state, round_input(run, 0))
  slots, client, item = (np.asarray(one) for one in row_slots(view.samples, view.num_items))
  uploaded = np.asarray(view.samples.uploaded)
  places, columns = np.nonzero(uploaded < view.num_items)
  of_sample = np.asarray(view.samples.client)
  expected = {(of_sample[p], uploaded[p, c]) for p, c in zip(places, columns, strict=True)}
  used = item < view.num_items
  assert not used[used.sum() :].any()
  found = list(zip(client[used], item[used], strict=True))
  assert len(set(found)) == len(found) and set(found) == expected
  for place, column in zip(places, columns, strict=True):
    slot = slots[place, column]
    assert (client[slot], item[slot]) == (of_sample[place], uploaded[place, column])


@pytest.mark.parametrize("steps", [1, 3])
def test_a_history_model_uploads_the_same_items_however_many_steps_it_takes(steps):
  settings = TrainConfig(epochs=1, clients_per_round=8, num_negatives=2, local_steps=steps, l2=0.1,
                         l2_rows="copies")  # fmt: skip
  run = make_run(
    uneven(4, (0, 1, 2, 5, 9)),
    model=models.sasrec(dim=4, length=6, blocks=1, dropout=0.0, init_std=0.5),
    train=settings,
  )
  view = client_view(run.structure, run.constants, run.state, round_input(run, 0))
  merged = merge_rows(first_uploads(run), view.num_items)
  found = {
    (int(client), int(item))
    for client, item in zip(merged.client, merged.item, strict=True)
    if item < view.num_items
  }
  uploaded = np.asarray(view.samples.uploaded)
  of_sample = np.asarray(view.samples.client)
  places, columns = np.nonzero(uploaded < view.num_items)
  assert found == {
    (int(of_sample[p]), int(uploaded[p, c])) for p, c in zip(places, columns, strict=True)
  }
  lengths = np.asarray(view.samples.length)
  assert not any(lengths[client] < 2 for client, _ in found)
