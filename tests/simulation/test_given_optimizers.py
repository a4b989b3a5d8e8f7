"""Optimisers of optax's that the caller brings along, and which of them UNION can try."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fedrecjax as frj
from fedrecjax import defenses
from fedrecjax.numerics.optimizers import as_direction, lazy
from fedrecjax.server.row_steps import steps_by_rows
from fedrecjax.types import Public
from tests.oracles import training
from tests.support.lockstep import as_summed, make_run, pairs_of, simulated

N, M, D = 12, 30, 4


def near_the_start(weight):
  """A transformation that remembers the parameters it began with, and is drawn back to them."""

  def update(updates, state, params):
    return jax.tree.map(lambda one, was, now: one + weight * (was - now), updates, state, params), state

  return optax.GradientTransformation(lambda params: params, update)


def test_what_they_make_is_added_times_the_step_sizes(small):
  server = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.1, weight_decay=0.3))
  client = optax.chain(optax.sgd(0.5, momentum=0.9), near_the_start(0.2))
  train = frj.TrainConfig(epochs=2, clients_per_round=5, learning_rate=0.5, client_learning_rate=0.8)
  run = make_run(small, train=train, server_optimizer=server, client_optimizer=client)
  users, table = run.state.private, run.state.server.public.items
  server_state, states = server.init(table), [client.init(user) for user in users]
  for number, one in enumerate(simulated(run, 4)):
    positives, negatives = pairs_of(run, number)
    uploads = []
    for place in (int(place) for place in one.inputs.clients if place < N):
      _, slope, rows = training.client_gradients(
        np.asarray(users[place], float), np.asarray(table, float), positives[place], negatives[place],
        loss="bce", reduction="mean", duplicates="sum",
      )
      uploads += [(place, item, row) for item, row in rows.items()]
      change, states[place] = client.update(jnp.asarray(slope, jnp.float32), states[place], users[place])
      users = users.at[place].add(0.8 * change)
    dense = np.zeros((M, D), np.float32)
    for item, row in as_summed(uploads).items():
      dense[item] = row
    change, server_state = server.update(jnp.asarray(dense), server_state, table)
    table = table + 0.5 * change
    np.testing.assert_allclose(one.after.server.public.items, table, atol=2e-5, err_msg=f"{number}")
    np.testing.assert_allclose(one.after.private, users, atol=2e-5, err_msg=f"{number}")


def test_the_same_object_does_not_recompile(small):
  # States that begin as the parameters: a round takes the memory of both over.
  server, client = optax.chain(optax.adamw(1e-2), near_the_start(0.1)), near_the_start(0.3)
  options = {
    "model": frj.mf(dim=4, init_std=0.7),
    "train": frj.TrainConfig(epochs=1, clients_per_round=5, learning_rate=1.0),
    "evaluation": frj.EvalConfig(ks=(1,)),
  }
  first = frj.simulate(small, server_optimizer=server, client_optimizer=client, **options)
  again = frj.simulate(small, server_optimizer=server, client_optimizer=client, **options)
  assert first.compile_s > 0 and again.compile_s == 0
  for one, other in zip(jax.tree.leaves(first.state), jax.tree.leaves(again.state), strict=True):
    np.testing.assert_array_equal(one, other)



BY_ROWS = {
  "adamw": optax.adamw(1e-2, weight_decay=0.1),
  "clipped numbers": optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9, nesterov=True)),
  "schedule": optax.adagrad(optax.exponential_decay(0.1, 10, 0.9)),
  "amsgrad": optax.amsgrad(0.1),
  "lion": optax.lion(0.1),
  "lazy": lazy(optax.adamw(1e-2)),
  "rows' own means": optax.chain(optax.centralize(), optax.sgd(0.1)),
  "masked": optax.masked(optax.trace(0.9), lambda tree: jax.tree.map(lambda _: True, tree)),
}
TOGETHER = {
  "global norm": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
  "generous global norm": optax.clip_by_global_norm(1e4),
  "lars": optax.lars(0.1),
  "lamb": optax.lamb(0.1),
  "adafactor": optax.adafactor(0.1),
  "noise": optax.add_noise(0.1, 0.5, key=0),
  "means over items": optax.stateless(
    lambda updates, _: jax.tree.map(lambda one: one - one.mean(axis=0), updates)
  ),
}
PUBLIC = Public(jnp.ones((M, D)), {"weight": jnp.ones((2, 5))})


@pytest.mark.parametrize("name", BY_ROWS)
def test_optimizers_that_work_by_rows(name):
  assert steps_by_rows(as_direction(BY_ROWS[name]), PUBLIC)


@pytest.mark.parametrize("name", TOGETHER)
def test_optimizers_that_do_not(name):
  assert not steps_by_rows(as_direction(TOGETHER[name]), PUBLIC)


REFUSED = r"^server_optimizer must move each item's row by itself .* where UNION tries its step[^\n]*$"


def test_union_refuses_what_it_cannot_try(small):
  defense = defenses.chain(defenses.norm_bound(max_norm=1.0), defenses.union(num_contrastive=2))
  with pytest.raises(frj.ConfigError, match=REFUSED):
    make_run(small, defense=defense, server_optimizer=TOGETHER["global norm"])
  # One that knows how many items there are fails on fewer.
  rates = optax.stateless(lambda updates, _: updates._replace(items=jnp.ones((M, 1)) * updates.items))
  with pytest.raises(frj.ConfigError, match=REFUSED):
    make_run(small, defense=defense, server_optimizer=rates)
  make_run(small, defense=defenses.union(num_contrastive=2, trial="plain"), server_optimizer=rates)
  run = make_run(small, defense=defense, server_optimizer=BY_ROWS["adamw"])
  assert run.structure.server_optimizer == as_direction(BY_ROWS["adamw"])
  make_run(small, server_optimizer=TOGETHER["global norm"])


@pytest.mark.parametrize(
  ("train", "given", "message"),
  [
    (
      {"server_optimizer": "adam"},
      {"server_optimizer": optax.sgd(1.0)},
      r"^train\.server_optimizer must be sgd, the default, where server_optimizer is given",
    ),
    (
      {"client_optimizer": "adam_table"},
      {"client_optimizer": optax.sgd(1.0)},
      r"^train\.client_optimizer must be sgd, the default, where client_optimizer is given",
    ),
    ({}, {"server_optimizer": "adam"}, r"^server_optimizer must be an optax\.Grad.*'adam'$"),
    ({}, {"client_optimizer": optax.adam}, r"^client_optimizer must be an optax\.Grad"),
    (
      {"local_steps": 2},
      {"client_optimizer": optax.sgd(1.0)},
      r"^client_optimizer must be None where train\.local_steps is above 1",
    ),
  ],
)
def test_an_optimizer_is_named_or_given(small, train, given, message):
  with pytest.raises(frj.ConfigError, match=message):
    frj.simulate(small, model=frj.mf(dim=4), train=frj.TrainConfig(**train), **given)
