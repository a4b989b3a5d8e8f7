"""The list of mistakes fits the code: it is not run here, see `python -m tests.mutants`."""

import collections
import pathlib
import re

import pytest

from tests.mutants.mutants import MUTANTS

ROOT = pathlib.Path(__file__).parents[2]
# Parts of the engine and of what surrounds it, and every family of attacks.
ROOMS = (
  "attacks/data_poisoning", "attacks/targeted", "attacks/untargeted", "attacks/images", "defenses", "clients",
  "uploads", "server", "federation", "simulation", "popularity", "metrics", "datasets",
)


def of_name(mutant):
  return mutant.name


def test_names_are_told_apart():
  assert max(collections.Counter(mutant.name for mutant in MUTANTS).values()) == 1


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_some(room):
  assert sum(mutant.file.startswith(f"fedrecjax/{room}/") for mutant in MUTANTS) >= 3


@pytest.mark.parametrize("mutant", MUTANTS, ids=of_name)
def test_the_text_occurs_once_and_the_mistake_compiles(mutant):
  text = (ROOT / mutant.file).read_text(encoding="utf-8")
  assert text.count(mutant.old) == 1
  changed = text.replace(mutant.old, mutant.new)
  assert changed != text
  compile(changed, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=of_name)
def test_its_tests_exist(mutant):
  assert mutant.tests
  for test in mutant.tests:
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE)
