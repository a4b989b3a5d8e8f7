"""What users are ranked by: their vectors and scores in evaluation against the references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.config import TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.evaluation import evaluate, masked_pairs, user_vectors
from tests.models import references
from tests.models.clients import network_of
from tests.models.rounds import as_doubles
from tests.oracles import models_lightgcn, models_ncf
from tests.support.lockstep import make_run

NUM_ITEMS = 25
LENGTH = 4
# Shorter than the history, as long, longer; nobody's; one with a repeat.
TRAIN = [[3, 7], [], [1, 2, 4, 8], [9, 5, 9, 0, 6, 11, 2], [12], [10, 13, 14, 15, 1]]
TEST = [[4], [6], [0], [1], [20], [24]]
OPTIONS = {
  "ncf": {"hidden": (6, 5)},
  "lightgcn": {"hidden": (6, 5), "layers": 2, "combine": "mean"},
  "fedgnn": {},
  "sasrec": {"length": LENGTH, "blocks": 2, "heads": 2, "dropout": 0.5},
}


def planned(name, test=TEST, validation=None):
  dataset = Dataset(
    "few", len(TRAIN), NUM_ITEMS, ItemLists.from_lists(TRAIN), ItemLists.from_lists(test),
    *(() if validation is None else (ItemLists.from_lists(validation),)),
  )  # fmt: skip
  model = getattr(models, name)(dim=4, init_std=0.7, **OPTIONS[name])
  return model, make_run(dataset, model=model, train=TrainConfig(epochs=1, clients_per_round=6))


def scores_of(model, run, neighbors=None):
  """Logits `[N, M]` as evaluation makes them, of its only chunk in the order of users."""
  data, public = run.constants.data.evaluation, run.state.server.public
  user = data.user[0]
  vectors = user_vectors(
    model, public, run.state.private[user],
    *masked_pairs(data.masked, data.masked.start[0], data.masked.length[0], len(user)),
    None if data.history is None else data.history[0], neighbors,
  )  # fmt: skip
  scores = jax.vmap(model.score, in_axes=(None, 0, None))(public, vectors, None)
  return np.asarray(scores)[np.argsort(user)]


def expected_scores(name, run):
  """The same by the references, from training items alone."""
  table, shared = as_doubles(run.state.server.public)
  result = []
  for user, items in enumerate(TRAIN):
    own = np.asarray(run.state.private[user], float)
    items = np.array(items, int)
    if name == "ncf":
      result.append([models_ncf.score(own, row, network_of(shared)) for row in table])
    if name == "lightgcn":
      result.append(
        models_lightgcn.score_candidates(
          own, table, network_of(shared), items, layers=2, combine="mean"
        )
      )
    if name == "fedgnn":
      vector = references.fedgnn_user(own, table[items], np.zeros((0, 4)), shared)
      result.append(table @ shared.kernel @ np.asarray(vector))
    if name == "sasrec":
      if len(items) == 0:
        result.append(np.full(NUM_ITEMS, np.nan))
        continue
      vectors = references.sasrec_users(jnp.asarray(table[items[-LENGTH:]]), shared, 2)
      result.append(table @ np.asarray(vectors[-1]))
  return np.array(result)


@pytest.mark.parametrize("name", OPTIONS)
def test_scores_are_those_of_the_reference(name):
  model, run = planned(name)
  found, expected = scores_of(model, run), expected_scores(name, run)
  assert found.shape == (len(TRAIN), NUM_ITEMS) and np.isfinite(found).all()
  known = np.isfinite(expected).all(axis=1)
  assert known.sum() == len(TRAIN) - (name == "sasrec")
  np.testing.assert_allclose(found[known], expected[known], atol=1e-4)
  assert np.std(found[known], axis=1).min() > 1e-4


@pytest.mark.parametrize("name", OPTIONS)
def test_held_out_items_are_never_seen(name):
  # Neither test items nor items set aside for validation reach what a user is ranked by.
  model, run = planned(name)
  other_model, other = planned(
    name,
    test=[[(item + 2) % NUM_ITEMS] for (item,) in TEST],
    validation=[[17], [], [18], [], [3], []],
  )
  before, after = scores_of(model, run), scores_of(other_model, other)
  np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_history_is_the_latest_training_items_in_order():
  _, run = planned("sasrec")
  data = run.constants.data.evaluation
  for user, history in zip(np.asarray(data.user[0]), np.asarray(data.history[0]), strict=True):
    items = TRAIN[user][-LENGTH:]
    assert history.tolist() == [NUM_ITEMS] * (LENGTH - len(items)) + items


def test_the_order_of_a_history_matters_to_sasrec_alone():
  items = jnp.array([[3, 7, 1, 2], [7, 3, 1, 2]])
  for name in ("sasrec", "fedgnn"):
    model, run = planned(name)
    own = run.state.private[jnp.zeros(2, int)]
    pairs = jnp.repeat(jnp.arange(2), 4), items.reshape(-1), jnp.ones(8, bool)
    vectors = user_vectors(model, run.state.server.public, own, *pairs, items)
    assert bool(jnp.allclose(vectors[0], vectors[1], atol=1e-5)) == (name == "fedgnn")


def test_neighbors_are_attended_like_items():
  model, run = planned("fedgnn")
  random = np.random.default_rng(0)
  vectors, used = random.normal(size=(6, 3, 4)), random.random((6, 3)) < 0.5
  order = np.asarray(run.constants.data.evaluation.user[0])
  given = jnp.asarray(vectors[order], jnp.float32), jnp.asarray(used[order])
  found = scores_of(model, run, given)
  table, shared = as_doubles(run.state.server.public)
  for user, items in enumerate(TRAIN):
    own = np.asarray(run.state.private[user], float)
    vector = references.fedgnn_user(
      own, table[np.array(items, int)], vectors[user][used[user]], shared
    )
    np.testing.assert_allclose(found[user], table @ shared.kernel @ np.asarray(vector), atol=1e-4)


@pytest.mark.parametrize("name", ["fedgnn", "sasrec"])
def test_ranks_follow_from_those_scores(name):
  model, run = planned(name)
  public, private, data = run.state.server.public, run.state.private, run.constants.data
  measure = jax.jit(evaluate, static_argnames=("model", "config", "num_users"))
  _, values = measure(
    model, public, private, data.evaluation, jax.random.key(0),
    config=run.evaluation, num_users=len(TRAIN),
  )  # fmt: skip
  expected = expected_scores(name, run)
  for user, ((held_out,), items) in enumerate(zip(TEST, TRAIN, strict=True)):
    if np.isnan(expected[user]).any():
      continue
    candidates = np.setdiff1d(np.arange(NUM_ITEMS), items)
    above = int((expected[user][candidates] > expected[user][held_out]).sum())
    assert np.asarray(values)[user, :3].tolist() == [float(above < k) for k in run.evaluation.ks]
