"""Oracle of ClusterAttack: by hand and by differences."""

import math

import numpy as np
import pytest

from tests.oracles import cluster
from tests.oracles_check.numerical import central_difference

# Two pairs on a line, and a point halfway that is nearer to the right one.
POINTS = np.array([[0.0], [1.0], [10.0], [11.0], [6.0]])


def test_two_means_on_a_line():
  # From 0 and 1 all but the first point go to the second centre, 28 / 4 = 7; then 1 is nearer to
  # 0 than to 7, which leaves 0.5 and 9; 6 is nearer to 9, and nothing moves any more.
  found = cluster.lloyd(POINTS, np.array([[0.0], [1.0]]))
  assert found.centers[:, 0].tolist() == [0.5, 9.0]
  assert found.labels == [0, 0, 1, 1, 1]
  assert found.iterations == 3
  # 0.25 + 0.25 + 1 + 4 + 9.
  assert cluster.attack_loss(POINTS, found) == pytest.approx(14.5)
  assert cluster.attack_loss(POINTS, found, per_cluster=True) == pytest.approx(7.25)
  assert cluster.attack_gradient(POINTS, found)[:, 0].tolist() == [-1.0, 1.0, 2.0, 4.0, -6.0]
  assert cluster.attack_gradient(POINTS, found, True)[:, 0].tolist() == [-0.5, 0.5, 1, 2, -3]


def test_a_limit_and_a_tolerance_end_the_iterations():
  first = cluster.lloyd(POINTS, np.array([[0.0], [1.0]]), limit=1)
  assert first.centers[:, 0].tolist() == [0.0, 7.0] and first.labels == [0, 1, 1, 1, 1]
  # The first shift is 6, the second sqrt(0.25 + 4).
  assert cluster.lloyd(POINTS, np.array([[0.0], [1.0]]), tolerance=6.1).iterations == 1
  assert cluster.lloyd(POINTS, np.array([[0.0], [1.0]]), tolerance=2.1).iterations == 2


def test_an_empty_cluster_stays_and_one_cluster_is_the_mean():
  found = cluster.lloyd(POINTS, np.array([[5.0], [100.0]]))
  assert found.centers[:, 0].tolist() == [5.6, 100.0] and found.labels == [0] * 5
  assert cluster.lloyd(POINTS, np.array([[3.0]])).centers[0, 0] == pytest.approx(5.6)
  # A tie goes to the first centre.
  assert cluster.nearest(np.array([1.0]), np.array([[0.0], [2.0]])) == 0


def test_the_gradient_is_the_slope_of_the_loss():
  random = np.random.default_rng(0)
  rows = random.normal(size=(8, 3))
  found = cluster.lloyd(rows, rows[:3])
  np.testing.assert_allclose(
    cluster.attack_gradient(rows, found, True),
    central_difference(lambda one: cluster.attack_loss(one, found, True), rows),
    atol=1e-6,
  )


def test_norm_statistics_by_hand():
  uploads = [{0: np.array([3.0, 4.0])}, {1: np.array([0.0, 1.0]), 0: np.zeros(2)}]
  # Touched norms 5, 1, 0: mean 2, squares 9 + 1 + 4 over 2.
  assert cluster.norm_statistics(uploads, 3, False) == (2.0, pytest.approx(math.sqrt(7.0)))
  # With the three untouched rows: mean 1, squares 16 + 0 + 4 * 1 over 5.
  assert cluster.norm_statistics(uploads, 3, True) == (1.0, pytest.approx(2.0))
  assert cluster.norm_statistics([], 3, True) == (0.0, 0.0)
  assert cluster.norm_statistics([{2: np.array([2.0])}], 3, False) == (2.0, 0.0)


def test_bounds_by_hand():
  row = np.array([3.0, 4.0])
  assert cluster.bounded_row(row, 10.0, False).tolist() == [3.0, 4.0]
  assert cluster.bounded_row(row, 1.0, False).tolist() == pytest.approx([0.6, 0.8])
  assert cluster.bounded_row(row, 10.0, True).tolist() == pytest.approx([6.0, 8.0])
  for rescale in (False, True):
    assert cluster.bounded_row(np.zeros(2), 1.0, rescale).tolist() == [0.0, 0.0]
    assert cluster.bounded_row(row, 0.0, rescale).tolist() == [0.0, 0.0]
  # Bounds 2 + 3 * 0.5 * 4 = 8 and 2.
  both = cluster.malicious_upload(np.array([row, row]), np.array([0.5, 0.0]), 2.0, 4.0, 3.0, True)
  assert np.linalg.norm(both, axis=1).tolist() == pytest.approx([8.0, 2.0])


def steadily(count, losses):
  """Numbers of clusters after each loss."""
  return [count.see(loss) for loss in losses]


@pytest.mark.parametrize(("floor", "second", "third"), [(True, 8, 14), (False, 9, 15)])
def test_rising_losses_make_more_clusters(floor, second, third):
  # 2 + sqrt(48) = 8.93; 8 + sqrt(42) = 14.48, 9 + sqrt(41) = 15.40.
  count = cluster.AdaptiveCount(2, threshold=3, floor=floor)
  # The first loss is compared with nothing, then three rises change the number.
  assert steadily(count, [1, 2, 3, 4]) == [2, 2, 2, second]
  assert steadily(count, [1, 2, 3, 4]) == [second, second, second, third]


@pytest.mark.parametrize("floor", [True, False])
def test_falling_losses_make_fewer_clusters(floor):
  count = cluster.AdaptiveCount(2, threshold=2, floor=floor)
  # 2 - sqrt(1) = 1, and there it stays.
  assert steadily(count, [3, 2, 1, 3, 2, 1]) == [2, 2, 1, 1, 1, 1]
  # From 8, 8 + sqrt(42) = 14.48 is 14 either way; 8 - sqrt(7) = 5.35 is 5.
  assert steadily(cluster.AdaptiveCount(8, threshold=1, floor=floor), [1, 2]) == [8, 14]
  assert steadily(cluster.AdaptiveCount(8, threshold=1, floor=floor), [2, 1]) == [8, 5]


def test_the_average_is_compared_and_not_the_loss():
  # With decay 0.5 averages are 1, (0.5 * 1 + 1 * 4) / 1.5 = 3, then (0.25 + 2 + 3.5) / 1.75 = 3.29:
  # the third loss is below the second, but the average rises, so that both count.
  count = cluster.AdaptiveCount(2, threshold=2, decay=0.5)
  assert steadily(count, [1, 4, 3.5]) == [2, 2, 9]
  # A loss equal to all before it counts as falling.
  assert steadily(cluster.AdaptiveCount(2, threshold=2, decay=0.5), [1, 1, 1]) == [2, 2, 1]


def test_rises_and_falls_cancel_and_the_threshold_grows():
  count = cluster.AdaptiveCount(2, threshold=2, decay=0.5, growth=0.5, floor=True)
  assert steadily(count, [1, 2, 1, 2, 3]) == [2, 2, 2, 2, 8]
  # Now three more rises than falls are needed.
  assert steadily(count, [1, 2, 3, 4]) == [8, 8, 8, 14]


def test_limits_of_the_number():
  assert steadily(cluster.AdaptiveCount(50, threshold=1), [1, 2]) == [50, 50]
  assert steadily(cluster.AdaptiveCount(3, smallest=3, threshold=1), [2, 1]) == [3, 3]


def test_the_contrastive_task_adds_its_slopes():
  rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
  gradient = np.ones((3, 2))
  # A client with one item has no task.
  alone = cluster.with_contrastive_task(gradient, rows, [0], [0], [[2]])
  assert alone.tolist() == gradient.tolist()
  both = cluster.with_contrastive_task(gradient, rows, [0, 1], [1, 0], [[2], [2]], weight=2.0)
  # By symmetry both anchors have similarity 0 to each other and 1 to item 2, hence the share
  # p = e / (1 + e) of the negative: it is pushed along each anchor, and each anchor is pushed
  # along (negative - partner), and along the other as its partner with -p.
  share = math.e / (1 + math.e)
  assert both[2].tolist() == pytest.approx([1 + 2 * share, 1 + 2 * share])
  assert both[0].tolist() == pytest.approx([1 + 2 * share, 1 + 2 * (share - share - share)])
