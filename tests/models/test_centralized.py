"""All clients in one round with summed losses is one step of gradient descent on the pooled loss."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.config import TrainConfig
from tests.models.references import sasrec_users
from tests.models.rounds import uneven
from tests.support.lockstep import make_run, simulated

LENGTHS = (0, 1, 2, 31, 33, 65, 7, 7)
NUM_ITEMS = 40
FEATURES = np.random.default_rng(5).normal(scale=0.2, size=(NUM_ITEMS, 3)).astype(np.float32)


def network(users, rows, shared, products=0):
  """The logits of pairs `[n, d]`."""
  deep = users.shape[1] - products
  signal = jnp.concatenate([users[:, :deep], rows[:, : rows.shape[1] - products]], axis=1)
  for layer in (shared, shared["Dense_0"]):
    signal = jax.nn.relu(signal @ layer["kernel"] + layer["bias"])
  signal = jnp.concatenate([signal, users[:, deep:] * rows[:, rows.shape[1] - products :]], axis=1)
  return (signal @ shared["output"]["kernel"] + shared["output"]["bias"])[:, 0]


# All of these score the pooled data set's positives [n] and negatives [n], of users [n]; `counts`
# [N, M] tells how often who has what.


def mf(users, items, shared, user, positive, negative, counts):
  return tuple(jnp.sum(users[user] * items[item], axis=1) for item in (positive, negative))


def ncf(users, items, shared, user, positive, negative, counts):
  return tuple(network(users[user], items[item], shared) for item in (positive, negative))


def ncf_gmf(users, items, shared, user, positive, negative, counts):
  return tuple(network(users[user], items[item], shared, 4) for item in (positive, negative))


def lightgcn(users, items, shared, user, positive, negative, counts):
  root = jnp.sqrt(jnp.maximum(counts.sum(axis=1, keepdims=True), 1.0))
  final = users + counts @ items / root
  linked = items[positive] + (users / root)[user]
  return network(final[user], linked, shared), network(final[user], items[negative], shared)


def vncf(users, items, shared, user, positive, negative, counts):
  seen = jnp.concatenate([items, FEATURES @ shared.projection], axis=1)
  return tuple(network(users[user], seen[item], shared.tower) for item in (positive, negative))


def lightvgcn(users, items, shared, user, positive, negative, counts):
  root = jnp.sqrt(jnp.maximum(counts.sum(axis=1, keepdims=True), 1.0))
  visual = FEATURES @ shared.projection
  final = users + counts @ (items + visual) / root
  linked = jnp.concatenate([items[positive] + (users / root)[user], visual[positive]], axis=1)
  others = jnp.concatenate([items, visual], axis=1)[negative]
  return network(final[user], linked, shared.tower), network(final[user], others, shared.tower)


def fedgnn(users, items, shared, user, positive, negative, counts):
  own, values = users @ shared.kernel, items @ shared.kernel
  logits = (own @ shared.for_user)[:, None] + values @ shared.for_item
  weights = counts * jnp.exp(jnp.maximum(logits, 0.2 * logits))
  total = weights.sum(axis=1, keepdims=True)
  average = weights @ values / jnp.where(total > 0, total, 1.0)
  final = jax.nn.elu(own + average)
  return tuple(jnp.sum(final[user] * values[item], axis=1) for item in (positive, negative))


def sasrec(users, items, shared, user, positive, negative, counts):
  scores = []
  for length, start in zip(LENGTHS, np.cumsum((0, *LENGTHS)), strict=False):
    if length > 1:
      own, others = (ids[start : start + length] for ids in (positive, negative))
      vectors = sasrec_users(items[own[:-1]], shared, 1)
      scores.append([jnp.sum(vectors * items[ids[1:]], axis=1) for ids in (own, others)])
  return tuple(jnp.concatenate(part) for part in zip(*scores, strict=True))


MODELS = {
  "mf": (mf, models.mf(dim=4, init_std=0.5)),
  "ncf": (ncf, models.ncf(dim=4, hidden=(8, 8), init_std=0.5)),
  "ncf with products": (ncf_gmf, models.ncf(dim=4, hidden=(8, 8), gmf=True, init_std=0.5)),
  "lightgcn": (lightgcn, models.lightgcn(dim=4, hidden=(8, 8), init_std=0.5)),
  "vncf": (vncf, models.vncf(dim=4, hidden=(8, 8), init_std=0.5)),
  "lightvgcn": (lightvgcn, models.lightvgcn(dim=4, hidden=(8, 8), init_std=0.5)),
  "fedgnn": (fedgnn, models.fedgnn(dim=4, init_std=0.5)),
  "sasrec": (sasrec, models.sasrec(dim=4, length=64, blocks=1, dropout=0.0, init_std=0.5)),
}


# The losses see scores alone; a model of histories makes them elsewhere.
@pytest.mark.parametrize(("name", "loss"), [*((name, "bce") for name in MODELS), ("mf", "bpr"), ("sasrec", "bpr")])
def test_one_round_of_everybody_is_full_batch_gradient_descent(name, loss):
  scores_of, model = MODELS[name]
  rate = 0.005
  train = TrainConfig(
    epochs=2, clients_per_round=100, loss=loss, reduction="sum", learning_rate=rate
  )
  dataset = dataclasses.replace(uneven(3, LENGTHS, NUM_ITEMS), features=FEATURES)
  run = make_run(dataset, model=model, train=train)
  data = run.constants.data.training
  positive, negative = np.asarray(data.positive), np.asarray(data.negatives)[:, 0]
  user = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
  counts = np.zeros((len(LENGTHS), NUM_ITEMS), np.float32)
  np.add.at(counts, (user, positive), 1)

  def pooled(parameters):
    liked, others = scores_of(*parameters, user, positive, negative, counts)
    if loss == "bpr":
      return jnp.sum(jax.nn.softplus(others - liked))
    return jnp.sum(jax.nn.softplus(-liked)) + jnp.sum(jax.nn.softplus(others))

  public = run.state.server.public
  parameters = (run.state.private, public.items, public.shared)
  slope = jax.jit(jax.value_and_grad(pooled))
  for one in simulated(run):
    value, gradient = slope(parameters)
    assert one.loss == pytest.approx(float(value), rel=1e-5)
    parameters = jax.tree.map(lambda old, step: old - rate * step, parameters, gradient)
    public = one.after.server.public
    after = (one.after.private, public.items, public.shared)
    chex.assert_trees_all_close(after, parameters, rtol=1e-7, atol=3e-6)
  assert float(value) < float(slope((run.state.private, *run.state.server.public))[0])
