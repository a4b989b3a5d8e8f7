"""Oracle of power laws and broken items, against arithmetic by hand."""

import math

import pytest

from tests.oracles import breakdown

ZETA_2 = math.pi**2 / 6


def test_zeta():
  assert breakdown.zeta(2, 1) == pytest.approx(ZETA_2, rel=1e-9)
  assert breakdown.zeta(2, 2) == pytest.approx(ZETA_2 - 1, rel=1e-9)
  assert breakdown.zeta(4, 1) == pytest.approx(math.pi**4 / 90, rel=1e-12)
  # zeta(1.5), a constant of tables.
  assert breakdown.zeta(1.5, 1) == pytest.approx(2.612375348685488, rel=1e-8)


def test_likelihood():
  # p(1) p(2) of the law with exponent 2 from 1 on; degree 0 is not in it.
  expected = math.log(1 / ZETA_2) + math.log(1 / 4 / ZETA_2)
  assert breakdown.log_likelihood([1, 2, 0], 2, 1) == pytest.approx(expected)


def test_most_likely_exponent():
  # The mean of log k under the law of exponent 2 is -zeta'(2) / zeta(2) = 0.5699610, and here it is
  # 0.82228 log 2 = 0.5699611.
  degrees = [1] * 17_772 + [2] * 82_228
  assert breakdown.most_likely_exponent(degrees, 1) == pytest.approx(2, abs=1e-5)


def test_standard_error():
  # zeta(2) = 1.644934, zeta'(2) = -0.937548, zeta''(2) = 1.989280: the variance of log k is
  # 1.989280 / 1.644934 - (0.937548 / 1.644934)^2 = 0.884481.
  assert breakdown.standard_error(2, 1, 100) == pytest.approx(0.1 / math.sqrt(0.884481), rel=1e-4)


def test_distance():
  # The law: 0.6079 up to 1, 0.7599 up to 2. Data 1 1 2: 0.6667 and 1.
  assert breakdown.distance([1, 1, 2], 2, 1) == pytest.approx(1 - 1.25 / ZETA_2)
  # Data 1 4: half up to 1, 2 and 3, where the law has (1 + 1/4 + 1/9) / zeta.
  assert breakdown.distance([1, 4], 2, 1) == pytest.approx((49 / 36) / ZETA_2 - 0.5)


def test_best_start():
  # 3600 / k^2 items of degree k from 2 on, but ten of degree 1, where the law has 3600.
  tail = [k for k in range(2, 60) for _ in range(round(3600 / k**2))]
  assert breakdown.best_start([1] * 10 + tail, len(tail)) == 2
  # The tail from 2 on has fewer items than asked for.
  assert breakdown.best_start([1] * 10 + tail, len(tail) + 1) == 1
  # Degree 0 is in no tail, and a single degree leaves nothing to fit.
  assert breakdown.best_start([0] * 50 + [1] * 10 + [2] * 4, 1) == 1


@pytest.mark.parametrize(
  ("rule", "benign", "malicious", "expected"),
  [
    ("mean", 100, 1, True),
    ("mean", 5, 0, False),
    ("median", 3, 3, True),  # the middle two of 1 2 3 X X X are 3 and X
    ("median", 4, 3, False),  # 1 2 3 4 X X X
    ("median", 2, 3, True),
    ("median", 1, 1, True),
    ("trimmed_mean", 9, 1, False),  # a tenth of 10 rows is dropped: the X
    ("trimmed_mean", 8, 1, True),  # a tenth of 9 rows is none
    ("trimmed_mean", 17, 2, True),  # 19 rows: one of two
    ("trimmed_mean", 18, 2, False),
    ("trimmed_mean", 7, 0, False),
    ("krum", 4, 2, True),  # 2 * 2 + 2 = 6 rows
    ("krum", 5, 2, False),
    ("krum", 1, 0, False),
  ],
)
def test_rules(rule, benign, malicious, expected):
  assert breakdown.breaks(rule, benign, malicious, "0.1") == expected


def test_krum():
  # f = 1, five rows, two nearest: 0: 1 + 4 = 5, 1: 1 + 1 = 2, 2: 1 + 4 = 5, ...
  assert breakdown.krum([0, 1, 2, 9, 50], 1) == 1
  # f = 2, five rows, one nearest: the two equal rows have the score 0.
  assert breakdown.krum([0, 1, 3, 50, 50], 2) == 3


def test_proposition_2():
  # C = beta - 1 makes the integral from x on x^(1 - beta).
  assert breakdown.proposition_2(2, 1, 0.5, 10) == pytest.approx(0.9)
  assert breakdown.proposition_2(2, 1, 0.1, 10) == pytest.approx(1 - 1 / 90)
  assert breakdown.proposition_2(3, 2, 0.5, 4) == pytest.approx(1 - 1 / 16)
  assert breakdown.proposition_2(3, 2, 0.5, 4, tail_share=0.5) == pytest.approx(1 - 1 / 32)


def test_share_up_to():
  assert breakdown.share_up_to(2, 1, 2) == pytest.approx(1.25 / ZETA_2)
  assert breakdown.share_up_to(2, 3, 2) == 0


def test_expected_uploaders():
  # User 0 draws item 1 or 2. User 1 draws twice, and only item 2 is left.
  assert breakdown.expected_uploaders([[0], [0, 1]], 3, 1) == pytest.approx([2, 1.5, 1.5])
  # Two draws of user 0 miss an item with 1/4. A repeated item counts once, but draws for itself.
  assert breakdown.expected_uploaders([[0]], 3, 2) == pytest.approx([1, 0.75, 0.75])
  assert breakdown.expected_uploaders([[0, 0]], 3, 1) == pytest.approx([1, 0.75, 0.75])
  assert breakdown.expected_uploaders([[], [1]], 2, 0) == [0, 1]


def test_inclusion_probabilities():
  assert breakdown.inclusion_probabilities([1, 3], 1) == pytest.approx([0.25, 0.75])
  # First draw 1/2; else an item of weight 1 is gone, and 2 of the 3 left remain.
  expected = [1 / 2 + 1 / 2 * 2 / 3, 7 / 12, 7 / 12]
  assert breakdown.inclusion_probabilities([2, 1, 1], 2) == pytest.approx(expected)
  assert breakdown.inclusion_probabilities([1, 0, 1], 2) == pytest.approx([1, 0, 1])
