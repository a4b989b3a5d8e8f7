"""Oracle of FedAttack, against lists by hand."""

import numpy as np

from tests.oracles import fedattack

SCORES = np.array([0.5, 2.0, -1.0, 2.0, 1.0, -1.0])  # ranking 1, 3, 4, 0, 2, 5


def test_negatives():
  assert fedattack.negatives_of(SCORES, [], 3) == [1, 3, 4]
  assert fedattack.negatives_of(SCORES, [3], 3) == [1, 4, 0]
  assert fedattack.negatives_of(SCORES, [1, 3], 1) == [4]


def test_the_published_rule_is_the_same_for_every_count():
  for positive in range(6):
    for count in (1, 2, 3):
      published = fedattack.published_negatives(SCORES, positive, count)
      # Two times one leaves at least one, and so on.
      assert published == fedattack.negatives_of(SCORES, [positive], count)


def test_samples():
  assert fedattack.samples(SCORES, [4, 1], 2, exclude_all=False) == [(2, [1, 3]), (2, [3, 4])]
  assert fedattack.samples(SCORES, [4, 1], 2, exclude_all=True) == [(2, [3, 0]), (2, [3, 0])]
