"""Composition of defences: stages, states, errors."""

import jax
import jax.numpy as jnp
import pytest

from fedrecjax import defenses
from fedrecjax.defenses import chain
from fedrecjax.types import ClientUpdates, Defense, ItemRows

UPLOADS = ClientUpdates(jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), jnp.ones((1, 1)))


def counting(start):
  """A filter that adds its own count to the rows and counts its calls."""

  def add_count(state, uploads, view):
    return uploads._replace(row=10 * uploads.row + state), state + 1

  return Defense(filter=add_count, init=lambda key, context: jnp.float32(start))


def test_every_part_has_a_state_of_its_own():
  whole = chain(counting(1), defenses.none(), counting(5))
  state = whole.init(jax.random.key(0), None)
  uploads, state = whole.filter(state, UPLOADS, None)
  assert float(uploads.row[0, 0]) == 10 * (10 * 1 + 1) + 5
  assert [float(state[0]), float(state[2])] == [2.0, 6.0]
  assert state[1] == ()


def test_the_rule_sees_and_keeps_its_own_state():
  rule = Defense(
    aggregate=lambda state, uploads, view: (ItemRows(uploads.item, uploads.row * state), state + 1),
    init=lambda key, context: jnp.float32(7),
  )
  whole = chain(counting(1), rule)
  rows, state = whole.aggregate(whole.init(jax.random.key(0), None), UPLOADS, None)
  assert float(rows.row[0, 0]) == 7
  assert [float(one) for one in state] == [1.0, 8.0]


def test_client_transforms_run_in_order_with_keys_of_their_own():
  keys = []

  def transform(factor):
    def apply(uploads, clients, key):
      assert clients.tolist() == [4]
      keys.append(jax.random.key_data(key).tolist())
      return uploads._replace(row=uploads.row * factor + 1)

    return Defense(client_transform=apply)

  whole = chain(transform(2), transform(5))
  assert float(whole.client_transform(UPLOADS, jnp.array([4]), jax.random.key(0)).row[0, 0]) == (1 * 2 + 1) * 5 + 1
  assert len(keys) == 2 and keys[0] != keys[1]


def test_absent_stages_stay_absent():
  whole = chain(defenses.norm_bound(), defenses.norm_bound(max_norm=2.0))
  assert whole.client_transform is None and whole.aggregate is None and whole.filter is not None
  assert chain(defenses.none(), Defense()).filter is None


@pytest.mark.parametrize(
  ("parts", "unique"),
  [
    ((defenses.none(), Defense()), False),
    ((defenses.none(), defenses.norm_bound()), True),
    ((defenses.median(),), True),
  ],
)
def test_unique_rows_are_asked_for_by_any_part(parts, unique):
  assert chain(*parts).unique_rows is unique


def test_a_chain_of_one_is_that_one():
  median = defenses.median()
  assert chain(median) is median


@pytest.mark.parametrize(
  ("parts", "message"),
  [((), "at least one"), ((defenses.median(), defenses.none()), "only one aggregation rule")],
)
def test_impossible_chains(parts, message):
  with pytest.raises(ValueError, match=message):
    chain(*parts)
