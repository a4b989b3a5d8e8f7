"""Dropout of looked-up vectors: what is drawn, by what, and what gradients make of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.clients.local_training import LocalSettings, draw_dropout, train_clients
from fedrecjax.clients.losses import LOSSES
from fedrecjax.config import TrainConfig
from fedrecjax.simulation.records import RoundInput
from fedrecjax.simulation.round_clients import client_view
from tests.oracles.logistic import sigmoid
from tests.support.lockstep import final_state, make_run

TRAIN = TrainConfig(epochs=1, clients_per_round=4, num_negatives=2)


def view_of(run, clients):
  empty = jnp.full(1, -1), jnp.zeros(1, jnp.int32)
  inputs = RoundInput(jnp.int32(0), jnp.array(clients, jnp.int32), *empty)
  return client_view(run.structure._replace(capacity=60), run.constants, run.state, inputs)


def of_client(view, values, place):
  used = np.asarray(view.samples.valid & (view.samples.client == place))
  return np.asarray(values)[used]


def trained(run, view, dropout):
  settings = LocalSettings(mean=True, l2=None, l2_rows="none", dropout=dropout)
  benign = jnp.ones(view.clients.shape[0], bool)
  return train_clients(run.constants.parts.model, LOSSES["bce"](), None, (), view, benign, settings)


def test_rate_zero_is_no_dropout(small):
  run = make_run(small, train=TRAIN)
  view = view_of(run, [9, 1, 4, 6])
  none, zero, some = (trained(run, view, rate) for rate in (None, 0.0, 0.5))
  np.testing.assert_array_equal(none.uploads.row, zero.uploads.row)
  np.testing.assert_array_equal(none.private, zero.private)
  assert np.abs(np.asarray(none.private - some.private)).max() > 1e-3


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_factors_keep_the_expectation(small, rate):
  run = make_run(small, train=TRAIN)
  view = view_of(run, [11, 10, 9, 8])
  keys = jax.random.split(jax.random.key(4), 200)
  drawn = jax.vmap(lambda key: draw_dropout(key, view, rate))(keys)
  for factors in (np.asarray(drawn.user), np.asarray(drawn.rows)):
    values = np.unique(factors)
    np.testing.assert_allclose(values, [0.0, 1 / (1 - rate)], rtol=1e-6)
    # Five standard deviations of the mean, counting places that hold no sample too.
    deviation = np.sqrt(rate / (1 - rate) / factors.size)
    assert factors.mean() == pytest.approx(1.0, abs=5 * deviation)
  # Lookups of one sample are dropped independently of one another.
  user, positive, negative = drawn.user, drawn.rows[..., 0, :], drawn.rows[..., 1, :]
  for one, other in ((user, positive), (positive, negative)):
    both = np.mean((np.asarray(one) > 0) & (np.asarray(other) > 0))
    assert both == pytest.approx((1 - rate) ** 2, abs=5 * 0.5 / np.sqrt(one.size))


def test_the_mask_of_a_client_does_not_depend_on_who_else_is_in_the_round(small):
  run = make_run(small, train=TRAIN)
  first, second = view_of(run, [9, 1, 4, 6]), view_of(run, [0, 6, 12, 9])
  drawn = [draw_dropout(view.key, view, 0.5) for view in (first, second)]
  for client_of in ((0, 3), (3, 1)):  # clients 9 and 6
    for part in ("user", "rows"):
      one, other = (
        of_client(view, getattr(factors, part), place)
        for view, factors, place in zip((first, second), drawn, client_of, strict=True)
      )
      assert len(one) > 1
      np.testing.assert_array_equal(one, other)
  assert not np.array_equal(of_client(first, drawn[0].user, 0)[:4], of_client(first, drawn[0].user, 3)[:4])


def test_gradients_with_given_masks(small):
  run = make_run(small, train=TRAIN)
  view = view_of(run, [9, 1, 4, 6])
  factors = draw_dropout(view.key, view, 0.4)
  found = trained(run, view, 0.4)
  samples, table = view.samples, np.asarray(view.public.items, float)
  users = np.asarray(view.private, float)
  expected_users = np.zeros_like(users)
  rows = np.asarray(found.uploads.row).reshape(60, 3, -1)
  for place in np.flatnonzero(samples.valid):
    client = int(samples.client[place])
    count = int(samples.length[client]) * 3
    user_mask = np.asarray(factors.user[place], float)
    items = [int(samples.positive[place]), *samples.negatives[place].tolist()]
    for column, item in enumerate(items):
      row_mask = np.asarray(factors.rows[place, column], float)
      score = float((users[client] * user_mask) @ (table[item] * row_mask))
      slope = (sigmoid(score) - (column == 0)) / count
      expected_users[client] += slope * user_mask * table[item] * row_mask
      np.testing.assert_allclose(
        rows[place, column], slope * users[client] * user_mask * row_mask, atol=1e-6
      )
  np.testing.assert_allclose(found.private, expected_users, atol=1e-6)


def test_a_run_drops_anew_in_each_round(small):
  run = make_run(small, train=TRAIN)
  first = view_of(run, [9])
  later = first._replace(key=jax.random.fold_in(run.constants.keys.clients, 1))
  one, other = (np.asarray(draw_dropout(view.key, view, 0.5).user) for view in (first, later))
  assert not np.array_equal(one, other)


def test_a_run_uses_it(small):
  ends = [
    final_state(make_run(small, train=TrainConfig(epochs=1, clients_per_round=4, dropout=rate)), 1)
    for rate in (0.0, 0.5, 0.5)
  ]
  tables = [np.asarray(end.server.public.items) for end in ends]
  assert np.abs(tables[0] - tables[1]).max() > 1e-3
  np.testing.assert_array_equal(tables[1], tables[2])
