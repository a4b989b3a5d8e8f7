"""What a part of a chain draws belongs to its name."""

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax import defenses
from fedrecjax.config import TrainConfig
from fedrecjax.defenses import chain
from fedrecjax.defenses.chain import parts_of
from fedrecjax.types import ClientUpdates, Defense
from tests.support.lockstep import make_run
from tests.support.views import defense_view

UPLOADS = ClientUpdates(jnp.zeros(3, jnp.int32), jnp.arange(3, dtype=jnp.int32), jnp.ones((3, 2)))


def noisy(name):
  """A filter that adds noise, of a given name."""

  def add_noise(state, uploads, view):
    return uploads._replace(row=uploads.row + jax.random.normal(view.key, uploads.row.shape)), state

  add_noise.__qualname__ = name
  return Defense(filter=add_noise)


def filtered(whole):
  state = whole.init(jax.random.key(0), None)
  return np.asarray(whole.filter(state, UPLOADS, defense_view(num_items=3, num_clients=1))[0].row)


def test_the_order_of_parts_does_not_change_what_they_draw():
  one, other = noisy("one"), noisy("other")
  np.testing.assert_allclose(filtered(chain(one, other)), filtered(chain(other, one)), rtol=1e-6)
  first = filtered(chain(one, Defense()))
  assert (first != filtered(chain(other, Defense()))).all()
  np.testing.assert_array_equal(first, filtered(chain(defenses.norm_bound(max_norm=9.0), one)))


def test_two_parts_of_one_name_draw_apart():
  one = noisy("one")
  alone, twice = filtered(chain(one, Defense())), filtered(chain(one, one))
  assert (np.abs((twice - alone) - (alone - 1)) > 1e-4).all()


def test_a_chain_within_a_chain_is_its_parts():
  one, other, third = noisy("one"), noisy("other"), noisy("third")
  nested, flat = chain(one, chain(other, third)), chain(one, other, third)
  np.testing.assert_array_equal(filtered(nested), filtered(flat))
  assert [name for name, _ in parts_of(nested.filter)] == ["one", "other", "third"]
  assert chain(chain(one, defenses.median()), chain(other, third)).unique_rows


def test_clients_clip_for_privacy_then_rows_then_as_the_defense_has_it(small):
  train = TrainConfig(epochs=1, clients_per_round=5, privacy_clip=0.1, row_clip=0.2, negatives="once")
  transforms = make_run(small, train=train, defense=defenses.fl_wbc()).constants.parts.client_transform
  assert [name for name, _ in parts_of(transforms)] == ["privatize", "clip_and_noise", "fl_wbc"]
