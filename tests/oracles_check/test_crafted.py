"""Oracle of LIE, Fang and the Gaussian attack, against arithmetic by hand."""

import numpy as np
import pytest

from tests.oracles import crafted

# Client 3 sends item 5 twice: its row is 1 + 3.
UPLOADS = [
  (3, 5, np.array([1.0, -1.0])),
  (1, 5, np.array([2.0, 2.0])),
  (3, 5, np.array([3.0, 1.0])),
  (0, 7, np.array([6.0, 0.0])),
]


def test_rows_by_item():
  rows = crafted.rows_by_item(UPLOADS)
  assert set(rows) == {5, 7}
  np.testing.assert_array_equal(rows[5], [[2, 2], [4, 0]])
  np.testing.assert_array_equal(rows[7], [[6, 0]])
  zeros = crafted.rows_by_item(UPLOADS, zeros=True)
  np.testing.assert_array_equal(zeros[5], [[0, 0], [2, 2], [4, 0]])
  np.testing.assert_array_equal(zeros[7], [[6, 0], [0, 0], [0, 0]])


def test_mean_and_deviation():
  rows = np.array([[2.0, 2.0], [4.0, 0.0]])
  mean, deviation = crafted.mean_and_deviation(rows)
  assert mean.tolist() == [3, 1] and deviation.tolist() == [1, 1]
  assert crafted.mean_and_deviation(rows, sample=True)[1].tolist() == [2**0.5, 2**0.5]
  for sample in (False, True):
    assert crafted.mean_and_deviation(rows[:1], sample=sample)[1].tolist() == [0, 0]


@pytest.mark.parametrize(
  ("clients", "malicious", "expected"),
  [
    # The example of Baruch et al., section 3: s = 26 - 24, and 24 of 26 honest ones to spare.
    (50, 24, 1.4261),
    (50, 12, 0.336),
    (50, 10, 0.253),
    (100, 3, 0.013),
    # (50 - 1 - 25) / 49 is below a half.
    (50, 1, 0.0),
    # Two of three are a majority: nobody else is needed.
    (3, 2, 9.0),
    (1, 1, 9.0),
    # One of two needs the other one, and has nobody to spare.
    (2, 1, 0.0),
  ],
)
def test_largest_z(clients, malicious, expected):
  assert crafted.largest_z(clients, malicious, 9.0) == pytest.approx(expected, abs=1e-3)


def test_lie_row():
  rows = np.array([[2.0, -2.0, 1.0], [4.0, 0.0, -1.0]])  # means 3, -1, 0; deviations 1
  assert crafted.lie_row(rows, 2.0, "plus").tolist() == [5, 1, 2]
  assert crafted.lie_row(rows, 2.0, "minus").tolist() == [1, -3, -2]
  assert crafted.lie_row(rows, 2.0, "against").tolist() == [1, 1, 0]


def test_clipped():
  rows = np.array([[2.0, -2.0, 1.0], [4.0, 0.0, -1.0]])
  wanted = np.array([9.0, -1.5, -3.0])
  assert crafted.clipped(wanted, rows, 2.0).tolist() == [5, -1.5, -2]


def test_partial_interval():
  rows = np.array([[2.0, -2.0, 1.0], [4.0, 0.0, -1.0]])
  low, high = crafted.partial_interval(rows, 3.0, 4.0)
  assert low.tolist() == [-1, 2, 0] and high.tolist() == [0, 3, 0]


@pytest.mark.parametrize(
  ("column", "expected"),
  [
    ([1.0, 3.0], (0.5, 1.0)),
    ([-1.0, 3.0], (-2.0, -1.0)),
    ([1.0, -3.0], (1.0, 2.0)),
    ([-1.0, -3.0], (-1.0, -0.5)),
    ([0.0, 3.0], (0.0, 0.0)),
    ([-2.0, 2.0], (0.0, 0.0)),
  ],
)
def test_full_interval(column, expected):
  low, high = crafted.full_interval(np.array(column)[:, None], 2.0)
  assert (low[0], high[0]) == expected


def test_against_krum():
  # Rows 1, 2, 3 and one copy: n = 4, n - c - 2 = 1 neighbour. The bound: nearest square 1 over
  # (4 - 2 - 1) * 1, plus 3. At -4, -2 and -1 the copy's nearest row is 5, 3 and 2 away, at -0.5 it is
  # 1.5; honest rows have a neighbour at 1. At -0.25, -0.125, ... it is never nearer than 1.
  rows = np.array([[1.0], [2.0], [3.0]])
  row, length = crafted.against_krum(rows, 1, threshold=0.1)
  assert length == 4 / 2**6 and row.tolist() == [-length]
  # With two copies, each has the other at distance 0: the first length is taken. Its divisor is 1.
  row, length = crafted.against_krum(rows, 2, threshold=0.1)
  assert length == 4 and row.tolist() == [-4]
  # From the mean 2 the bound is 1 + 1; at 0 the nearest row is 1 away, as near as that of others;
  # at 2 - 1 it is on a row: both have a score of 0. At 2 - 0.5 it is 0.5 away from two rows, of which
  # each has its score by it. A lone copy never wins.
  row, length = crafted.against_krum(rows, 1, threshold=0.1, from_mean=True)
  assert length == 2 / 2**5 and row.tolist() == [2 - length]


def test_against_krum_with_one_row():
  # No other row: no summand. At -2 both have the same only distance.
  row, length = crafted.against_krum(np.array([[2.0]]), 1, threshold=1.5)
  assert length == 1 and row.tolist() == [-1]
  row, length = crafted.against_krum(np.array([[-2.0]]), 2, threshold=1.5)
  assert length == 2 and row.tolist() == [2]
