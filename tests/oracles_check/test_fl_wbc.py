"""Oracle of FL-WBC, against arithmetic by hand."""

import numpy as np

from tests.oracles import fl_wbc


def test_noise_is_added_where_the_change_is_no_larger():
  # Changes 0, 0.25, 0.5 and -1 beside noise of size 0.5: the third is just let through.
  row = np.array([1.0, 1.25, 1.5, 0.0])
  previous = np.ones(4)
  noise = np.array([0.5, -0.5, -0.5, 0.5])
  found = fl_wbc.perturbed_row(row, previous, noise)
  np.testing.assert_array_equal(found, [1.5, 0.75, 1.0, 0.0])


def test_a_coordinate_that_stays_lets_the_smallest_noise_through():
  one = np.array([2.0])
  assert fl_wbc.perturbed_row(one, one, np.array([1e-9]))[0] == 2.0 + 1e-9
  assert fl_wbc.perturbed_row(one, one, np.zeros(1))[0] == 2.0


def test_a_client_over_three_participations():
  client = fl_wbc.Client()
  noise = {3: np.array([1.0]), 8: np.array([1.0])}
  # The first time nothing is added, whatever the noise.
  first = client.participate({3: np.array([5.0]), 8: np.array([2.0])}, noise)
  assert [first[3][0], first[8][0]] == [5.0, 2.0]
  # Item 3 has changed by 0.5, item 8 by 3.
  second = client.participate({3: np.array([5.5]), 8: np.array([5.0])}, noise)
  assert [second[3][0], second[8][0]] == [6.5, 5.0]
  # Compared with the gradient before noise: 6.5 - 5.5 = 1 is let through, 6.5 - 6.5 = 0 would be
  # too, but 4.25 is 1.25 away from 5.5.
  third = client.participate({3: np.array([4.25]), 8: np.array([5.0])}, noise)
  assert [third[3][0], third[8][0]] == [4.25, 6.0]


def test_clients_remember_for_themselves():
  first, second = fl_wbc.Client(), fl_wbc.Client()
  rows, noise = {0: np.array([1.0])}, {0: np.array([9.0])}
  first.participate(rows, noise)
  assert second.participate(rows, noise)[0][0] == 1.0
  assert first.participate(rows, noise)[0][0] == 10.0


def test_weights_are_perturbed_and_biases_are_not():
  client = fl_wbc.Client()
  ones = [np.ones((2, 2)), np.ones(2)]
  noise = [np.full((2, 2), 0.5), np.full(2, 0.5)]
  for found, sent in zip(client.share(ones, noise), ones, strict=True):
    np.testing.assert_array_equal(found, sent)
  # The weights change by 0, 0.5, 1 and -0.25.
  weights, bias = client.share([np.array([[1.0, 1.5], [2.0, 0.75]]), np.ones(2)], noise)
  np.testing.assert_array_equal(weights, [[1.5, 2.0], [2.0, 1.25]])
  np.testing.assert_array_equal(bias, [1.0, 1.0])
