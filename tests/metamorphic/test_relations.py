"""Every relation on random configurations, as many as a budget of time allows and one at least."""

import contextlib
import time

import pytest

from fedrecjax.simulation.results import DivergedError
from tests.metamorphic.configurations import MODELS, PARTS, RULES, random_case
from tests.metamorphic.relations import RELATIONS

FIRST = 1000
SECONDS = 20


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda one: one.__name__)
def test_a_relation_holds_of_random_configurations(relation):
  """As many as a budget of time allows, from the same seed on every machine."""
  end, applied, seed = time.monotonic() + SECONDS / len(RELATIONS), 0, FIRST
  while time.monotonic() < end or not applied:
    # How many configurations are reached follows the machine, and some of them diverge, which says nothing.
    with contextlib.suppress(DivergedError):
      applied += relation(random_case(seed))
    seed += 1
  assert applied


def test_configurations_differ_and_are_the_same_on_every_machine():
  names = [random_case(seed).names for seed in range(3)]
  assert len(set(names)) == 3 and names == [random_case(seed).names for seed in range(3)]
  for name in names:
    model, _, defense = name.split()
    assert model in MODELS and set(defense.split("+")) <= {*PARTS, *RULES, "gdmpd", "gdmpd_unguided"}
