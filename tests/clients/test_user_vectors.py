"""Averages within clients, and where the items of histories stand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.clients.local_training import history_places
from fedrecjax.clients.user_vectors import attention_average
from fedrecjax.types import Samples
from fedrecjax.uploads.rows import ragged


def softmax_average(logits, values):
  """Of one client, in NumPy."""
  weights = np.exp(logits - np.max(logits))
  return weights @ values / weights.sum()


def test_each_client_averages_its_own_entries():
  random = np.random.default_rng(0)
  client = np.array([2, 0, 2, 2, 4, 0, 2])  # 1 and 3 have none, 4 has one
  logits, values = random.normal(size=7), random.normal(size=(7, 3))
  average, count = attention_average(*map(jnp.asarray, (logits, values, client)), 5)
  assert count.tolist() == [2, 0, 4, 0, 1]
  for one in (0, 2, 4):
    own = client == one
    np.testing.assert_allclose(average[one], softmax_average(logits[own], values[own]), atol=1e-6)
  np.testing.assert_array_equal(average[jnp.array([1, 3])], np.zeros((2, 3)))


def test_what_is_left_out_counts_nowhere():
  logits = jnp.array([0.0, -jnp.inf, 1.0, -jnp.inf])
  values = jnp.array([[1.0], [jnp.float32(1e30)], [3.0], [5.0]])
  average, count = attention_average(logits, values, jnp.array([0, 0, 0, 1]), 2)
  assert count.tolist() == [2, 0]
  np.testing.assert_allclose(
    average[:, 0], [softmax_average(np.array([0.0, 1.0]), np.array([1.0, 3.0])), 0.0], atol=1e-6
  )


@pytest.mark.parametrize(
  "logits",
  [
    [1e30, -1e30, 3e38, -3e38, 1e4, 9990.0],
    [-3e38, -3e38, 3e38, 3e38, -1e4, -1e4],
    [-np.inf, 0.0, -np.inf, -np.inf, 1e30, -np.inf],
    [-np.inf] * 6,
    [0.0] * 6,
  ],
)
def test_extreme_logits_leave_values_and_gradients_finite(logits):
  client, values = jnp.array([0, 0, 1, 1, 3, 3]), jnp.arange(12.0).reshape(6, 2)

  def total(logits, values):
    average, _ = attention_average(logits, values, client, 4)
    return jnp.sum(average * jnp.arange(1.0, 9.0).reshape(4, 2)), average

  logits = jnp.asarray(logits, jnp.float32)
  (_, average), slopes = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(logits, values)
  assert all(bool(jnp.all(jnp.isfinite(one))) for one in (average, *slopes))
  for one in (0, 1, 3):
    own = np.flatnonzero((np.asarray(client) == one) & np.isfinite(np.asarray(logits)))
    expected = np.zeros(2)
    if own.size:
      with np.errstate(over="ignore"):
        expected = softmax_average(np.asarray(logits, float)[own], np.asarray(values)[own])
    np.testing.assert_allclose(average[one], expected, atol=1e-5)


def test_gradients_of_the_average():
  random = np.random.default_rng(1)
  logits, values = random.normal(size=5), random.normal(size=(5, 2))
  client, outer = jnp.array([0, 0, 0, 1, 1]), random.normal(size=(2, 2))

  def total(logits, values):
    return jnp.sum(attention_average(logits, values, client, 2)[0] * jnp.asarray(outer))

  slopes = jax.grad(total, argnums=(0, 1))(jnp.asarray(logits), jnp.asarray(values))
  for one, own in ((0, slice(0, 3)), (1, slice(3, 5))):
    weights = np.exp(logits[own]) / np.exp(logits[own]).sum()
    mean = weights @ values[own]
    np.testing.assert_allclose(
      slopes[0][own], weights * ((values[own] - mean) @ outer[one]), atol=1e-5
    )
    np.testing.assert_allclose(slopes[1][own], np.outer(weights, outer[one]), atol=1e-6)


@pytest.mark.parametrize("history", [1, 2, 4])
def test_history_places_are_all_but_the_last_item(history):
  lengths = np.array([0, 1, 2, history, history + 1, 0, 1])
  capacity = int(lengths.sum()) + 3
  places = ragged(jnp.asarray(lengths), capacity)
  unused = jnp.zeros(capacity, jnp.int32)
  samples = Samples(
    client=places.segment, valid=places.valid, first=jnp.arange(capacity) - places.offset,
    length=jnp.asarray(lengths), trained=jnp.maximum(jnp.asarray(lengths) - 1, 0),
    positive=unused, negatives=unused[:, None], uploaded=unused[:, None],
  )  # fmt: skip
  place, used = history_places(samples, history)
  assert place.shape == used.shape == (len(lengths), history)
  assert int(place.min()) >= 0 and int(place.max()) < capacity
  starts = np.cumsum(lengths) - lengths
  for client, (start, length) in enumerate(zip(starts, lengths, strict=True)):
    read = list(range(start, start + max(length - 1, 0)))
    assert np.asarray(place[client])[np.asarray(used[client])].tolist() == read
    assert used[client].tolist() == [False] * (history - len(read)) + [True] * len(read)
