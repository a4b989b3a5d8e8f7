"""A-ra, A-hum, explicit boosting and PIECK-UEA on a network of their own, against the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import a_hum, a_ra, explicit_boosting, pieck_uea
from fedrecjax.models import mf, ncf
from fedrecjax.popularity.mining import popular_items
from fedrecjax.types import AttackContext, AttackView, Public
from tests.oracles import interaction, shilling
from tests.support.parameters import layers_of, random_public

M, D, C = 12, 3, 20
MODEL = ncf(dim=D, hidden=(5, 4))
# Clients 0, 2 and 1 in the round; the second place is empty.
CLIENTS = np.array([0, 3, 2, 1])
SLOTS = jnp.array([4, 0, 9, 6])
RATE = 0.3


@jax.jit
def run_poison(poison, state, uploads, view, key):
  # The number of clients is static.
  return poison(state, uploads, view._replace(num_clients=C), key)


def public_of(seed):
  """A network with all its biases and a table, large enough for every term to count."""
  return random_public(MODEL, M, np.random.default_rng(seed))


def view_of(public, targets, number=0):
  return AttackView(
    public, jnp.int32(number), jnp.asarray(CLIENTS), jnp.asarray(CLIENTS < 3), SLOTS,
    jnp.array(targets), jnp.float32(RATE), None, MODEL if public.shared else mf(dim=D), C,
  )


def context_of(targets, rounds=2):
  return AttackContext(M, 3, np.array(targets, np.int32), D, np.tile(CLIENTS % 3, (rounds, 1)), None)


def assert_uploads(uploads, targets, expected, *, shared=True):
  """`expected` has a client's rows and layers by its place among the malicious ones."""
  used = np.asarray(uploads.item) < M
  slots = [int(SLOTS[place]) for place in expected]
  assert np.asarray(uploads.client)[used].tolist() == np.repeat(slots, len(targets)).tolist()
  assert np.asarray(uploads.item)[used].tolist() == list(targets) * len(expected)
  rows = np.concatenate([rows for rows, _ in expected.values()])
  assert np.abs(rows).max() > 1e-3
  np.testing.assert_allclose(np.asarray(uploads.row)[used], rows, atol=2e-6)
  if not shared:
    assert uploads.shared == () and uploads.sent is None
    return
  assert np.flatnonzero(uploads.sent).tolist() == sorted(slots)
  for client in range(C):
    found = layers_of(jax.tree.map(lambda leaf, client=client: leaf[client], uploads.shared))
    place = next((place for place in expected if int(SLOTS[place]) == client), None)
    for index, (weights, bias) in enumerate(found):
      wanted = (0.0, 0.0) if place is None else expected[place][1][index]
      np.testing.assert_allclose(weights, wanted[0], atol=2e-6)
      np.testing.assert_allclose(bias, wanted[1], atol=2e-6)


def invented(key, client, count, std):
  return np.asarray(std * jax.random.normal(jax.random.fold_in(key, client), (count, D)), float)


@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
@pytest.mark.parametrize(
  ("attack", "steps", "size"),
  [
    (a_ra(num_users=4, init_std=0.8), 0, 0.0),
    (a_hum(num_users=4, init_std=0.8, steps=5), 5, RATE),
    (a_hum(num_users=4, init_std=0.8, steps=3, step_size=0.5), 3, 0.5),
  ],
  ids=["a_ra", "a_hum", "a_hum with a step size"],
)
def test_invented_users(attack, steps, size, targets):
  public, key = public_of(1), jax.random.key(8)
  uploads, state = run_poison(attack.poison, (), None, view_of(public, targets), key)
  assert state == ()
  layers, rows = layers_of(public.shared), np.asarray(public.items, float)[targets]
  expected = {
    place: interaction.invented_users(
      invented(key, client, 4, 0.8), rows, layers, steps=steps, step_size=size
    )
    for place, client in enumerate(CLIENTS)
    if client < 3
  }
  assert_uploads(uploads, targets, expected)


def test_hardening_changes_what_is_uploaded():
  public, key = public_of(2), jax.random.key(0)
  plain, hard, again = (
    run_poison(attack.poison, (), None, view_of(public, [5]), key)[0]
    for attack in (a_ra(num_users=4), a_hum(num_users=4), a_hum(num_users=4, steps=1, step_size=1e-9))
  )
  assert np.abs(np.asarray(plain.row - hard.row)).max() > 1e-4
  np.testing.assert_allclose(plain.row, again.row, atol=1e-6)


def test_users_are_invented_anew_each_round_and_differ_between_clients():
  public = public_of(3)
  attack = a_ra(num_users=3, init_std=1.0)
  first, second = (
    np.asarray(run_poison(attack.poison, (), None, view_of(public, [5]), jax.random.key(key))[0].row)
    for key in (0, 1)
  )
  assert not np.allclose(first, second)
  assert not np.allclose(first[0], first[2])


@pytest.mark.parametrize("attack", [a_ra(init_std=0.5), a_hum(init_std=0.5)], ids=["a_ra", "a_hum"])
def test_a_model_without_shared_parameters_gets_target_rows_alone(attack):
  public = Public(public_of(4).items, ())
  uploads, _ = run_poison(attack.poison, (), None, view_of(public, [5, 1]), jax.random.key(0))
  assert uploads.shared == () and uploads.sent is None
  assert (np.asarray(uploads.item) < M).sum() == 6
  assert np.abs(np.asarray(uploads.row)[np.asarray(uploads.item) < M]).min() > 0


@pytest.mark.parametrize("upload_shared", [True, False])
@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
def test_explicit_boosting(targets, upload_shared):
  attack = explicit_boosting(upload_shared=upload_shared)
  state = attack.init(jax.random.key(3), context_of(targets))
  users = np.asarray(state.users, float)
  for number in range(2):
    public = public_of(10 + number)
    uploads, state = run_poison(
      attack.poison, state, None, view_of(public, targets, number), jax.random.key(0)
    )
    layers, rows = layers_of(public.shared), np.asarray(public.items, float)[targets]
    expected = {}
    for place, client in enumerate(CLIENTS):
      if client < 3:
        one = interaction.label_gradients(users[client], rows, layers, 1)
        users[client] -= RATE * one.user
        expected[place] = (one.rows, one.layers)
    assert_uploads(uploads, targets, expected, shared=upload_shared)
    np.testing.assert_allclose(state.users, users, atol=1e-5)


def test_the_two_oracles_of_explicit_boosting_agree():
  # A network whose only hidden unit holds u * 1 + 0, with a positive user, is no dot product; but
  # both oracles have the same slope at the same score.
  user, row = np.array([1.0]), np.array([2.0])
  layers = [(np.array([[2.0], [0.0]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
  assert interaction.logit(user, row, layers) == float(user @ row)
  assert interaction.label_loss(user, row[None], layers, 1) == pytest.approx(
    shilling.explicit_boosting_gradient(user, row[None])[0]
  )


@pytest.mark.parametrize("upload_shared", [True, False])
@pytest.mark.parametrize("strategy", ["together", "copy"])
@pytest.mark.parametrize(("reading", "batches", "repeats"), [("mean", 1, 1), ("batches", 3, 2)])
def test_user_approximation(reading, batches, repeats, strategy, upload_shared):
  targets = [5, 0, 3]
  attack = pieck_uea(
    num_popular=6, reading=reading, num_batches=batches, repeats=repeats, mining_differences=1,
    before_mined="wait", strategy=strategy, scale=1.5, upload_shared=upload_shared,
  )
  state = attack.init(jax.random.key(0), context_of(targets))
  uploads, state = run_poison(
    attack.poison, state, None, view_of(public_of(20), targets, 0), jax.random.key(0)
  )
  assert (np.asarray(uploads.item) == M).all()
  assert upload_shared == (uploads.sent is not None and not np.asarray(uploads.sent).any())
  public = public_of(21)
  uploads, state = run_poison(
    attack.poison, state, None, view_of(public, targets, 1), jax.random.key(0)
  )
  layers, table = layers_of(public.shared), np.asarray(public.items, float)
  popular = np.asarray(popular_items(state, jnp.asarray(CLIENTS))[0])
  trained = targets[:1] if strategy == "copy" else targets
  expected = {}
  for place, client in enumerate(CLIENTS):
    if client < 3:
      rows, for_layers = interaction.user_approximation(
        table[trained], table[popular[place]], layers, batches=batches, repeats=repeats
      )
      rows = np.broadcast_to(1.5 * rows, (3, D))
      expected[place] = rows, [(1.5 * weights, 1.5 * bias) for weights, bias in for_layers]
  assert_uploads(uploads, targets, expected, shared=upload_shared)


@pytest.mark.parametrize(
  ("build", "options", "message"),
  [
    (a_ra, {"num_users": 0}, "a_ra.num_users must be positive"),
    (a_ra, {"init_std": 0.0}, "a_ra.init_std must be"),
    (a_hum, {"num_users": -1}, "a_hum.num_users must be positive"),
    (a_hum, {"steps": 0}, "a_hum.steps must be positive"),
    (a_hum, {"step_size": 0.0}, "a_hum.step_size must be positive or none"),
  ],
)
def test_impossible_numbers_are_named(build, options, message):
  with pytest.raises(ValueError, match=message):
    build(**options)
