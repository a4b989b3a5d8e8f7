"""Explicit boosting against the hand-derived oracle, over several rounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import explicit_boosting
from fedrecjax.models import mf
from fedrecjax.types import AttackContext, AttackView, Public
from tests.oracles import shilling

M, D = 8, 4


@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
def test_uploads_and_free_vectors(targets):
  attack = explicit_boosting(init_std=2.0)
  rounds = np.array([[0, 2, -1], [1, -1, -1], [2, 1, 0], [-1, -1, -1]])
  context = AttackContext(M, 3, np.array(targets), D, rounds, None)
  state = attack.init(jax.random.key(3), context)
  users = np.asarray(state.users, float)
  assert users.shape == (3, D)
  random = np.random.default_rng(0)
  poison = jax.jit(lambda poison, *arguments: poison(*arguments))
  for number, clients in enumerate(rounds):
    table = random.normal(size=(M, D)).astype(np.float32)
    view = AttackView(
      Public(jnp.asarray(table), ()),
      jnp.int32(number),
      jnp.asarray(np.where(clients >= 0, clients, 3)),
      jnp.asarray(clients >= 0),
      jnp.arange(3) + 4,
      jnp.array(targets),
      jnp.float32(0.3),
      None,
      mf(dim=D),
      20,
    )
    uploads, state = poison(attack.poison, state, None, view, jax.random.key(0))
    used = np.asarray(uploads.item) < M
    rows = []
    for place, client in enumerate(clients):
      if client < 0:
        continue
      _, user_gradient, target_rows = shilling.explicit_boosting_gradient(
        users[client], table[targets].astype(float)
      )
      users[client] -= 0.3 * user_gradient
      rows += [(4 + place, item, row) for item, row in zip(targets, target_rows, strict=True)]
    assert np.asarray(uploads.client)[used].tolist() == [row[0] for row in rows]
    assert np.asarray(uploads.item)[used].tolist() == [row[1] for row in rows]
    for found, (_, _, expected) in zip(np.asarray(uploads.row)[used], rows, strict=True):
      np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(state.users, users, atol=1e-5)


def test_init_std_is_the_deviation_of_the_free_vectors():
  context = AttackContext(M, 2000, np.array([1]), D, np.zeros((0, 0)), None)
  for std in (1.0, 0.25):
    users = explicit_boosting(init_std=std).init(jax.random.key(0), context).users
    # 8000 numbers: the sample deviation is within 4 % (5 sigma).
    assert float(jnp.std(users)) == pytest.approx(std, rel=0.04)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_impossible_numbers_are_named(std):
  with pytest.raises(ValueError, match=r"explicit_boosting\.init_std must be (positive|a finite number)"):
    explicit_boosting(init_std=std)
