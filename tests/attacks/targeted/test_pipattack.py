"""PipAttack against its oracle: the estimator over several rounds, and uploads of all parts."""

import chex
import jax
import numpy as np
import pytest

from fedrecjax.attacks import pipattack
from fedrecjax.attacks.targeted.popularity_estimator import popularity_classes
from fedrecjax.models import mf
from tests.attacks.malicious_round import (
  RATE,
  SLOTS,
  C,
  M,
  assert_networks,
  assert_rows,
  by_slot,
  context_of,
  honest_of,
  networks_of,
  poison,
  public_of,
  view_of,
)
from tests.attacks.targeted.test_boosted_targeted import ACTIVE, MODELS, PRIVATE, oracle
from tests.oracles import models_ncf
from tests.oracles import pipattack as oracle_of

POPULARITY = np.random.default_rng(3).integers(0, 6, M)  # with ties


def estimator_of(state):
  layers = state.estimator.layers
  return oracle_of.Estimator([tuple(np.asarray(one, float) for one in layer) for layer in layers])


@pytest.mark.parametrize(
  ("count", "top", "middle"), [(14, 0.1, 0.45), (3, 0.1, 0.45), (10, 0.2, 0.3), (7, 0.5, 0.5)]
)
def test_levels(count, top, middle):
  for seed in range(5):
    popularity = np.random.default_rng(seed).integers(0, 5, count)
    found = popularity_classes(popularity, top, middle)
    assert found.dtype == np.int32
    assert found.tolist() == oracle_of.levels(popularity, top, middle)


@pytest.mark.parametrize(
  ("honest", "tau", "last_update"),
  [
    (1.0, None, "share"),
    (None, None, "whole"),
    (0.6, 4.0, "whole"),
    (0.6, 2.0, "share"),
    (None, 0.2, "share"),
    (1.0, 1e4, "whole"),
  ],
)
@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_uploads(name, targets, honest, tau, last_update):
  model = MODELS[name]
  attack = pipattack(
    alpha=7.0, honest=honest, tau=tau, last_update=last_update, hidden=(4, 5), estimator_steps=3,
    estimator_rate=0.05, top_share=0.2, middle_share=0.3,
  )
  state = attack.init(jax.random.key(1), context_of(model, targets, popularity=POPULARITY))
  levels = oracle_of.levels(POPULARITY, 0.2, 0.3)
  assert state.classes.tolist() == levels
  estimator = estimator_of(state)
  assert [weights.shape for weights, _ in estimator.layers] == [(3, 4), (4, 5), (5, 3)]
  before = None
  for number in (0, 2, 3):
    public = public_of(model, 20 + number)
    table = np.asarray(public.items, float)
    own_rows, own_networks, uploads = honest_of(model, public, number)
    sent, state = poison(
      attack, state, uploads, view_of(model, public, targets, number=number, private=PRIVATE)
    )
    estimator.train(table, levels, targets, steps=3, rate=0.05)
    obfuscation = dict(zip(targets, estimator.obfuscation(table[targets]), strict=True))
    rows, networks = oracle(model, public, targets)
    weight = 0.0 if honest is None else honest
    expected, moved = {}, []
    for slot, promotion in rows.items():
      own = {} if honest is None else own_rows[slot]
      one = oracle_of.client_rows(promotion, obfuscation, own, alpha=7.0, weight=weight)
      if tau is not None and before is not None:
        center = -(table - before[1]) / (number - before[0]) / RATE
        center = center / C if last_update == "share" else center
        near = oracle_of.within(one, center, tau)
        moved.append(near is not one)
        one = near
      expected[slot] = one
    if moved:
      assert all(moved) == (tau < 100)
    assert_rows(by_slot(sent), expected, atol=1e-4)
    assert_networks(
      networks_of(sent),
      {
        slot: models_ncf.add(one, models_ncf.scaled(own_networks[slot], weight))
        for slot, one in networks.items()
      },
      atol=1e-5,
    )
    for ours, theirs in zip(state.estimator.layers, estimator.layers, strict=True):
      for one, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, wanted, atol=1e-4)
    before = number, table


def test_one_attacker_sends_as_among_others_and_nobody_nothing():
  model, targets = MODELS["mf"], [5, 2]
  public = public_of(model, 1)
  attack = pipattack(estimator_steps=2, honest=None)
  state = attack.init(jax.random.key(1), context_of(model, targets, popularity=POPULARITY))
  uploads = honest_of(model, public, 0)[2]
  together, after = poison(
    attack, state, uploads, view_of(model, public, targets, private=PRIVATE)
  )
  alone, same = poison(
    attack, state, uploads,
    view_of(model, public, targets, private=PRIVATE[:1], clients=(0,)),
  )
  assert_rows(by_slot(alone), {SLOTS[0]: by_slot(together)[SLOTS[0]]})
  assert set(by_slot(together)) == {SLOTS[place] for place in ACTIVE}
  np.testing.assert_allclose(same.estimator.layers[0][0], after.estimator.layers[0][0], atol=1e-6)
  assert not np.allclose(after.estimator.layers[0][0], state.estimator.layers[0][0], atol=1e-5)
  nothing, still = poison(
    attack, state, uploads,
    view_of(model, public, targets, private=PRIVATE, clients=(3, 3, 3, 3)),
  )
  assert by_slot(nothing) == {}
  chex.assert_trees_all_equal(state, still)


def test_the_obfuscation_makes_targets_look_popular():
  """Items whose level is in their first number: steps against the upload change that number."""
  random = np.random.default_rng(0)
  model = mf(dim=3)
  table = random.normal(size=(60, 3)) * 0.1
  popularity = np.arange(60)[::-1]
  table[:, 0] += np.array([2.0, 0.0, -2.0])[popularity_classes(popularity, 0.3, 0.3)]
  public = public_of(model, 0, 60)._replace(items=np.float32(table))
  attack = pipattack(
    honest=None, estimator_steps=200, estimator_rate=0.02, top_share=0.3, middle_share=0.3
  )
  targets = [59]
  state = attack.init(
    jax.random.key(2), context_of(model, targets, popularity=popularity, num_items=60)
  )
  start = float(table[59, 0])
  for number in range(30):
    view = view_of(model, public, targets, number=number, private=0 * PRIVATE, clients=(0,))
    view = view._replace(private=view.private[:1])
    sent, state = poison(attack, state, honest_of(model, public, number)[2], view)
    row = by_slot(sent, 60)[SLOTS[0]][59]
    items = np.array(public.items)
    items[59] -= 0.05 * row
    public = public._replace(items=np.float32(items))
  assert start < -1.5 and public.items[59, 0] > 1.0


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"alpha": -1.0}, "pipattack.alpha must not be negative"),
    ({"honest": 0.0}, "pipattack.honest must be positive or none"),
    ({"tau": 0.0}, "pipattack.tau must be positive or none"),
    ({"hidden": ()}, "pipattack.hidden must be positive widths"),
    ({"hidden": (4, 0)}, "pipattack.hidden must be positive widths"),
    ({"estimator_steps": 0}, "pipattack.estimator_steps must be positive"),
    ({"estimator_rate": 0.0}, "pipattack.estimator_rate must be positive"),
    ({"top_share": 0.0}, "pipattack.top_share must lie between 0 and 1"),
    ({"top_share": 0.6, "middle_share": 0.5}, "pipattack.middle_share must be positive and at"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    pipattack(**options)
