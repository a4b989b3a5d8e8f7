"""Uploaders per item: expectations against the oracle, and draws against expectations."""

import numpy as np
import pytest

from fedrecjax import load
from fedrecjax.analysis import (
  draw_counts,
  expected_uploaders,
  interactions_per_item,
  item_reach,
  largest_list,
)
from fedrecjax.config import from_flat
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.planning import plan
from tests.oracles import breakdown


def dataset_of(lists, num_items):
  held_out = ItemLists.from_lists([[]] * len(lists))
  return Dataset("given", len(lists), num_items, ItemLists.from_lists(lists), held_out)


def lists_of(dataset):
  return [dataset.train.of(user).tolist() for user in range(dataset.num_users)]


def assert_near(draws, expected, tolerance=5.0):
  """Means of independent draws `[draws, ...]` lie within `tolerance` standard errors."""
  error = draws.std(axis=0) / np.sqrt(len(draws))
  assert (np.abs(draws.mean(axis=0) - expected) <= tolerance * error + 1e-9).all()


def test_degrees_count_users_once(small):
  expected = [sum(item in items for items in lists_of(small)) for item in range(small.num_items)]
  assert interactions_per_item(small).tolist() == expected
  assert small.popularity.sum() > sum(expected)
  assert largest_list(small) == max(len(set(items)) for items in lists_of(small)) == 18
  assert largest_list(dataset_of([[1, 1, 1, 2], [0, 1]], 4)) == 2


@pytest.mark.parametrize("num_negatives", [0, 1, 4])
def test_expected_uploaders(small, num_negatives):
  expected = breakdown.expected_uploaders(lists_of(small), small.num_items, num_negatives)
  np.testing.assert_allclose(
    expected_uploaders(small, num_negatives=num_negatives), expected, rtol=1e-12
  )


def test_draws_without_negatives_are_the_degrees(small):
  counts = draw_counts(small, num_malicious=7, num_rounds=2, num_negatives=0)
  assert (counts.benign == interactions_per_item(small)).all()
  assert (counts.malicious == 7).all() and counts.malicious.shape == (2, small.num_items)


@pytest.mark.parametrize("num_negatives", [1, 3])
def test_draws_have_the_expected_mean(small, num_negatives):
  counts = draw_counts(small, num_malicious=0, num_rounds=3000, num_negatives=num_negatives)
  assert (counts.benign >= interactions_per_item(small)).all()
  expected = breakdown.expected_uploaders(lists_of(small), small.num_items, num_negatives)
  assert_near(counts.benign, expected)


def test_a_negative_is_an_item_outside_the_list():
  lists = [[0, 1, 3, 4], [0, 1, 2, 3], [1, 2, 3, 4]]
  counts = draw_counts(dataset_of(lists, 5), num_malicious=0, num_rounds=20)
  assert (counts.benign == 3).all()
  first, last = dataset_of([[0, 1, 2]], 4), dataset_of([[1, 2, 3]], 4)
  for dataset in (first, last):
    assert (draw_counts(dataset, num_malicious=0, num_rounds=1).benign == 1).all()


def test_rounds_of_some_clients():
  # Item 0 is everybody's, and every client has one item of its own.
  dataset = dataset_of([[0, user + 1] for user in range(30)], 31)
  counts = draw_counts(
    dataset, num_malicious=10, num_rounds=2000, clients_per_round=12, num_negatives=0
  )
  benign, malicious = counts.benign, counts.malicious
  assert (benign[:, 0] + malicious[:, 0] == 12).all()
  assert (malicious == malicious[:, :1]).all()
  assert (benign[:, 1:].sum(axis=1) == benign[:, 0]).all()
  assert_near(malicious[:, 0], 12 * 10 / 40)
  assert_near(benign[:, 1:], 12 / 40)


def test_a_round_is_no_larger_than_the_federation(small):
  counts = draw_counts(small, num_malicious=3, num_rounds=2, clients_per_round=500, num_negatives=0)
  assert (counts.malicious == 3).all()
  assert (counts.benign == interactions_per_item(small)).all()


def test_sampled_attackers_draw_by_popularity():
  dataset = dataset_of([[0, 1, 2, 4], [0, 1, 4], [0, 4], [0, 4], [4, 4, 4]], 6)
  weights = [4, 2, 1, 0, 7, 0]
  assert dataset.popularity.tolist() == weights
  counts = draw_counts(dataset, num_malicious=1, num_rounds=4000, num_negatives=0, max_items=2)
  assert (counts.malicious.sum(axis=1) == 2).all() and counts.malicious.max() == 1
  assert_near(counts.malicious, breakdown.inclusion_probabilities(weights, 2))
  several = draw_counts(dataset, num_malicious=50, num_rounds=3, num_negatives=0, max_items=3)
  assert (several.malicious.sum(axis=1) == 150).all() and several.malicious.max() <= 50


@pytest.mark.parametrize("max_items", [4, 5, 6, 100])
def test_attackers_that_may_have_all_items_take_those_that_occur(max_items):
  dataset = dataset_of([[0, 1, 2, 4], [0, 4]], 6)
  counts = draw_counts(dataset, num_malicious=5, num_rounds=1, max_items=max_items, num_negatives=0)
  assert counts.malicious[0].tolist() == [5, 5, 5, 0, 5, 0]
  assert item_reach(dataset.popularity, max_items).tolist() == [1, 1, 1, 0, 1, 0]


def test_reach_of_attackers(small):
  assert (item_reach(small.popularity, None) == 1).all()
  for max_items in (1, 5, 20):
    reach = item_reach(small.popularity, max_items)
    assert reach.sum() == pytest.approx(max_items)
    assert (reach[small.popularity == 0] == 0).all()
    order = np.argsort(small.popularity, kind="stable")
    assert (np.diff(reach[order]) >= 0).all() and reach.max() <= 1
  weights = [5, 3, 2, 2, 1, 1, 0]
  exact = breakdown.inclusion_probabilities(weights, 3)
  np.testing.assert_allclose(item_reach(weights, 3), exact, atol=0.03)


def test_seeds(small):
  options = {"num_malicious": 6, "num_rounds": 3, "clients_per_round": 9, "max_items": 4}
  one, again, other = (draw_counts(small, **options, seed=seed) for seed in (1, 1, 2))
  assert (one.benign == again.benign).all() and (one.malicious == again.malicious).all()
  assert (one.benign != other.benign).any() and (one.malicious != other.malicious).any()
  assert (one.benign[0] != one.benign[1]).any()


def test_a_user_with_all_items_has_no_negative():
  dataset = dataset_of([[0], [0, 1, 2]], 3)
  for call in (
    lambda: draw_counts(dataset, num_malicious=1, num_rounds=1),
    lambda: expected_uploaders(dataset),
  ):
    with pytest.raises(ValueError, match="given: user 1 has interacted with all 3 items"):
      call()
  counts = draw_counts(dataset, num_malicious=1, num_rounds=1, num_negatives=0)
  assert counts.benign[0].tolist() == [2, 1, 1]
  assert expected_uploaders(dataset, num_negatives=0).tolist() == [2, 1, 1]


def test_the_simulator_uploads_as_many_rows():
  """Uploaders in the pairs that the simulator trains on, against the expectation."""
  dataset = load("synthetic")
  config = from_flat({"train.epochs": 1})
  planned = plan(
    dataset, model=config.model.build(), attack=config.attack.build(),
    defense=config.defense[0].build(), train=config.train, attacker=config.attacker,
    evaluation=config.eval, seed=0,
  )
  items = np.asarray(planned.constants.data.training.negatives)[:, 0]
  users = dataset.train.users.astype(np.int64)
  pairs = np.unique(np.concatenate([
    users * dataset.num_items + dataset.train.items, users * dataset.num_items + items,
  ]))
  uploaders = np.bincount(pairs % dataset.num_items, minlength=dataset.num_items)
  expected = expected_uploaders(dataset)
  # A sum of independent chances varies by no more than the mean of its random part.
  deviation = (uploaders - expected) / np.sqrt(expected - interactions_per_item(dataset))
  assert np.abs(deviation).max() < 5.5 and 0.7 < deviation.std() < 1
  assert abs(uploaders.sum() / expected.sum() - 1) < 0.002
