"""Composition of defences: stages, states, errors."""

import jax
import jax.numpy as jnp
import pytest

from fedrecjax import defenses
from fedrecjax.defenses import chain
from fedrecjax.types import ClientTerm, ClientUpdates, ClientView, Defense, ItemRows, Update
from tests.support.views import defense_view

UPLOADS = ClientUpdates(jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), jnp.ones((1, 1)))


def counting(start):
  """A filter that adds its own count to the rows and counts its calls."""

  def add_count(state, uploads, view):
    return uploads._replace(row=10 * uploads.row + state), state + 1

  return Defense(filter=add_count, init=lambda key, context: jnp.float32(start))


def test_every_part_has_a_state_of_its_own():
  whole = chain(counting(1), defenses.none(), counting(5))
  state = whole.init(jax.random.key(0), None)
  uploads, state = whole.filter(state, UPLOADS, defense_view(num_items=1, num_clients=1))
  assert float(uploads.row[0, 0]) == 10 * (10 * 1 + 1) + 5
  assert [float(state[0]), float(state[2])] == [2.0, 6.0]
  assert state[1] == ()


def test_the_rule_sees_and_keeps_its_own_state():
  rule = Defense(
    aggregate=lambda state, uploads, view: (Update(ItemRows(uploads.item, uploads.row * state)), state + 1),
    init=lambda key, context: jnp.float32(7),
  )
  whole = chain(counting(1), rule)
  update, state = whole.aggregate(whole.init(jax.random.key(0), None), UPLOADS, None)
  assert float(update.items.row[0, 0]) == 7
  assert [float(one) for one in state] == [1.0, 8.0]


def test_client_transforms_run_in_order_with_keys_of_their_own():
  keys = []

  def transform(factor):
    def apply(state, uploads, view):
      assert view.clients.tolist() == [4]
      keys.append(jax.random.key_data(view.key).tolist())
      return uploads._replace(row=uploads.row * factor + 1), state

    return Defense(client_transform=apply)

  whole = chain(transform(2), transform(5))
  sent, _ = whole.client_transform(((), ()), UPLOADS, client_view(jnp.array([4])))
  assert float(sent.row[0, 0]) == (1 * 2 + 1) * 5 + 1
  assert len(keys) == 2 and keys[0] != keys[1]


def client_view(clients):
  return ClientView(None, None, clients, 0, None, None, jax.random.key(0), 1)


def test_terms_of_a_chain_are_added_up():
  def term(value):
    return Defense(
      client_term=lambda state, view: (value, state + 1), init=lambda key, context: jnp.int32(0)
    )

  items = ClientTerm(jnp.array([1.0]), items=jnp.array([[3]]), item_rows=jnp.ones((1, 1, 2)))
  more = ClientTerm(jnp.array([2.0]), items=jnp.array([[4, 5]]), item_rows=jnp.zeros((1, 2, 2)))
  own = ClientTerm(jnp.array([4.0]), private=jnp.full((1, 2), 3.0), rows=jnp.ones((1, 2, 2)))
  whole = chain(term(items), defenses.norm_bound(), term(more), term(own), term(own))
  state = whole.init(jax.random.key(0), None)
  total, state = whole.client_term(state, client_view(jnp.array([4])))
  assert total.loss.tolist() == [11.0]
  assert total.items.tolist() == [[3, 4, 5]] and total.item_rows[0, :, 0].tolist() == [1.0, 0.0, 0.0]
  assert total.private.tolist() == [[6.0, 6.0]] and (total.rows == 2).all()
  assert state[1] == () and [int(state[number]) for number in (0, 2, 3, 4)] == [1, 1, 1, 1]


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
  [
    ((), "at least one"),
    ((defenses.median(), defenses.none()), "only one aggregation rule"),
    ((defenses.norm_bound(max_norm=1.0), defenses.median), r"part 1 of a chain must be a Defense, .* got median"),
    (("median",), r"part 0 of a chain must be a Defense, .* got 'median'"),
  ],
)
def test_impossible_chains(parts, message):
  with pytest.raises(ValueError, match=message):
    chain(*parts)
