"""Oracle of the aggregation rules, against arithmetic by hand."""

import numpy as np
import pytest

from tests.oracles import aggregation

# First coordinate sorted 0 1 2 3 100, second -50 1 2 3 4.
FIVE = np.array([[3.0, 1.0], [100.0, 3.0], [0.0, 2.0], [1.0, -50.0], [2.0, 4.0]])
NONE = np.zeros((0, 2))


def column(*values):
  return np.array(values).reshape(-1, 1)


def test_sum_and_mean():
  np.testing.assert_allclose(aggregation.sum_(FIVE), [106.0, -40.0])
  np.testing.assert_allclose(aggregation.mean(FIVE), [21.2, -8.0])


def test_median_of_odd_and_even_counts():
  np.testing.assert_allclose(aggregation.median(FIVE), [2.0, 2.0])
  np.testing.assert_allclose(aggregation.median(FIVE, scale="sum"), [10.0, 10.0])
  # Without the last row: 0 1 3 100 -> 2 and -50 1 2 3 -> 1.5.
  np.testing.assert_allclose(aggregation.median(FIVE[:4]), [2.0, 1.5])


def test_trimmed_mean_drops_extremes():
  # f = 1: (1 + 2 + 3) / 3 and (1 + 2 + 3) / 3. f = 2: the median.
  np.testing.assert_allclose(aggregation.trimmed_mean(FIVE, 1, "extremes"), [2.0, 2.0])
  np.testing.assert_allclose(aggregation.trimmed_mean(FIVE, 2, "extremes"), [2.0, 2.0])
  # Times n = 5, not times the three values kept.
  scaled = aggregation.trimmed_mean(FIVE, 1, "extremes", scale="sum")
  np.testing.assert_allclose(scaled, [10.0, 10.0])


def test_trimmed_mean_around_the_median():
  # Medians 2 and 2. f = 1 drops 100 and -50: (0 + 1 + 2 + 3) / 4 and (1 + 2 + 3 + 4) / 4.
  np.testing.assert_allclose(aggregation.trimmed_mean(FIVE, 1, "around_median"), [1.5, 2.5])
  # f = 3 keeps 2 and, of 1 and 3 at equal distance, 1.
  np.testing.assert_allclose(aggregation.trimmed_mean(FIVE, 3, "around_median"), [1.5, 1.5])
  scaled = aggregation.trimmed_mean(FIVE, 1, "around_median", scale="sum")
  np.testing.assert_allclose(scaled, [7.5, 12.5])


def test_the_two_readings_differ():
  # 0 1 2 10, f = 1. Extremes: (1 + 2) / 2. Median 1.5, distances 1.5 0.5 0.5 8.5: (0 + 1 + 2) / 3.
  rows = column(10.0, 0.0, 2.0, 1.0)
  assert aggregation.trimmed_mean(rows, 1, "extremes")[0] == pytest.approx(1.5)
  assert aggregation.trimmed_mean(rows, 1, "around_median")[0] == pytest.approx(1.0)


def test_ties_around_the_median_are_decided_exactly():
  # The middle two values are equally far from their mean. In floating point (0.1 + 0.2) / 2 is
  # 0.15000000000000002, to which 0.2 seems nearer; the smaller value is the one to keep.
  assert aggregation.trimmed_mean(column(0.2, 0.1), 1, "around_median")[0] == 0.1


@pytest.mark.parametrize("reading", ["extremes", "around_median"])
def test_nothing_trimmed_is_the_mean(reading):
  np.testing.assert_allclose(aggregation.trimmed_mean(FIVE, 0, reading), aggregation.mean(FIVE))


@pytest.mark.parametrize(
  ("reading", "trimmed"), [("extremes", 1), ("extremes", 5), ("around_median", 2)]
)
def test_too_few_rows(reading, trimmed):
  rows = column(1.0, 4.0)
  fallback = aggregation.trimmed_mean(rows, trimmed, reading)
  np.testing.assert_allclose(fallback, [2.5])
  fallback = aggregation.trimmed_mean(rows, trimmed, reading, scale="sum")
  np.testing.assert_allclose(fallback, [5.0])
  nothing = aggregation.trimmed_mean(rows, trimmed, reading, too_few="zero")
  np.testing.assert_array_equal(nothing, [0.0])


def test_one_row():
  row = np.array([[3.0, -4.0]])
  for result in (
    aggregation.sum_(row),
    aggregation.mean(row),
    aggregation.median(row),
    aggregation.median(row, scale="sum"),
    aggregation.trimmed_mean(row, 0, "extremes"),
    aggregation.trimmed_mean(row, 1, "around_median"),
  ):
    np.testing.assert_array_equal(result, row[0])


def test_no_row():
  for result in (
    aggregation.sum_(NONE),
    aggregation.mean(NONE),
    aggregation.median(NONE),
    aggregation.median(NONE, scale="sum"),
    aggregation.trimmed_mean(NONE, 0, "extremes"),
    aggregation.trimmed_mean(NONE, 3, "around_median", too_few="zero"),
  ):
    np.testing.assert_array_equal(result, [0.0, 0.0])


@pytest.mark.parametrize(
  ("count", "ratio", "expected"),
  # At 5 % nothing is trimmed below 20 rows. 0.29 * 100 is 28.999999999999996 in floating point.
  [(0, 0.05, 0), (1, 0.05, 0), (19, 0.05, 0), (20, 0.05, 1), (39, 0.05, 1), (100, 0.29, 29)],
)
def test_trim_count_by_ratio(count, ratio, expected):
  assert aggregation.trim_count(count, "ratio_of_count", ratio) == expected


@pytest.mark.parametrize("rule", ["global", "per_round", "number"])
def test_trim_count_by_number(rule):
  assert aggregation.trim_count(3, rule, 47) == 47
  assert aggregation.trim_count(300, rule, 47) == 47


def test_norm_bound():
  # Norm 5 scaled to 2: (3, 4) * 2/5.
  np.testing.assert_allclose(aggregation.norm_bound(np.array([3.0, 4.0]), 2.0), [1.2, 1.6])
  np.testing.assert_array_equal(aggregation.norm_bound(np.array([3.0, 4.0]), 5.0), [3.0, 4.0])
  np.testing.assert_array_equal(aggregation.norm_bound(np.zeros(2), 1.0), [0.0, 0.0])


def test_norm_bound_of_shared_parameters():
  # Rows of norms 5 and 1 to 2; the whole matrix is longer than either. A bias is one vector.
  weights = np.array([[3.0, 4.0], [0.6, 0.8]])
  bounded = aggregation.norm_bound_shared(weights, 2.0)
  np.testing.assert_allclose(bounded, [[1.2, 1.6], [0.6, 0.8]])
  np.testing.assert_allclose(aggregation.norm_bound_shared(weights[0], 2.0), [1.2, 1.6])


def test_group_by_item():
  rows = [np.array([float(index)]) for index in range(4)]
  uploads = [(7, 2, rows[0]), (8, 0, rows[1]), (3, 2, rows[2]), (7, 0, rows[3])]
  assert aggregation.group_by_item(uploads) == {
    2: [(7, rows[0]), (3, rows[2])],
    0: [(8, rows[1]), (7, rows[3])],
  }
  assert aggregation.group_by_item([]) == {}
