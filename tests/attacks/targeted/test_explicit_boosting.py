"""Explicit boosting against the hand-derived oracle, over several rounds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import explicit_boosting
from fedrecjax.clients.losses import bce, bpr
from fedrecjax.models import fedgnn, lightgcn, mf, ncf, sasrec
from fedrecjax.types import AttackContext, AttackView, Public
from fedrecjax.uploads.rows import no_uploads
from tests.attacks import malicious_round
from tests.attacks.malicious_round import CLIENTS, MALICIOUS, RATE, SLOTS, by_slot
from tests.models import clients as benign
from tests.models.rounds import as_doubles
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


ORDINARY = {
  "mf": (mf(dim=4), benign.mf),
  "ncf": (ncf(dim=4, hidden=(5, 3)), benign.ncf),
  "lightgcn": (
    lightgcn(dim=4, hidden=(5,)),
    lambda **given: benign.lightgcn(layers=1, combine="sum", **given),
  ),
  "fedgnn": (fedgnn(dim=4), benign.fedgnn),
}


@pytest.mark.parametrize("upload_shared", [True, False])
@pytest.mark.parametrize(("loss", "num_negatives"), [("bce", 4), ("bpr", 2)])
@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_client_of_the_targets(name, targets, loss, num_negatives, upload_shared):
  """Against the oracle of the model's benign clients, over two rounds."""
  model, client_of = ORDINARY[name]
  client = client_of(loss=loss, reduction="mean")
  attack = explicit_boosting(
    reading="client", num_negatives=num_negatives, init_std=0.8, upload_shared=upload_shared
  )
  num_items = 9  # few, so that negatives repeat within a client
  context = malicious_round.context_of(model, targets, num_items=num_items)
  state = attack.init(jax.random.key(6), context)
  users, negatives = np.asarray(state.users, float), np.asarray(state.negatives)
  assert negatives.shape == (MALICIOUS, len(targets), num_negatives)
  assert not np.isin(negatives, targets).any()
  for number in range(2):
    public = malicious_round.public_of(model, 30 + number, num_items)
    view = malicious_round.view_of(
      model, public, targets, number=number, loss=bce() if loss == "bce" else bpr()
    )
    sent, state = malicious_round.poison(attack, state, no_uploads(4), view)
    rows, shared = {}, {}
    for place, one in enumerate(CLIENTS):
      if one == MALICIOUS:
        continue
      found = client(
        users[one], as_doubles(public.items), as_doubles(public.shared), np.array(targets),
        negatives[one],
        np.zeros((0, 4)),
      )
      users[one] -= RATE * np.asarray(found.private)
      rows[SLOTS[place]] = {item: np.asarray(row) for item, row in found.rows.items()}
      shared[SLOTS[place]] = found.shared
    malicious_round.assert_rows(by_slot(sent, num_items), rows, atol=1e-5)
    np.testing.assert_allclose(state.users, users, atol=1e-5)
    np.testing.assert_array_equal(state.negatives, negatives)
    if not upload_shared or name == "mf":
      assert sent.shared == () and sent.sent is None
      continue
    for slot, expected in shared.items():
      ours = jax.tree.map(lambda leaf, slot=slot: leaf[slot], sent.shared)
      chex.assert_trees_all_close(ours, expected, rtol=1e-7, atol=1e-5)
    assert np.flatnonzero(sent.sent).tolist() == sorted(rows)


def test_an_ordinary_client_of_a_model_of_histories_has_a_free_vector():
  model, targets = sasrec(dim=4, length=5, blocks=1), [5, 0]
  attack = explicit_boosting(reading="client", num_negatives=2)
  state = attack.init(jax.random.key(6), malicious_round.context_of(model, targets))
  public = malicious_round.public_of(model, 3)
  sent, after = malicious_round.poison(
    attack, state, no_uploads(4), malicious_round.view_of(model, public, targets)
  )
  plain = benign.mf(loss="bce", reduction="mean")
  users, negatives = np.asarray(state.users, float), np.asarray(state.negatives)
  found = plain(users[0], as_doubles(public.items), (), targets, negatives[0], None)
  wanted = {item: np.asarray(row) for item, row in found.rows.items()}
  malicious_round.assert_rows({4: by_slot(sent)[4]}, {4: wanted}, atol=1e-5)
  np.testing.assert_allclose(after.users[0], users[0] - RATE * found.private, atol=1e-5)
  chex.assert_trees_all_equal(sent.shared, jax.tree.map(jnp.zeros_like, sent.shared))


def test_negatives_are_each_clients_own_and_do_not_change_the_free_reading():
  context = AttackContext(M, 3, np.array([1]), D, np.zeros((0, 0)), None)
  free, ordinary = (
    explicit_boosting(reading=reading).init(jax.random.key(2), context)
    for reading in ("free", "client")
  )
  np.testing.assert_array_equal(free.users, ordinary.users)
  assert free.negatives is None
  assert len({tuple(one) for one in ordinary.negatives[:, 0].tolist()}) == 3
  fewer = explicit_boosting(reading="client").init(
    jax.random.key(2), context._replace(num_malicious=2)
  )
  np.testing.assert_array_equal(fewer.negatives, ordinary.negatives[:2])
  with pytest.raises(ValueError, match="all 2 items are targets"):
    explicit_boosting(reading="client").init(
      jax.random.key(2), context._replace(num_items=2, targets=np.array([1, 0]))
    )


def test_impossible_options_are_named():
  with pytest.raises(ValueError, match=r"explicit_boosting\.num_negatives must be positive"):
    explicit_boosting(num_negatives=0)
  with pytest.raises(ValueError, match=r"explicit_boosting\.reading must be one of free, client"):
    explicit_boosting(reading="ordinary")
