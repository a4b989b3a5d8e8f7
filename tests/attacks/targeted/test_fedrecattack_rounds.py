"""FedRecAttack in rounds: what is uploaded, and what is refused."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import fedrecattack
from fedrecjax.attacks.targeted.exposure_loss import exposure_gradient
from fedrecjax.attacks.targeted.user_approximation import (
  public_lists,
)
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.datasets import ItemLists
from fedrecjax.models import fedgnn, lightgcn, mf, ncf, sasrec
from fedrecjax.types import AttackContext, AttackView
from tests.attacks.targeted.fedrecattack import KNOWN, LISTS, C, as_public
from tests.attacks.targeted.test_fedrecattack_uploads import ACTIVE, CLIENTS, D, M, table_of
from tests.oracles import fedrecattack as oracle
from tests.support.parameters import random_public

OTHER_MODELS = {
  "lightgcn": lightgcn(dim=D, hidden=(4,)),
  "fedgnn": fedgnn(dim=D),
  "sasrec": sasrec(dim=D, length=4, blocks=1, heads=1),
}
@pytest.mark.parametrize("name", OTHER_MODELS)
def test_the_gradient_of_the_attack_is_that_of_its_loss(name):
  model, random = OTHER_MODELS[name], np.random.default_rng(3)
  public = random_public(model, M, random)
  users, lists, targets = random.normal(size=(5, D)), public_lists(LISTS, 5), [3]
  users = jnp.asarray(users, jnp.float32)
  found, _ = exposure_gradient(
    model, public, users, lists, jnp.array(targets),
    list_length=4, reference="others", with_shared=False,
  )

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def score(table, user):
    vector = vector_without_items(model, user, table[0], public.shared)
    return model.score(public._replace(items=table), vector, None)

  scores = np.asarray(score(public.items, users))
  compared = [
    oracle.references(one, items, targets, 4, "others")
    for one, items in zip(scores, KNOWN, strict=True)
  ]

  def loss(table):
    scores = np.asarray(score(jnp.asarray(table, jnp.float32), users), float)
    return sum(
      oracle.bent(one[other] - one[target])
      for one, pairs in zip(scores, compared, strict=True)
      for target, other in pairs.items()
    )

  # Differences of single precision, far apart along the gradient and along a random direction.
  table = np.asarray(public.items, float)
  for direction in (np.asarray(found, float), random.normal(size=table.shape)):
    direction = direction / np.linalg.norm(direction)
    ahead, back = (loss(table + step * direction) for step in (0.01, -0.01))
    slope = float((np.asarray(found) * direction).sum())
    assert (ahead - back) / 0.02 == pytest.approx(slope, abs=0.02)



def view_of(public, targets, model, active):
  return AttackView(
    public, jnp.int32(0), CLIENTS, jnp.asarray(active), jnp.array([4, 0, 9, 6, 0]),
    jnp.array(targets), jnp.float32(0.1), None, model, C,
  )



@jax.jit
def run_poison(poison, state, view, key):
  # The number of clients is static.
  return poison(state, None, view._replace(num_clients=C), key)



def context_of(targets, lists=LISTS, dim=D, malicious=4):
  return AttackContext(
    M, malicious, np.array(targets, np.int32), dim, np.zeros((0, 5)), None, lists
  )



@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("targets", [[3], [14, 0, 5]], ids=str)
@pytest.mark.parametrize("reading", ["others", "list"])
def test_rounds(reading, targets, strength):
  attack = fedrecattack(
    max_rows=6, list_length=4, reference=reading, batch=2, init_std=0.5, row_norm=0.8,
    approximation_rate=0.1, strength=strength, upload_variance=0.0,
  )
  assert attack.requires == {"public_interactions"}
  state = attack.init(jax.random.key(3), context_of(targets))
  sent = 0
  for number in range(3):
    table = table_of(20 + number)
    active = np.asarray(ACTIVE) if number else np.arange(5) == 2
    view = view_of(as_public(table), targets, mf(dim=D), active)
    uploads, after = run_poison(attack.poison, state, view, jax.random.key(number))
    assert uploads.item.shape == (30,) and uploads.shared == () and uploads.sent is None
    assert int(after.approximation.steps) == 3 * (number + 1)
    users = np.asarray(after.approximation.users, float)
    wanted = strength * oracle.attack_gradient(users, table, KNOWN, targets, 4, reading)
    used = np.asarray(uploads.item) < M
    items = np.asarray(uploads.item)[used].reshape(-1, 6)
    slots = np.asarray(uploads.client)[used].reshape(-1, 6)
    # The order is the attack's; who comes when shows in the uploads.
    turn = [int(np.flatnonzero((np.asarray(view.slot) == one) & active)[0]) for one in slots[:, 0]]
    assert sorted(turn) == np.flatnonzero(active).tolist()
    assert [after.sets[int(CLIENTS[place])].tolist() for place in turn] == items.tolist()
    expected, _ = oracle.share_out(wanted, items.tolist(), 0.8)
    rows = np.concatenate([list(rows.values()) for rows in expected])
    assert np.abs(rows).max() > 0.1
    np.testing.assert_allclose(np.asarray(uploads.row)[used], rows, atol=2e-4)
    chosen = np.asarray(state.sets)[:, 0] >= 0
    assert (np.asarray(after.sets)[chosen] == np.asarray(state.sets)[chosen]).all()
    state, sent = after, sent + len(items)
  assert sent == 7



def test_rounds_without_attackers_change_nothing():
  attack = fedrecattack(max_rows=6, list_length=4)
  state = attack.init(jax.random.key(3), context_of([3]))
  view = view_of(as_public(table_of(0)), [3], mf(dim=D), np.zeros(5, bool))
  uploads, after = run_poison(attack.poison, state, view, jax.random.key(0))
  assert (np.asarray(uploads.item) == M).all()
  chex.assert_trees_all_equal(state, after)



@pytest.mark.parametrize("upload_variance", [0.0, 1e-4])
def test_without_public_interactions_clients_send_noise(upload_variance):
  attack = fedrecattack(max_rows=6, list_length=4, upload_variance=upload_variance)
  state = attack.init(jax.random.key(3), context_of([3], ItemLists.from_lists([[], [], []])))
  view = view_of(as_public(table_of(0)), [3], mf(dim=D), ACTIVE)
  uploads, after = run_poison(attack.poison, state, view, jax.random.key(0))
  used = np.asarray(uploads.item) < M
  assert used.sum() == 18 and (np.asarray(after.sets)[:3, 0] == 3).all()
  rows = np.asarray(uploads.row)[used]
  if upload_variance:
    assert 0.005 < rows.std() < 0.03
  else:
    assert (rows == 0).all()



def test_shared_parameters_are_divided_among_the_clients():
  model, random = ncf(dim=D, hidden=(5,)), np.random.default_rng(5)
  public = random_public(model, M, random)
  options = {"max_rows": 6, "list_length": 4, "batch": 5, "init_std": 0.5}
  attack = fedrecattack(upload_shared=True, strength=2.0, **options)
  state = attack.init(jax.random.key(3), context_of([3]))
  view = view_of(public, [3], model, ACTIVE)
  uploads, after = run_poison(attack.poison, state, view, jax.random.key(0))
  assert np.flatnonzero(uploads.sent).tolist() == [4, 6, 9]
  _, expected = exposure_gradient(
    model, public, after.approximation.users, state.lists, jnp.array([3]),
    list_length=4, reference="others", with_shared=True,
  )
  for slot in range(C):
    share = 2 / 3 if slot in (4, 6, 9) else 0.0
    found = jax.tree.map(lambda leaf, slot=slot: leaf[slot], uploads.shared)
    wanted = jax.tree.map(lambda leaf, share=share: share * leaf, expected)
    chex.assert_trees_all_close(found, wanted, rtol=1e-7, atol=1e-5)
  assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) > 1e-3
  without, _ = run_poison(fedrecattack(**options).poison, state, view, jax.random.key(0))
  assert without.shared == () and without.sent is None



@pytest.mark.parametrize(
  ("options", "targets", "message"),
  [
    ({"max_rows": 2}, [3, 4, 5], "max_rows must lie between the 3 targets and the 15 items, got 2"),
    ({"max_rows": 16}, [3], "max_rows must lie between the 1 targets and the 15 items, got 16"),
    ({"max_rows": 6, "list_length": 15}, [3], "list_length=15 is more than"),
  ],
)
def test_sets_that_are_too_small(options, targets, message):
  with pytest.raises(ValueError, match=message):
    fedrecattack(**options).init(jax.random.key(0), context_of(targets))



@pytest.mark.parametrize("field", ["max_rows", "row_norm", "strength", "passes", "num_negatives"])
def test_impossible_numbers_are_named(field):
  value = 0.0 if field in ("row_norm", "strength") else 0
  with pytest.raises(ValueError, match=rf"fedrecattack\.{field} must be positive"):
    fedrecattack(**{field: value})



@pytest.mark.parametrize("field", ["selection_variance", "upload_variance"])
def test_variances_are_not_negative(field):
  with pytest.raises(ValueError, match=rf"fedrecattack\.{field} must not be negative"):
    fedrecattack(**{field: -1e-9})



