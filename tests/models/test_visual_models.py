"""Models that see images: rounds against a loop over clients, scores by hand, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses, models
from fedrecjax.attacks.targeted.invented_clients import user_of_items
from fedrecjax.config import ConfigError, TrainConfig
from fedrecjax.datasets import DataError, ItemLists
from fedrecjax.models.visual_rows import VisualParameters
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Public, beside_features
from tests.models import clients
from tests.models.rounds import RULES, assert_rounds_match, locally, uneven
from tests.oracles import visual_models
from tests.support.lockstep import make_run

LENGTHS = (0, 1, 2, 33, 3, 7, 2)
NUM_ITEMS, F = 20, 3
SIZES = {"dim": 2, "hidden": (4, 3), "init_std": 0.5}


def seen(lengths=LENGTHS, num_features=F):
  """The uneven set with features; items 4 and 7 have no image."""
  dataset = uneven(lengths=lengths, num_items=NUM_ITEMS)
  features = np.random.default_rng(3).normal(size=(NUM_ITEMS, num_features)).astype(np.float32)
  features[[4, 7]] = 0.0
  return dataclasses.replace(dataset, features=features)


def run_of(name, dataset, *, defense=None, **train):
  settings = TrainConfig(
    **{"epochs": 1, "clients_per_round": 4, "client_learning_rate": 0.05, "learning_rate": 0.2} | train
  )
  model = getattr(models, name)(**SIZES)
  run = make_run(dataset, model=model, defense=defense or defenses.none(), train=settings, seed=1)
  # Without biases a unit whose inputs are all zero sits in the kink of its rectifier.
  server = run.state.server
  tower = jax.tree.map(lambda leaf: leaf + 0.1, server.public.shared.tower)
  public = server.public._replace(shared=server.public.shared._replace(tower=tower))
  return run._replace(state=run.state._replace(server=server._replace(public=public)))


@pytest.mark.parametrize("name", ["vncf", "lightvgcn"])
@pytest.mark.parametrize(
  ("defense", "reduction", "negatives"), [("sum", "mean", 1), ("samples", "mean", 2), ("median", "sum", 1)]
)
def test_rounds_match(name, defense, reduction, negatives):
  dataset = seen()
  rules = {
    "sum": defenses.none(),
    "samples": defenses.none(scale="mean", weights="samples"),
    "median": defenses.median(),
  }
  run = run_of(
    name, dataset, defense=rules[defense], reduction=reduction, num_negatives=negatives,
    learning_rate=0.2 if reduction == "mean" else 0.02,
  )  # fmt: skip
  # Plain sums go through the projected table, other rules through every sample's own features.
  assert run.structure.own_shared == (defense != "sum")
  client = clients.visual(name, dataset.features.astype(float), reduction=reduction)
  assert_rounds_match(run, client, RULES[defense])


@pytest.mark.parametrize("name", ["vncf", "lightvgcn"])
def test_several_local_steps_match(name):
  dataset = seen(lengths=(0, 1, 3, 5))
  run = run_of(name, dataset, local_steps=3, client_learning_rate=0.1)
  client = locally(clients.visual(name, dataset.features.astype(float), reduction="mean"), 3, 0.1)
  assert_rounds_match(run, client)


def test_scores_by_hand():
  # One hidden unit of each kind: the logit is relu(u1 + v1 + 2 e1) - relu(u2 + v2 + e2).
  kernel = np.zeros((6, 2), np.float32)
  kernel[[0, 2, 4], 0] = 1.0, 1.0, 2.0
  kernel[[1, 3, 5], 1] = 1.0
  tower = {
    "kernel": jnp.asarray(kernel), "bias": jnp.zeros(2),
    "output": {"kernel": jnp.array([[1.0], [-1.0]]), "bias": jnp.zeros(1)},
  }  # fmt: skip
  shared = VisualParameters(jnp.array([[1.0, 0.0], [1.0, 1.0]]), tower)
  items = jnp.array([[1.0, 0.5], [0.0, 2.0], [3.0, 1.0]])
  features = jnp.array([[1.0, 1.0], [0.0, 0.0], [0.0, 2.0]])  # visual vectors (2, 1), (0, 0), (2, 2)
  public = beside_features(Public(items, shared), features)
  vncf = models.vncf(dim=2, hidden=(2,), num_features=2)
  user = jnp.array([1.0, -1.0])
  # (1 + 1 + 4) - (-1 + .5 + 1); (1 + 0) - (-1 + 2); (1 + 3 + 4) - (-1 + 1 + 2)
  assert vncf.score(public, user, None).tolist() == [5.5, 0.0, 6.0]
  assert vncf.score(public, user, jnp.array([2])).tolist() == [6.0]
  light = models.lightvgcn(dim=2, hidden=(2,), num_features=2)
  vector = user_of_items(light, user, public.items[:1], shared)
  # The user gains v + e of its one item, (3, 1.5), and the item gains the user's own vector.
  assert vector.tolist() == [4.0, 0.5, 1.0, -1.0]
  assert light.score(public, vector, jnp.array([1])).tolist() == [4.0 - 2.5]
  assert float(light.score_own(vector, public.items[0], shared)) == (4 + 2 + 4) - (0.5 - 0.5 + 1)


@pytest.mark.parametrize("name", ["vncf", "lightvgcn"])
def test_projected_rows_score_alike(name):
  model = getattr(models, name)(**SIZES, num_features=F)
  public = model.init_public(jax.random.key(0), NUM_ITEMS)
  wide = beside_features(public, jnp.asarray(seen().features))
  rows, shared = model.project(*wide)
  assert rows.shape == (NUM_ITEMS, 2 * SIZES["dim"])
  user = jax.random.normal(jax.random.key(1), (2 * SIZES["dim"] if name == "lightvgcn" else SIZES["dim"],))
  for score in (model.score_row, model.score_own or model.score_row):
    expected = jax.vmap(score, in_axes=(None, 0, None))(user, wide.items, wide.shared)
    found = jax.vmap(score, in_axes=(None, 0, None))(user, rows, shared)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_candidates_score_as_in_the_oracle():
  dataset = seen()
  model = models.lightvgcn(**SIZES, num_features=F)
  public = model.init_public(jax.random.key(0), NUM_ITEMS)
  wide = beside_features(public, jnp.asarray(dataset.features))
  user, held = np.array([0.3, -0.7]), [2, 5, 5]
  found = model.score(wide, user_of_items(model, jnp.asarray(user), wide.items[jnp.array(held)], wide.shared), None)
  table, shared = (jax.tree.map(lambda leaf: np.asarray(leaf, float), part) for part in public)
  network = clients.network_of(shared.tower)
  layers = [*network.hidden, (network.output[:, None], np.array([network.bias]))]
  visuals = dataset.features @ shared.projection
  final, _ = visual_models.lightvgcn_vectors(user, table[held], visuals[held])
  expected = [visual_models.vncf_logit(layers, final, *pair) for pair in zip(table, visuals, strict=True)]
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_features_decide_what_is_recommended():
  # Everybody likes the items whose one feature is 1; the held-out ones are of that kind too.
  random = np.random.default_rng(0)
  dataset = uneven(lengths=(6,) * 30, num_items=40)
  liked = np.arange(40) < 20
  lists = [random.choice(20, 7, replace=False) for _ in range(30)]
  train, test = (ItemLists.from_lists([one[part] for one in lists]) for part in (slice(6), slice(6, 7)))
  dataset = dataclasses.replace(
    dataset, train=train, test=test, features=np.where(liked, 1.0, -1.0)[:, None].astype(np.float32)
  )
  settings = TrainConfig(epochs=60, clients_per_round=30, learning_rate=0.02, server_optimizer="adam")
  result = simulate(dataset, model=models.vncf(dim=2, hidden=(4,)), train=settings)
  # 14 items of the liked kind are left for each user, so that one of 10 is hit by 10 / 14 at least.
  assert result.metrics["hr@20"][-1] > 0.95


@pytest.mark.parametrize("name", ["vncf", "lightvgcn"])
def test_images_are_needed(name):
  with pytest.raises(ConfigError, match=f"model {name} sees images, and uneven has no visual features of its items"):
    run_of(name, uneven(lengths=LENGTHS, num_items=NUM_ITEMS))


def test_a_declared_number_of_features_must_be_right():
  with pytest.raises(ConfigError, match=r"vncf\.num_features must be 0 or the 3 of the images' features, got 5"):
    make_run(seen(), model=models.vncf(num_features=5))
  run = make_run(seen(), model=models.vncf(num_features=3))
  assert run.state.server.public.shared.projection.shape == (3, 32)


@pytest.mark.parametrize(
  ("features", "message"),
  [
    (np.zeros((5, 2)), r"uneven: features have shape \(5, 2\), expected \(20, F\)"),
    (np.zeros(20), r"uneven: features have shape \(20,\), expected \(20, F\)"),
    (np.full((20, 2), np.nan), "uneven: features must be finite numbers"),
  ],
)
def test_impossible_features_are_named(features, message):
  with pytest.raises(DataError, match=message):
    dataclasses.replace(uneven(lengths=LENGTHS, num_items=NUM_ITEMS), features=features)
