"""Oracle of Spattack: by hand."""

import numpy as np
import pytest

from tests.oracles import spattack

ROWS = [
  (0, 1, np.array([1.0, 0.0])),
  (0, 1, np.array([2.0, 0.0])),
  (3, 1, np.array([0.0, 4.0])),
  (3, 0, np.array([-6.0, 8.0])),
]


def test_sums_by_hand():
  assert spattack.benign_sums(ROWS, 3, 2).tolist() == [[-6, 8], [3, 4], [0, 0]]
  # Client 0's first record for item 1 is overwritten by its second.
  assert spattack.benign_sums(ROWS, 3, 2, last_copy=True).tolist() == [[-6, 8], [2, 4], [0, 0]]
  clipped = spattack.clipped(ROWS, 2.0)
  rows = [row for _, _, row in clipped]
  np.testing.assert_allclose(rows, [[1, 0], [2, 0], [0, 2], [-1.2, 1.6]])


def test_a_dense_attack_shares_each_sum_equally():
  uploads = spattack.opposite(spattack.benign_sums(ROWS, 3, 2), [range(3)] * 2)
  assert uploads[0][0].tolist() == uploads[1][0].tolist() == [3, -4]
  assert uploads[0][1].tolist() == [-1.5, -2] and uploads[0][2].tolist() == [0, 0]
  assert spattack.opposite_shared(np.array([4.0, -2.0]), 2).tolist() == [-2, 1]


def test_a_sparse_attack_shares_each_sum_among_holders():
  sums = spattack.benign_sums(ROWS, 3, 2)
  uploads = spattack.opposite(sums, [[0, 1], [1], [2]])
  assert uploads[0][0].tolist() == [6, -8]
  assert uploads[0][1].tolist() == uploads[1][1].tolist() == [-1.5, -2]
  assert list(uploads[1]) == [1] and uploads[2][2].tolist() == [0, 0]


def test_inclusion_probabilities_by_hand():
  # One of popularities 1, 2, 3: in proportion. Two: the item left out is drawn last; item 0 is left
  # out by (1, 2) or (2, 1): 2/6 * 3/4 + 3/6 * 2/3 = 7/12; item 1 by 1/6 * 3/5 + 3/6 * 1/3 = 4/15.
  assert spattack.inclusion_probabilities([1, 2, 3], 1) == pytest.approx([1 / 6, 1 / 3, 1 / 2])
  assert spattack.inclusion_probabilities([1, 2, 3], 2) == pytest.approx([5 / 12, 11 / 15, 17 / 20])
  assert spattack.inclusion_probabilities([1, 2, 3], 3) == pytest.approx([1, 1, 1])
  assert spattack.inclusion_probabilities([1, 0, 1], 1) == pytest.approx([0.5, 0, 0.5])
