"""Who takes part when."""

import numpy as np
import pytest

from fedrecjax.federation.participation import draw_rounds, malicious_capacity, sample_capacity

SIZES = [(12, 9, 5), (12, 12, 12), (12, 9, 100), (12, 9, 1), (40, 20, 13)]


def drawn(
  num_clients, num_benign, clients_per_round, *, epochs=3, seed=0, participation="shuffled"
):
  return draw_rounds(
    seed,
    num_clients=num_clients,
    num_benign=num_benign,
    clients_per_round=clients_per_round,
    epochs=epochs,
    participation=participation,
  )


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_shuffled_visits_everybody_once_per_epoch(sizes):
  rounds = drawn(*sizes)
  epochs = rounds.clients.reshape(3, -1)
  for epoch in epochs:
    assert sorted(epoch[epoch < sizes[0]]) == list(range(sizes[0]))
  assert len(rounds.clients) == 3 * rounds.per_epoch
  assert rounds.per_epoch == -(-sizes[0] // min(sizes[0], sizes[2]))
  if sizes[2] < sizes[0]:
    assert (epochs[0] != epochs[1]).any()


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_uniform_draws_full_rounds_of_different_clients(sizes):
  rounds = drawn(*sizes, participation="uniform")
  for clients in rounds.clients:
    assert len(set(clients)) == len(clients) == min(sizes[0], sizes[2])
    assert clients.max() < sizes[0]


def test_uniform_draws_everybody_equally_often():
  counts = np.bincount(drawn(12, 9, 5, epochs=400, participation="uniform").clients.reshape(-1))
  # 6000 places for 12 clients: 500 each, standard deviation below sqrt(500 * 7 / 12) = 17.
  assert abs(counts - 500).max() < 85


@pytest.mark.parametrize("participation", ["shuffled", "uniform"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_malicious_clients_and_their_slots(sizes, participation):
  num_clients, num_benign, _ = sizes
  rounds = drawn(*sizes, participation=participation)
  for clients, malicious, slot in zip(rounds.clients, rounds.malicious, rounds.slot, strict=True):
    expected = [int(one) for one in clients if num_benign <= one < num_clients]
    count = len(expected)
    assert (malicious[:count] + num_benign).tolist() == expected
    assert clients[slot[:count]].tolist() == expected
    assert (malicious[count:] == -1).all() and (slot[count:] == 0).all()
  assert rounds.malicious.shape[1] % 2 == 0
  assert (rounds.malicious.shape[1] == 0) == (num_clients == num_benign)


@pytest.mark.parametrize("participation", ["shuffled", "uniform"])
def test_a_longer_run_begins_like_a_shorter_one(participation):
  short, long = (drawn(40, 20, 13, epochs=epochs, participation=participation) for epochs in (2, 5))
  np.testing.assert_array_equal(long.clients[: len(short.clients)], short.clients)
  width = min(short.malicious.shape[1], long.malicious.shape[1])
  np.testing.assert_array_equal(
    long.malicious[: len(short.clients), :width], short.malicious[:, :width]
  )


def test_seeds_differ():
  assert (drawn(40, 20, 13, seed=0).clients != drawn(40, 20, 13, seed=1).clients).any()


@pytest.mark.parametrize("participation", ["shuffled", "uniform"])
@pytest.mark.parametrize("scale", [0, 1, 100, 10_000])
def test_no_round_exceeds_the_planned_capacity(participation, scale):
  rounds = drawn(40, 20, 13, participation=participation)
  lengths = np.random.default_rng(0).integers(0, scale + 1, 40)
  needed = max(sum(lengths[one] for one in clients if one < 40) for clients in rounds.clients)
  # Planned for a likely round, but never for more than the largest there can be.
  largest = np.sort(lengths)[-13:].sum()
  assert needed <= sample_capacity(rounds, lengths) <= max(256, 1.125 * largest + 256)


@pytest.mark.parametrize("num_benign", [39, 20, 1])
@pytest.mark.parametrize("scale", [1, 1000])
def test_no_round_has_more_of_malicious_clients_than_planned(num_benign, scale):
  rounds = drawn(40, num_benign, 13)
  lengths = np.random.default_rng(0).integers(0, scale + 1, 40 - num_benign)
  needed = max(sum(lengths[one] for one in places if one >= 0) for places in rounds.malicious)
  assert needed <= malicious_capacity(rounds, lengths) <= 1.125 * lengths.sum() + 256
