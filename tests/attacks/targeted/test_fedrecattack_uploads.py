"""How FedRecAttack's clients share one wanted update, against the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks.targeted.fedrecattack_uploads import draw_items, share_out
from tests.oracles import fedrecattack as oracle

M, D = 15, 3


def table_of(seed, items=M):
  return np.random.default_rng(seed).normal(size=(items, D))


def run_draws(weights, targets, count, number=20000):
  keys = jax.random.split(jax.random.key(1), number)
  draw = functools.partial(draw_items, targets=jnp.array(targets), count=count)
  return np.asarray(jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys, jnp.asarray(weights)))


def test_items_are_drawn_by_their_weights():
  wanted = table_of(5, items=7) * np.array([[3.0], [1.0], [0.2], [0.0], [1.0], [2.0], [0.5]])
  first = oracle.first_draw(wanted, [4])
  weights = np.linalg.norm(wanted, axis=1)
  for count in (1, 3):
    drawn = run_draws(weights, [4], count)
    assert all(len(set(one)) == count for one in drawn[:200].tolist())
    shares = np.bincount(drawn.reshape(-1), minlength=7) / len(drawn)
    np.testing.assert_allclose(shares, oracle.drawn_among(first, count), atol=0.015)
  np.testing.assert_allclose(
    np.bincount(run_draws(weights, [4], 3)[:, 0], minlength=7) / 20000, first, atol=0.015
  )


def test_items_of_no_weight_come_last_and_alike():
  drawn = run_draws(np.array([1e-37, 0.0, 0.0, 5.0, 0.0]), [3], 2)
  assert (drawn[:, 0] == 0).all()
  shares = np.bincount(drawn[:, 1], minlength=5) / len(drawn)
  np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 0, 1 / 3], atol=0.015)


CLIENTS, ACTIVE = jnp.array([2, 4, 0, 1, 4]), jnp.array([True, False, True, True, False])


def share(wanted, sets, targets=(1,), key=0, active=ACTIVE, **changes):
  options = {"row_norm": 1.0, "selection_variance": 0.0, "upload_variance": 0.0} | changes
  return jax.jit(share_out)(
    jnp.asarray(wanted, jnp.float32), jnp.asarray(sets, jnp.int32), CLIENTS, active,
    jnp.asarray(targets), jax.random.key(key), **options,
  )


@pytest.mark.parametrize("bound", [0.5, 2.0, 100.0])
def test_clients_share_what_is_left(bound):
  wanted = 2 * table_of(6)
  sets = np.array([[1, 2, 3, 4], [1, 3, 5, 6], [1, 2, 3, 0], [9, 9, 9, 9]])
  orders = set()
  for key in range(6):
    found = share(wanted, sets, key=key, row_norm=bound)
    turn = [place for place in found.place.tolist() if bool(ACTIVE[place])]
    orders.add(tuple(turn))
    assert sorted(found.place.tolist()) == list(range(5)) and found.place.tolist()[:3] == turn
    taken = [sets[int(CLIENTS[place])].tolist() for place in turn]
    expected, _ = oracle.share_out(wanted, taken, bound)
    assert found.items[:3].tolist() == taken
    for rows, wanted_rows in zip(np.asarray(found.rows), expected, strict=False):
      np.testing.assert_allclose(rows, list(wanted_rows.values()), atol=1e-5)
    assert (np.asarray(found.rows)[3:] == 0).all()
    assert found.sets.tolist() == sets.tolist()
  assert len(orders) > 2


def test_items_are_chosen_once():
  wanted = table_of(7)
  nobody = np.full((4, 6), -1)
  first = share(wanted, nobody, targets=(1, 4))
  chosen = np.asarray(first.sets)
  assert (chosen[3] == -1).all()
  for one in chosen[:3].tolist():
    assert one[:2] == [1, 4] and len(set(one)) == 6 and min(one) >= 0
  again = share(5 * table_of(8), chosen, targets=(1, 4), key=9)
  assert again.sets.tolist() == chosen.tolist()
  one = share(wanted, nobody, targets=(1, 4), active=jnp.arange(5) == 2)
  assert (np.asarray(one.sets)[[1, 2, 3]] == -1).all() and int(one.sets[0, 0]) == 1
  assert (np.asarray(one.rows)[1:] == 0).all()


def test_items_are_chosen_by_what_is_left():
  # Nine items would be enough for one client. The first sends them whole, so that the second, which
  # chooses by what is left, takes the others.
  wanted = np.zeros((M, D))
  wanted[:10] = 0.1 * table_of(9, items=10)
  found = share(wanted, np.full((4, 6), -1), targets=(0,), active=jnp.arange(5) < 3)
  first, second = found.items[0, 1:].tolist(), found.items[1, 1:].tolist()
  assert set(first) < set(range(1, 10))
  assert set(range(1, 10)) - set(first) < set(second)


def test_noise_of_the_choice_is_not_uploaded():
  quiet, noisy = (
    share(np.zeros((M, D)), np.full((4, 6), -1), selection_variance=one) for one in (0.0, 1.0)
  )
  assert quiet.sets.tolist() != noisy.sets.tolist()
  assert (np.asarray(noisy.rows) == 0).all()


def test_noise_of_uploads_is_taken_from_what_is_left():
  # The row wanted is sent by the first client with its noise; the second sends back the first's
  # noise, and the third the second's, each with a noise of its own.
  wanted = np.zeros((M, D))
  wanted[1] = 0.3
  sets = np.tile([1, 2, 3, 4], (4, 1))
  noise = []
  for key in range(300):
    rows = np.asarray(share(wanted, sets, key=key, upload_variance=1e-4).rows)[:3]
    noise.append(rows.sum(axis=0) - wanted[1:5])
    assert np.abs(rows[0] - wanted[1:5]).max() > 1e-4
  # What is left over in the end is the last client's noise alone.
  assert np.std(noise) == pytest.approx(0.01, rel=0.05)
