"""FedRecAttack against its oracle, part by part and as a whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks.targeted import best_items, exposure_loss
from fedrecjax.attacks.targeted.best_items import Best
from fedrecjax.attacks.targeted.exposure_loss import exposure_gradient, reference_items
from fedrecjax.attacks.targeted.user_approximation import (
  Approximation,
  adam_pass,
  init_approximation,
  members,
  public_lists,
  refresh,
  shuffled_batches,
)
from fedrecjax.models import mf, ncf
from tests.attacks.targeted.fedrecattack import KNOWN, LISTS, PUBLIC, as_public
from tests.attacks.targeted.test_fedrecattack_uploads import D, M, table_of
from tests.oracles import fedrecattack as oracle
from tests.oracles import interaction
from tests.oracles.adam import Adam
from tests.oracles.logistic import sigmoid
from tests.support.parameters import layers_of, random_public


def test_users_without_public_items_are_left_out():
  lists = public_lists(LISTS, 2)
  assert lists.length.tolist() == [2, 1, 13, 3, 1]
  assert lists.item.tolist() == [item for items in PUBLIC for item in items]
  # Two users have sixteen public items at most.
  assert lists.room.shape == (16, 0)
  held = members(lists, jnp.array([3, 5]))
  assert int(held.valid.sum()) == 3
  assert lists.item[held.entry][:3].tolist() == [2, 5, 9] and held.member[:3].tolist() == [0, 0, 0]



def test_batches_hold_everybody_once():
  batches = np.asarray(shuffled_batches(jax.random.key(0), 10, 4))
  assert batches.shape == (3, 4) and (batches.reshape(-1)[10:] == 10).all()
  assert sorted(batches.reshape(-1)[:10].tolist()) == list(range(10))
  assert batches.tolist() != np.asarray(shuffled_batches(jax.random.key(1), 10, 4)).tolist()



@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_passes_of_adam(batch, q):
  random = np.random.default_rng(batch)
  lists = public_lists(LISTS, batch)
  users, count = random.normal(size=(len(KNOWN), D)), len(lists.item)
  zeros = jnp.zeros(users.shape)
  state = Approximation(jnp.asarray(users, jnp.float32), jnp.int32(0), zeros, zeros)
  adam = Adam(users.shape)
  for number in range(3):
    table = table_of(number)
    negatives = random.integers(0, M, (count, q))
    batches = np.asarray(shuffled_batches(jax.random.key(number), len(KNOWN), batch))
    public = as_public(table)
    arguments = (lists, mf(dim=D), public, jnp.asarray(batches), jnp.asarray(negatives), 0.05)
    state = adam_pass(state, *arguments)
    grouped = np.split(negatives, np.cumsum([len(items) for items in KNOWN])[:-1])
    members_of = [[one for one in users if one < len(KNOWN)] for users in batches.tolist()]
    users = oracle.approximate(
      users, adam, table, KNOWN, members_of, [group.tolist() for group in grouped], 0.05
    )
    np.testing.assert_allclose(state.users, users, atol=2e-5)
  assert int(state.steps) == adam.step_number == 3 * len(batches)



def test_the_loss_of_users_on_a_network():
  # No pass of its own: the loss is shared with the dot product, only the score differs.
  model, random = ncf(dim=D, hidden=(5, 4)), np.random.default_rng(4)
  public = random_public(model, M, random)
  lists, users = public_lists(LISTS, 5), random.normal(size=(5, D))
  negatives = random.integers(0, M, (len(lists.item), 1))
  start = Approximation(jnp.asarray(users, jnp.float32), jnp.int32(0), *jnp.zeros((2, 5, D)))
  batch = jnp.arange(5)[None]
  moved = adam_pass(start, lists, model, public, batch, jnp.asarray(negatives), 1.0)
  layers, table = layers_of(public.shared), np.asarray(public.items, float)
  owner = np.asarray(lists.user)
  for user in range(5):
    slope = np.zeros(D)
    for item, negative in zip(np.asarray(lists.item)[owner == user], negatives[owner == user, 0]):
      pair = (table[item], table[negative])
      liked, other = (interaction.logit(users[user], row, layers) for row in pair)
      towards, away = (interaction.logit_gradients(users[user], row, layers).user for row in pair)
      slope += (sigmoid(liked - other) - 1) * (towards - away)
    # The first moment after one step is a tenth of the gradient.
    np.testing.assert_allclose(moved.first[user], 0.1 * slope, atol=1e-5)



@functools.partial(jax.jit, static_argnames=("passes", "batch"))
def refreshed(state, lists, table, key, passes=1, batch=5):
  return refresh(
    state, lists, mf(dim=1), as_public(table), key,
    learning_rate=0.1, passes=passes, batch=batch, num_negatives=1,
  )



def test_negatives_are_not_public():
  # Items are worth 1 if public for the third user, which has all but two, and others nothing: a
  # term with a public item for its negative would have no gradient.
  lists, table = public_lists(LISTS, 5), np.zeros((M, 1))
  table[KNOWN[2]] = 1.0
  still = init_approximation(jax.random.key(0), 5, 1, 0.01)._replace(users=jnp.zeros((5, 1)))
  for seed in range(5):
    after = refreshed(still, lists, table, jax.random.key(seed))
    assert float(after.first[2, 0]) == pytest.approx(-0.1 * 13 / 2, rel=1e-5)



def test_negatives_are_drawn_anew():
  lists, state = public_lists(LISTS, 5), init_approximation(jax.random.key(0), 5, 1, 0.01)
  moments = [
    float(refreshed(state, lists, table_of(0)[:, :1], jax.random.key(seed)).first[0, 0])
    for seed in range(5)
  ]
  assert len(set(moments)) > 3



def test_passes_are_counted():
  lists = public_lists(LISTS, 2)
  for passes in (1, 4):
    state = init_approximation(jax.random.key(0), 5, 1, 0.5)
    after = refreshed(state, lists, table_of(0)[:, :1], jax.random.key(0), passes=passes, batch=2)
    assert int(after.steps) == 3 * passes



@pytest.mark.parametrize("reading", ["list", "others"])
@pytest.mark.parametrize("targets", [[3], [14, 0, 5], list(range(8))], ids=str)
@pytest.mark.parametrize("length", [1, 4, 7])
def test_references(targets, length, reading):
  random = np.random.default_rng(length)
  found_some = 0
  find = jax.jit(reference_items, static_argnums=3)
  for case in range(40):
    # Small integers, so that many scores are equal.
    scores = random.integers(0, 6, M) if case % 2 else random.normal(size=M)
    public = random.choice(M, random.integers(0, M - 1), replace=False)
    masked = np.array(scores, float)
    masked[public] = -np.inf
    eligible = ~np.isin(targets, public)
    if reading == "others":
      masked[targets] = -np.inf
    best = Best(*jax.lax.top_k(jnp.asarray(masked, jnp.float32), length))
    items, pulled = find(best, jnp.asarray(eligible), jnp.array(targets), reading)
    expected = oracle.references(scores, public.tolist(), targets, length, reading)
    found = {
      target: int(item)
      for target, item, one in zip(targets, np.asarray(items), np.asarray(pulled), strict=True)
      if one
    }
    assert found == expected
    found_some += len(found)
  assert found_some > 0



@pytest.mark.parametrize("at_a_time", [1, 2, 100])
@pytest.mark.parametrize("reading", ["list", "others"])
@pytest.mark.parametrize("targets", [[3], [14, 0, 5]], ids=str)
def test_the_gradient_of_the_attack(targets, reading, at_a_time, monkeypatch):
  monkeypatch.setattr(best_items, "_SCORES", at_a_time * M)
  monkeypatch.setattr(exposure_loss, "_PAIRS", at_a_time * len(targets))
  users, table = np.random.default_rng(0).normal(size=(len(KNOWN), D)), table_of(1)
  found, shared = exposure_gradient(
    mf(dim=D), as_public(table), jnp.asarray(users, jnp.float32), public_lists(LISTS, 5),
    jnp.array(targets), list_length=4, reference=reading, with_shared=True,
  )
  assert shared == ()
  expected = oracle.attack_gradient(users, table, KNOWN, targets, 4, reading)
  assert np.abs(expected).max() > 1
  np.testing.assert_allclose(found, expected, atol=1e-5)



@pytest.mark.parametrize("with_shared", [False, True])
def test_the_gradient_of_the_attack_on_a_network(with_shared):
  model, random, targets = ncf(dim=D, hidden=(5, 4)), np.random.default_rng(2), [3, 6]
  public = random_public(model, M, random)
  users = random.normal(size=(len(KNOWN), D))
  found, shared = exposure_gradient(
    model, public, jnp.asarray(users, jnp.float32), public_lists(LISTS, 2), jnp.array(targets),
    list_length=4, reference="others", with_shared=with_shared,
  )
  layers, table = layers_of(public.shared), np.asarray(public.items, float)
  expected, for_layers = np.zeros((M, D)), interaction.zero_layers(layers)
  for user, items in zip(users, KNOWN, strict=True):
    scores = np.array([interaction.logit(user, row, layers) for row in table])
    for target, other in oracle.references(scores, items, targets, 4, "others").items():
      slope = oracle.bent_slope(scores[other] - scores[target])
      for item, sign in ((other, 1.0), (target, -1.0)):
        one = interaction.logit_gradients(user, table[item], layers)
        expected[item] += sign * slope * one.rows[0]
        for_layers = interaction.add_layers(for_layers, one.layers, sign * slope)
  np.testing.assert_allclose(found, expected, atol=2e-5)
  if not with_shared:
    assert shared == ()
    return
  for (weights, bias), (wanted, wanted_bias) in zip(layers_of(shared), for_layers, strict=True):
    np.testing.assert_allclose(weights, wanted, atol=2e-5)
    np.testing.assert_allclose(bias, wanted_bias, atol=2e-5)



