"""Local differential privacy of uploads: clipping, Laplace noise, shared parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.clients.transforms import privatize
from fedrecjax.config import TrainConfig
from fedrecjax.models import ncf
from fedrecjax.simulation.records import RoundInput
from fedrecjax.simulation.round_clients import client_view
from fedrecjax.types import ClientUpdates
from tests.support.lockstep import as_summed, honest_uploads, make_run, simulated

M, D = 30, 4
TRAIN = TrainConfig(epochs=1, clients_per_round=4)


@pytest.fixture(scope="module")
def run(small):
  return make_run(small, train=TRAIN)


def view_of(run, clients, number=0):
  empty = jnp.full(1, -1), jnp.zeros(1, jnp.int32)
  inputs = RoundInput(jnp.int32(number), jnp.array(clients, jnp.int32), *empty)
  return client_view(run.structure._replace(capacity=60), run.constants, run.state, inputs)


def transformed(uploads, view, **options):
  after, state = privatize(**options).client_transform((), uploads, view)
  assert state == ()
  return after


def zeros_of(places, items, width=D):
  """Rows of zeros of clients in the given places of the round, one for each of so many items."""
  client, item = np.divmod(np.arange(places * items), items)
  return ClientUpdates(
    jnp.asarray(client, jnp.int32), jnp.asarray(item, jnp.int32), jnp.zeros((places * items, width))
  )


def test_every_number_is_clipped(run):
  rows = jnp.array([[0.1, -0.1, 3.0, -4.0], [0.5, -0.5, 0.49, 0.0]])
  uploads = ClientUpdates(jnp.array([0, 2]), jnp.array([3, M]), rows)
  found = transformed(uploads, view_of(run, [9, 1, 4, 6]), clip=0.5)
  np.testing.assert_allclose(found.row, np.clip(np.asarray(rows), -0.5, 0.5))
  assert found.item.tolist() == [3, M] and found.client.tolist() == [0, 2]
  assert found.shared == () and found.sent is None


@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_noise_is_laplace(run, scale):
  view = view_of(run, [9, 1, 4, 6])
  keys = jax.random.split(jax.random.key(1), 100)
  noise = np.asarray(
    jax.vmap(lambda key: transformed(zeros_of(4, M), view._replace(key=key), clip=1.0, noise=scale).row)(keys)
  )
  noise = np.sort(noise.reshape(-1)) / scale
  count = len(noise)
  # E |x| = 1 with deviation 1, E x = 0 with deviation sqrt(2); five standard errors.
  assert np.abs(noise).mean() == pytest.approx(1.0, abs=5 / np.sqrt(count))
  assert noise.mean() == pytest.approx(0.0, abs=5 * np.sqrt(2 / count))
  # Kolmogorov-Smirnov at a level of 1e-6: sqrt(-log(1e-6 / 2) / 2) = 2.7.
  expected = np.where(noise < 0, np.exp(noise) / 2, 1 - np.exp(-noise) / 2)
  assert np.abs(expected - (np.arange(count) + 0.5) / count).max() < 2.7 / np.sqrt(count)
  # A normal distribution of the same deviation is told apart.
  assert np.mean(np.abs(noise) > 3) == pytest.approx(np.exp(-3.0), abs=5 * np.sqrt(0.05 / count))


def test_numbers_of_a_round_differ(run):
  noise = transformed(zeros_of(4, M), view_of(run, [9, 1, 4, 6]), clip=1.0, noise=1.0).row
  # Half of a 24 bit number's range: equal pairs are rare among 480 of them.
  assert len(np.unique(np.asarray(noise))) > 470


def test_noise_does_not_depend_on_who_else_is_in_the_round(run):
  first, second = (
    np.asarray(transformed(zeros_of(4, 5), view_of(run, clients), clip=1.0, noise=1.0).row)
    for clients in ([9, 1, 4, 6], [0, 6, 12, 9])
  )
  np.testing.assert_array_equal(first[:5], second[15:])  # client 9
  np.testing.assert_array_equal(first[15:], second[5:10])  # client 6
  assert not np.array_equal(first[:5], first[15:])
  later = transformed(zeros_of(4, 5), view_of(run, [9, 1, 4, 6], number=1), clip=1.0, noise=1.0)
  assert not np.array_equal(first, later.row)


def with_arrays(sent, value=2.0):
  shared = {"weight": jnp.full((4, 3, 40), value), "bias": jnp.full((4, 50), -value)}
  shared = jax.tree.map(lambda leaf: jnp.where(
    jnp.asarray(sent).reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, 0.0), shared)
  return zeros_of(4, 2)._replace(shared=shared, sent=jnp.asarray(sent))


def test_shared_parameters_are_clipped_and_clients_who_sent_none_stay_at_zero(run):
  sent = [True, False, True, True]
  view = view_of(run, [9, 1, 4, 6])
  found = transformed(with_arrays(sent), view, clip=0.5)
  assert found.sent.tolist() == sent
  np.testing.assert_allclose(found.shared["weight"][np.array(sent)], 0.5)
  np.testing.assert_allclose(found.shared["bias"][np.array(sent)], -0.5)
  noisy = transformed(with_arrays(sent), view, clip=0.5, noise=2.0)
  for leaf in (*found.shared.values(), *noisy.shared.values()):
    assert (np.asarray(leaf)[1] == 0).all()
  noise = np.concatenate([
    (np.asarray(noisy.shared[name]) - np.asarray(found.shared[name]))[[0, 2, 3]].reshape(-1)
    for name in ("weight", "bias")
  ])
  assert np.abs(noise).mean() == pytest.approx(2.0, abs=5 * 2.0 / np.sqrt(len(noise)))
  assert len(np.unique(noise)) > 0.98 * len(noise)


def test_noise_on_shared_parameters_does_not_depend_on_who_else_is_in_the_round(run):
  everybody = [True] * 4
  first, second = (
    transformed(with_arrays(everybody), view_of(run, clients), clip=1.0, noise=1.0).shared
    for clients in ([9, 1, 4, 6], [0, 6, 12, 9])
  )
  for name in first:
    np.testing.assert_array_equal(first[name][0], second[name][3])
    np.testing.assert_array_equal(first[name][3], second[name][1])


@pytest.mark.parametrize("option", [{"clip": 0.01}, {"clip": 0.01, "noise": 0.05}], ids=str)
def test_a_run_clips_merged_rows_and_adds_the_noise(small, option):
  train = TrainConfig(
    epochs=1, clients_per_round=5, learning_rate=0.5, privacy_clip=0.01,
    privacy_noise=option.get("noise", 0.0),
  )
  run = make_run(small, train=train)
  for one in simulated(run):
    uploads = honest_uploads(run, one.before, one.inputs)
    summed = {}
    for client, item, row in zip(uploads.client, uploads.item, np.asarray(uploads.row, float), strict=True):
      if item < M:
        summed[int(client), int(item)] = summed.get((int(client), int(item)), 0.0) + row
    clipped = [(client, item, np.clip(row, -0.01, 0.01)) for (client, item), row in summed.items()]
    table = np.asarray(one.before.server.public.items, float)
    touched = sorted({item for _, item, _ in clipped})
    for item, step in as_summed(clipped).items():
      table[item] -= 0.5 * step
    found = np.asarray(one.after.server.public.items)
    if "noise" not in option:
      np.testing.assert_allclose(found, table, atol=1e-6)
      continue
    np.testing.assert_allclose(np.delete(found, touched, 0), np.delete(table, touched, 0), atol=1e-6)
    # Rows per item times scale times learning rate bound the noise from below and above.
    size = np.abs(found - table)[touched].mean()
    assert 0.5 * 0.05 * 0.5 < size < 0.5 * 0.05 * 10


def test_shared_parameters_of_a_run_are_clipped_for_each_client(small):
  model = ncf(dim=4, hidden=(3,), init_std=0.7)
  train = TrainConfig(epochs=1, clients_per_round=12, learning_rate=1.0, privacy_clip=1e-4)
  run = make_run(small, train=train, model=model, defense=defenses.none())
  [one] = simulated(run)
  for name in ("kernel", "bias"):
    moved = np.asarray(one.after.server.public.shared[name] - one.before.server.public.shared[name])
    # Twelve clients of at most 1e-4 each, and not all of them opposed.
    assert 1e-4 < np.abs(moved).max() <= 12.01e-4


def test_no_number_of_the_noise_is_used_twice(run):
  shared = {name: jnp.zeros((4, size)) for name, size in (("a", 1), ("b", 1), ("c", 3), ("d", 60))}
  uploads = zeros_of(4, M)._replace(shared=shared, sent=jnp.ones(4, bool))
  found = transformed(uploads, view_of(run, [9, 1, 4, 6]), clip=1.0, noise=1.0)
  for client in range(4):
    numbers = [np.asarray(found.row).reshape(4, -1)[client]]
    numbers += [np.asarray(leaf)[client] for leaf in found.shared.values()]
    # Magnitudes have 23 bits: a pair among 185 of them is equal by chance with 0.2 %.
    values = np.concatenate(numbers)
    assert len(np.unique(values)) == len(values) == 185
