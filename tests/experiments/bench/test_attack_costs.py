"""What a round costs under an attack: the arithmetic of ratios, and one measurement at small size."""

import pytest

from experiments.bench.attack_costs import CASES, attacked_cost, measure
from fedrecjax.attacks import ATTACKS


def test_every_attack_is_timed():
  timed = {settings["attack"] for settings in CASES.values()}
  by_images = {"psmu_v", "psmu_pp", "image_popularity"}
  assert timed == set(ATTACKS.names()) - {"none"} - by_images


@pytest.mark.parametrize(
  ("under", "share", "expected"),
  [
    (30.0, 1.0, 30.0),
    (15.0, 0.5, 20.0),  # 5 more a round, which one round in two has caused
    (12.0, 0.0, 12.0),
  ],
)
def test_what_an_attack_adds_is_charged_to_attacked_rounds(under, share, expected):
  assert attacked_cost(10.0, under, share) == expected


def test_a_measurement_is_of_both_runs():
  settings = {"dataset": "synthetic", "attack": "spattack_ld", "spattack_ld.scale": 2.0}
  found = measure(settings, None, 5)
  assert found["attacked_share"] == 1.0
  assert 0 < found["least"] <= found["ratio"] <= found["most"]
  assert found["attacked_ms"] > 0 and found["benign_ms"] > 0
