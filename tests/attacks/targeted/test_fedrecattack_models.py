"""FedRecAttack on models that make users' vectors from items, whose approximated users have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks.targeted import user_approximation
from fedrecjax.attacks.targeted.exposure_loss import exposure_gradient
from fedrecjax.attacks.targeted.user_approximation import Approximation, init_approximation, public_lists, refresh
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.datasets import ItemLists
from fedrecjax.models import fedgnn, lightgcn, mf, sasrec
from tests.attacks.targeted.fedrecattack import KNOWN, LISTS, PUBLIC, as_public
from tests.attacks.targeted.test_fedrecattack_uploads import D, M, table_of
from tests.models.clients import network_of
from tests.oracles import fedrecattack, lone_users
from tests.oracles.adam import Adam
from tests.support.parameters import random_public

# Five users have public items, so that the third batch of two is not full.
BATCH, NEGATIVES, RATE, LENGTH = 2, 2, 0.05, 4


def of_lightgcn(layers, combine):
  return lambda shared: lone_users.lightgcn(network_of(shared), layers=layers, combine=combine)


# A model, and its oracle for given shared parameters.
CASES = {
  "lightgcn": (lightgcn(dim=D, hidden=(9, 7)), of_lightgcn(1, "sum")),
  "lightgcn_mean": (lightgcn(dim=D, hidden=(9, 7), layers=2, combine="mean"), of_lightgcn(2, "mean")),
  "lightgcn_dot": (lightgcn(dim=D, head="dot", layers=1, combine="mean"), of_lightgcn(1, "mean")),
  "fedgnn": (
    fedgnn(dim=D, num_neighbors=2, neighbors_from=0),
    lambda shared: lone_users.fedgnn(np.asarray(shared.kernel, float)),
  ),
  "sasrec": (sasrec(dim=D, length=4, blocks=1), lambda shared: lone_users.sasrec),
}  # fmt: skip

refreshed = jax.jit(refresh, static_argnames=("passes", "batch", "num_negatives"))
pulled = jax.jit(
  exposure_gradient, static_argnames=("list_length", "reference", "with_shared")
)


def case_of(name, seed):
  """A model with its parameters, the oracle with the same, and their item table."""
  model, oracle_of = CASES[name]
  # Not so large that every difference of scores is where the sigmoid and the bent margin are flat.
  public = jax.tree.map(lambda leaf: 0.6 * leaf, random_public(model, M, np.random.default_rng(seed)))
  return model, public, oracle_of(public.shared), np.asarray(public.items, float)


def starting_at(users):
  zeros = jnp.zeros(users.shape)
  return Approximation(jnp.asarray(users, jnp.float32), jnp.int32(0), zeros, zeros)


def one_pass(state, lists, model, public, key):
  return refreshed(
    state, lists, model, public, key,
    learning_rate=RATE, passes=1, batch=BATCH, num_negatives=NEGATIVES,
  )  # fmt: skip


def draws(lists, key):
  """What a pass with this key draws: users of each batch, and negatives of each user's items."""
  drawn = []

  def keep(state, lists, model, public, batches, negatives, learning_rate):
    drawn.append((np.asarray(batches), np.asarray(negatives)))
    return state

  # Without compilation the draws are numbers here. They do not depend on the model.
  with pytest.MonkeyPatch.context() as patch, jax.disable_jit():
    patch.setattr(user_approximation, "adam_pass", keep)
    refresh(
      init_approximation(key, len(KNOWN), D, 1.0), lists, mf(dim=D), as_public(table_of(0)), key,
      learning_rate=RATE, passes=1, batch=BATCH, num_negatives=NEGATIVES,
    )  # fmt: skip
  [(batches, negatives)] = drawn
  grouped = np.split(negatives, np.cumsum([len(items) for items in KNOWN])[:-1])
  members = [[user for user in batch if user < len(KNOWN)] for batch in batches.tolist()]
  return members, [group.tolist() for group in grouped]


def gradient_of(model, public, users, lists, targets, reading):
  found, shared = pulled(
    model, public, jnp.asarray(users, jnp.float32), lists, jnp.array(targets),
    list_length=LENGTH, reference=reading, with_shared=False,
  )  # fmt: skip
  assert shared == ()
  return np.asarray(found)


def assert_near(found, expected):
  """Equal up to a ten-thousandth of the largest number, which is not 0."""
  scale = np.abs(expected).max()
  assert scale > 0
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("name", CASES)
def test_scores_for_users_without_items(name):
  model, public, score, table = case_of(name, 0)
  for user in np.random.default_rng(1).normal(size=(3, D)):
    vector = vector_without_items(model, jnp.asarray(user, jnp.float32), public.items[0], public.shared)
    expected = [score(user, row) for row in table]
    assert np.ptp(expected) > 0.1
    assert_near(model.score(public, vector, None), expected)


def test_differences_are_the_slopes_derived_by_hand():
  users, table, targets = np.random.default_rng(0).normal(size=(5, D)), table_of(1), [14, 0, 5]
  negatives = [[[14, 5]] * len(items) for items in KNOWN]
  for of_one in zip(users, [table] * len(users), KNOWN, negatives, strict=True):
    found = lone_users.user_slopes(lone_users.sasrec)(*of_one)
    np.testing.assert_allclose(found, fedrecattack.user_gradient(*of_one), atol=1e-7)
  for reading in ("list", "others"):
    found = lone_users.margin_slopes(lone_users.sasrec, users, table, KNOWN, targets, LENGTH, reading)
    expected = fedrecattack.attack_gradient(users, table, KNOWN, targets, LENGTH, reading)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_passes_of_adam(name):
  lists, users = public_lists(LISTS, BATCH), np.random.default_rng(8).normal(size=(len(KNOWN), D))
  state, adam = starting_at(users), Adam(users.shape)
  for number in range(2):
    # Clients receive other parameters in each round; the optimiser goes on.
    model, public, score, table = case_of(name, 10 + number)
    key, before = jax.random.key(2 + number), users
    state = one_pass(state, lists, model, public, key)
    batches, negatives = draws(lists, key)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    # The empty place, which stands for the user after the last, is once beside the last user.
    assert number > 0 or batches[-1] == [len(KNOWN) - 1]
    assert not any(set(np.ravel(drawn)) & set(items) for drawn, items in zip(negatives, KNOWN, strict=True))
    slopes = lone_users.user_slopes(score)
    users = fedrecattack.approximate(users, adam, table, KNOWN, batches, negatives, RATE, slopes)
    # Adam would make whole steps of the rounding errors of a slope that is 0.
    assert np.abs(adam.first).min() > 1e-4
    assert_near(np.asarray(state.users) - before, users - before)
    # A first step is the same for any multiple of a slope; the moments are not.
    assert_near(state.first, adam.first)
    assert_near(state.second, adam.second)
    assert int(state.steps) == adam.step_number == 3 * (number + 1)


@pytest.mark.parametrize("reading", ["list", "others"])
@pytest.mark.parametrize("targets", [[3], [14, 0, 5]], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_the_attack(name, targets, reading):
  # In each case there are targets above what they are compared with, and targets below.
  model, public, score, table = case_of(name, 23)
  users = np.random.default_rng(24).normal(size=(len(KNOWN), D))
  found = gradient_of(model, public, users, public_lists(LISTS, BATCH), targets, reading)
  expected = lone_users.margin_slopes(score, users, table, KNOWN, targets, LENGTH, reading)
  assert (np.abs(expected[targets]).max(axis=1) > 0.01).all()
  assert_near(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_users_nothing_of_whom_is_public_are_left_out(name):
  model, public, score, table = case_of(name, 5)
  everybody = np.random.default_rng(6).normal(size=(len(PUBLIC), D))
  users = everybody[[len(items) > 0 for items in PUBLIC]]
  lists, of_known = public_lists(LISTS, BATCH), public_lists(ItemLists.from_lists(KNOWN), BATCH)
  key = jax.random.key(7)
  after, without = (one_pass(starting_at(users), one, model, public, key) for one in (lists, of_known))
  assert after.users.shape == users.shape
  np.testing.assert_array_equal(after.users, without.users)
  found = gradient_of(model, public, users, lists, [3, 6], "others")
  expected = lone_users.margin_slopes(score, everybody, table, PUBLIC, [3, 6], LENGTH, "others")
  assert_near(found, expected)
  # Had something of theirs been public, it would show.
  counted = lone_users.margin_slopes(
    score, everybody, table, [items or [8] for items in PUBLIC], [3, 6], LENGTH, "others"
  )
  assert np.abs(counted - expected).max() > 0.01 * np.abs(expected).max()
