"""What a method raises itself names the method and the function, in one line."""

import pytest

import fedrecjax as frj
from fedrecjax.simulation.contracts import MethodError, method_name
from fedrecjax.simulation.independent_attackers import each_alone
from tests.simulation.test_contracts import D, crooked, trace


def failing(*_):
  raise AssertionError("\nno such item\nat all")


@pytest.mark.parametrize(("parts", "said"), [
  ({"attack": frj.Attack(failing)}, "the attack: poison"),
  ({"attack": frj.Attack(failing), "colluding": False}, "the attack: poison"),
  ({"attack": frj.Attack(profiles=failing)}, "the attack: profiles"),
  ({"attack": crooked(how="a list")._replace(init=failing)}, "the attack: init"),
  ({"defense": frj.chain(frj.norm_bound(max_norm=1.0), frj.Defense(filter=failing))}, "the defense: filter"),
  ({"defense": frj.Defense(init=failing)}, "the defense: init"),
  ({"model": frj.mf(dim=D)._replace(init_private=failing)}, "the model: init_private"),
  ({"model": frj.mf(dim=D)._replace(score=failing)}, "the model: score"),
])  # fmt: skip
def test_a_part_that_fails_by_itself_is_named_in_one_line(parts, said):
  with pytest.raises(MethodError) as caught:
    trace(**parts)
  assert str(caught.value) == f"{said} failed: AssertionError: no such item"
  assert isinstance(caught.value.__cause__, AssertionError)


def test_a_method_with_a_constructor_is_named_by_it():
  @frj.traced
  def clumsy(*, strength: float = 1.0) -> frj.Attack:
    def poison(state, uploads, view, key):
      return (uploads, state) if strength > 0 else None

    return frj.Attack(poison, colludes=True)

  for colluding in (True, False):
    with pytest.raises(MethodError, match=r"^attack clumsy: poison failed: TracerBoolConversionError: Attempted"):
      trace(attack=clumsy(), colluding=colluding)


def test_what_a_part_says_of_the_data_before_training_stays_what_it_is():
  def init(key, context):
    raise ValueError("too few items\nfor this")

  attack = crooked(how="a list")._replace(init=init)
  with pytest.raises(frj.ConfigError, match=r"^the attack does not fit tiny: too few items$"):
    trace(attack=attack)


@pytest.mark.parametrize(("made", "named"), [
  (frj.pieck_uea().poison, "attack pieck_uea"),
  (each_alone(crooked(how="a list")).poison, "attack crooked"),
  (each_alone(frj.Attack(failing, colludes=True)).poison, "the attack"),
  (failing, "the attack"),
  (None, "the attack"),
])  # fmt: skip
def test_names_of_methods(made, named):
  assert method_name("attack", made) == named


def test_the_name_of_a_chains_rule():
  before, after = frj.norm_bound(max_norm=1.0), frj.norm_bound(max_norm=2.0)
  assert method_name("defense", frj.chain(before, frj.median(), after).aggregate) == "defense median"
