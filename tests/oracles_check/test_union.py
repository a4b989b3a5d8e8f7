"""Oracle of UNION, against arithmetic by hand, finite differences and all partitions."""

import itertools
import math

import numpy as np
import pytest

from tests.oracles import union
from tests.oracles_check.numerical import central_difference

LOG2, LOG3 = math.log(2.0), math.log(3.0)
ANCHOR = np.array([1.0, 0.0])


def test_info_nce_by_hand():
  # Similarities ln 3 with the partner, 0 with both negatives: shares 3/5, 1/5, 1/5.
  partner, negatives = np.array([LOG3, 1.0]), np.array([[0.0, 2.0], [0.0, -5.0]])
  assert union.info_nce(ANCHOR, partner, negatives) == pytest.approx(math.log(5 / 3))
  slopes = union.info_nce_gradient(ANCHOR, partner, negatives)
  np.testing.assert_allclose(slopes.partner, [-2 / 5, 0.0])
  np.testing.assert_allclose(slopes.negatives, [[1 / 5, 0.0], [1 / 5, 0.0]])
  # -2/5 (ln 3, 1) + 1/5 (0, 2) + 1/5 (0, -5).
  np.testing.assert_allclose(slopes.anchor, [-2 / 5 * LOG3, -1.0])


def test_temperature_divides_similarities():
  # Similarity 2 ln 3 at temperature 2: shares 3/4 and 1/4; slopes carry another 1/2.
  partner, negatives = np.array([2 * LOG3, 0.0]), np.zeros((1, 2))
  assert union.info_nce(ANCHOR, partner, negatives, 2.0) == pytest.approx(math.log(4 / 3))
  slopes = union.info_nce_gradient(ANCHOR, partner, negatives, 2.0)
  np.testing.assert_allclose(slopes.partner, [-1 / 8, 0.0])
  np.testing.assert_allclose(slopes.negatives, [[1 / 8, 0.0]])


def test_cosines_by_hand():
  # Cosines 3/5 and 3/5 of vectors of other lengths: shares 1/2; a row's slope has no part along it.
  anchor, partner, negatives = np.array([7.0, 0.0]), np.array([3.0, 4.0]), np.array([[6.0, -8.0]])
  assert union.info_nce(anchor, partner, negatives, normalized=True) == pytest.approx(LOG2)
  slopes = union.info_nce_gradient(anchor, partner, negatives, normalized=True)
  # (1, 0) - 3/5 (3/5, 4/5) = (16/25, -12/25), over the length 5 and times -1/2.
  np.testing.assert_allclose(slopes.partner, [-16 / 250, 12 / 250])
  np.testing.assert_allclose(slopes.negatives, [[16 / 500, 12 / 500]])
  # -1/2 (3/5, 4/5) + 1/2 (3/5, -4/5) = (0, -4/5), over the length 7.
  np.testing.assert_allclose(slopes.anchor, [0.0, -4 / 35])


def test_a_zero_vector_has_no_direction():
  zero = np.zeros(2)
  assert union.info_nce(zero, ANCHOR, ANCHOR[None], normalized=True) == pytest.approx(LOG2)
  slopes = union.info_nce_gradient(zero, ANCHOR, ANCHOR[None], normalized=True)
  assert not slopes.anchor.any() and not slopes.partner.any()


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_info_nce_gradient_is_the_slope_of_the_loss(seed, normalized):
  random = np.random.default_rng(seed)
  anchor, partner, negatives = (random.normal(size=shape) for shape in (3, 3, (4, 3)))
  rest = (0.7, normalized)
  slopes = union.info_nce_gradient(anchor, partner, negatives, *rest)
  expected = (
    central_difference(lambda one: union.info_nce(one, partner, negatives, *rest), anchor),
    central_difference(lambda one: union.info_nce(anchor, one, negatives, *rest), partner),
    central_difference(lambda one: union.info_nce(anchor, partner, one, *rest), negatives),
  )
  for found, slope in zip(slopes, expected, strict=True):
    np.testing.assert_allclose(found, slope, atol=1e-8)


def test_a_task_of_two_anchors_by_hand():
  # Items 0 = (1, 0), 1 = (ln 3, 0) and the negative 2 = (0, 1): similarities ln 3 and 0, shares 3/4
  # and 1/4, each item the other's partner. Anchor 0 gives item 0 the slope -1/4 item 1 + 1/4 item
  # 2, item 1 -1/4 item 0 and item 2 1/4 item 0. Anchor 1 likewise.
  table = np.array([[1.0, 0.0], [LOG3, 0.0], [0.0, 1.0]])
  loss, rows = union.contrastive_task(table, [0, 1], [1, 0], [[2], [2]])
  assert loss == pytest.approx(2 * math.log(4 / 3))
  np.testing.assert_allclose(rows[0], [-LOG3 / 2, 1 / 4])
  np.testing.assert_allclose(rows[1], [-1 / 2, 1 / 4])
  np.testing.assert_allclose(rows[2], [(1 + LOG3) / 4, 0.0])
  half, halves = union.contrastive_task(
    table, [0, 1], [1, 0], [[2], [2]], weight=3.0, reduction="mean"
  )
  assert half == pytest.approx(1.5 * loss)
  np.testing.assert_allclose(halves[2], 1.5 * rows[2])


def test_a_single_item_has_no_task():
  assert union.contrastive_task(np.eye(3), [1], [0], [[2]]) == (0.0, {})


def test_a_task_whose_items_repeat_is_the_slope_of_its_loss():
  random = np.random.default_rng(5)
  table = random.normal(size=(5, 2))
  draws = ([0, 3, 0], [1, 2, 0], [[1, 2], [2, 4], [4, 1]])
  _, rows = union.contrastive_task(table, *draws)
  slope = central_difference(lambda one: union.contrastive_task(one, *draws)[0], table)
  for item in range(5):
    np.testing.assert_allclose(rows[item], slope[item], atol=1e-8)


def test_trial_of_gradient_descent():
  table = np.array([[1.0], [2.0], [3.0]])
  rows = union.trial_rows(table, [2, 0, 2], {2: np.array([4.0])}, 0.5)
  assert rows.tolist() == [[1.0], [1.0], [1.0]]


def test_trial_of_adam_by_hand():
  # First step: both corrected moments are the gradient's, and the step is eta times its sign.
  table = np.array([[1.0], [2.0]])
  fresh = union.Adam(np.zeros((2, 1)), np.zeros((2, 1)), 0)
  rows = union.trial_rows(table, [0, 1], {1: np.array([-3.0])}, 0.5, fresh)
  np.testing.assert_allclose(rows, [[1.0], [2.5]], atol=1e-6)
  # Second step, gradient 1 after moments 1 and 4: (0.9 + 0.1) / 0.19 over the root of
  # (0.999 * 4 + 0.001) / 0.001999. An item that the client did not send moves by momentum.
  moments = union.Adam(np.ones((2, 1)), np.full((2, 1), 4.0), 1)
  rows = union.trial_rows(table, [0, 1], {0: np.array([1.0])}, 0.1, moments)
  moved = [0.1 / 0.19 / math.sqrt(3.997 / 0.001999), 0.09 / 0.19 / math.sqrt(3.996 / 0.001999)]
  np.testing.assert_allclose(rows, [[1 - moved[0]], [2 - moved[1]]], rtol=1e-7)
  assert np.array_equal(moments.first, np.ones((2, 1)))


def test_uniformity_of_a_triangle():
  # Distances 3, 4, 5.
  rows = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
  assert union.uniformity(rows, squared=False) == pytest.approx(4.0)
  assert union.uniformity(rows, squared=True) == pytest.approx(50 / 3)


def test_an_item_drawn_twice_is_a_pair_at_distance_zero():
  rows = np.array([[1.0], [1.0], [4.0]])
  assert union.uniformity(rows, squared=False) == pytest.approx(2.0)


def test_best_split_by_hand():
  # 0, 1 | 5, 6, 10 leaves 1/2 + 14, and 0, 1, 5, 6 | 10 leaves 26.
  lower, upper = union.best_split(np.array([6.0, 0.0, 10.0, 1.0, 5.0]))
  assert lower.tolist() == [0.0, 1.0] and upper.tolist() == [5.0, 6.0, 10.0]
  assert union.within([lower, upper]) == pytest.approx(14.5)


@pytest.mark.parametrize("values", [[], [2.0], [3.0, 3.0, 3.0]], ids=len)
def test_nothing_to_split(values):
  lower, upper = union.best_split(np.array(values))
  assert lower.tolist() == values and len(upper) == 0


@pytest.mark.parametrize("seed", range(20))
def test_no_partition_beats_the_best_cut(seed):
  random = np.random.default_rng(seed)
  values = random.integers(0, 9, random.integers(2, 9)).astype(float)
  everything = [
    union.within([values[np.array(side)], values[~np.array(side)]])
    for side in itertools.product((False, True), repeat=len(values))
  ]
  assert union.within(union.best_split(values)) == pytest.approx(min(everything), abs=1e-12)


# Two sets of references of four numbers, with w_1 = 5/9 and 19/36, and w_2 = 1/9 and 2/27.
REFERENCES = np.array([[0.0, 1 / 3, 2 / 3, 1.0], [0.0, 1 / 3, 1 / 3, 1.0]])


def test_gap_statistic_by_hand():
  logs = {
    "w_1": [math.log(union.within([one])) for one in REFERENCES],
    "w_2": [math.log(union.within(union.best_split(one))) for one in REFERENCES],
  }
  assert logs["w_1"] == pytest.approx([math.log(5 / 9), math.log(19 / 36)])
  # 0, 1/3 | 2/3, 1 leaves 2/18; 0, 1/3, 1/3 | 1 leaves 2/27.
  assert logs["w_2"] == pytest.approx([math.log(1 / 9), math.log(2 / 27)])
  # s_2 = sqrt(3 / 4 * 2 * (ln 1.5 / 2)^2) = 0.2483; mean logs -0.6134 and -2.4000.
  # 0, 0.1, 0.9, 1: w_1 = 0.82, w_2 = 0.01: gaps -0.4150 and 2.2052: two clusters.
  assert union.is_two_clusters(np.array([0.0, 0.1, 0.9, 1.0]), REFERENCES)
  # 0, 0.3, 0.7, 1: w_1 = 0.58, w_2 = 0.09: gaps -0.0687 and 0.0080, less than s_2 apart.
  assert not union.is_two_clusters(np.array([0.0, 0.3, 0.7, 1.0]), REFERENCES)


def test_the_spread_decides_near_the_border():
  # 0, b, 1 - b, 1 has w_1 = (1 + (1 - 2b)^2) / 2 and w_2 = b^2. The gaps differ by
  # ln(w_1 / w_2) - 1.7865, which has to exceed 0.2483: at b = 1/4, ln 10 - 1.7865 = 0.5160 does;
  # at b = 0.279, 0.2519 still does; at b = 0.28, ln(0.5968 / 0.0784) - 1.7865 = 0.2432 does not.
  def decision(b):
    return union.is_two_clusters(np.array([0.0, b, 1 - b, 1.0]), REFERENCES)

  assert decision(0.25) and decision(0.279) and not decision(0.28)


def test_values_are_scaled_before_they_are_judged():
  values = np.array([0.0, 0.1, 0.9, 1.0])
  for scale, shift in ((1e-3, 0.0), (50.0, 7.0)):
    assert union.is_two_clusters(scale * values + shift, REFERENCES)


@pytest.mark.parametrize(
  ("values", "expected"),
  [([5.0, 5.0, 5.0, 5.0], False), ([1.0, 1.0, 1.0, 3.0], True), ([1.0, 3.0], False), ([], False)],
  ids=str,
)
def test_where_a_logarithm_has_no_value(values, expected):
  assert union.is_two_clusters(np.array(values), REFERENCES[:, : len(values)]) is expected


def test_the_smaller_cluster_is_rejected():
  references = np.array([[0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.2, 0.5, 0.8, 1.0]])
  assert union.rejected([1.0, 9.0, 1.1, 0.9, 1.2], references) == {1}
  assert union.rejected([9.0, 1.0, 9.1, 8.9, 9.2], references) == {1}
  assert union.rejected([9.0, 1.0, 9.1, 1.1, 9.2], references) == {1, 3}
  assert union.rejected([1.0, 2.0, 3.0, 4.0, 5.0], references) == set()


def test_of_two_equal_clusters_the_larger_values_are_rejected():
  assert union.rejected([1.0, 0.1, 0.9, 0.0], REFERENCES) == {0, 2}


def test_a_known_number_of_attackers():
  values, references = [0.0, 0.3, 0.7, 1.0], REFERENCES
  assert union.rejected(values, references) == set()
  assert union.rejected(values, references, known=1) == set()
  assert union.rejected(values, references, known=2) == {2, 3}
  assert union.rejected([4.0, 6.0], references[:, :2], known=1) == {1}
  assert union.rejected([4.0, 4.0], references[:, :2], known=1) == set()
  assert union.rejected([4.0], references[:, :1], known=1) == set()
  assert union.rejected([], references[:, :0], known=1) == set()


@pytest.mark.parametrize(
  ("clients", "ratio", "expected"), [(50, 0.01, 1), (50, 0.05, 3), (50, 0.0, 0), (100, 0.29, 29)]
)
def test_known_attackers(clients, ratio, expected):
  assert union.known_attackers(clients, ratio) == expected
