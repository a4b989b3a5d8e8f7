"""FedRecAttack against its oracle, part by part and as a whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import exposure_loss, fedrecattack
from fedrecjax.attacks.exposure_loss import exposure_gradient, reference_items
from fedrecjax.attacks.user_approximation import (
  Approximation,
  adam_pass,
  init_approximation,
  members,
  public_lists,
  refresh,
  shuffled_batches,
)
from fedrecjax.datasets import ItemLists
from fedrecjax.models import fedgnn, lightgcn, mf, ncf, sasrec
from fedrecjax.types import AttackContext, AttackView, Public
from fedrecjax.user_vectors import lone_vector
from tests.attacks.test_residual import ACTIVE, CLIENTS, D, M, table_of
from tests.oracles import fedrecattack as oracle
from tests.oracles import interaction
from tests.oracles.adam import Adam
from tests.oracles.logistic import sigmoid

C = 20
# Users 1 and 4 have nothing public; user 3 has all but two items, among them both usual targets.
PUBLIC = [[5, 0], [], [14], [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13], [], [2, 5, 9], [7]]
KNOWN = [items for items in PUBLIC if items]
LISTS = ItemLists.from_lists(PUBLIC)


def as_public(table, shared=()):
  return Public(jnp.asarray(table, jnp.float32), shared)


def random_public(model, random):
  """Parameters of a model, large enough for every term to count."""
  shapes = model.init_public(jax.random.key(0), M)
  return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shapes)


# What users approximate.


def test_users_without_public_items_are_left_out():
  lists = public_lists(LISTS, 2)
  assert lists.length.tolist() == [2, 1, 13, 3, 1]
  assert lists.item.tolist() == [item for items in PUBLIC for item in items]
  # Two users have sixteen public items at most.
  assert lists.room.shape == (16, 0)
  held = members(lists, jnp.array([3, 5]))
  assert int(held.valid.sum()) == 3
  assert lists.item[held.entry][:3].tolist() == [2, 5, 9] and held.member[:3].tolist() == [0, 0, 0]


def test_batches_hold_everybody_once():
  batches = np.asarray(shuffled_batches(jax.random.key(0), 10, 4))
  assert batches.shape == (3, 4) and (batches.reshape(-1)[10:] == 10).all()
  assert sorted(batches.reshape(-1)[:10].tolist()) == list(range(10))
  assert batches.tolist() != np.asarray(shuffled_batches(jax.random.key(1), 10, 4)).tolist()


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_passes_of_adam(batch, q):
  random = np.random.default_rng(batch)
  lists = public_lists(LISTS, batch)
  users, count = random.normal(size=(len(KNOWN), D)), len(lists.item)
  zeros = jnp.zeros(users.shape)
  state = Approximation(jnp.asarray(users, jnp.float32), jnp.int32(0), zeros, zeros)
  adam = Adam(users.shape)
  for number in range(3):
    table = table_of(number)
    negatives = random.integers(0, M, (count, q))
    batches = np.asarray(shuffled_batches(jax.random.key(number), len(KNOWN), batch))
    public = as_public(table)
    arguments = (lists, mf(dim=D), public, jnp.asarray(batches), jnp.asarray(negatives), 0.05)
    state = adam_pass(state, *arguments)
    grouped = np.split(negatives, np.cumsum([len(items) for items in KNOWN])[:-1])
    members_of = [[one for one in users if one < len(KNOWN)] for users in batches.tolist()]
    users = oracle.approximate(
      users, adam, table, KNOWN, members_of, [group.tolist() for group in grouped], 0.05
    )
    np.testing.assert_allclose(state.users, users, atol=2e-5)
  assert int(state.steps) == adam.step_number == 3 * len(batches)


def test_the_loss_of_users_on_a_network():
  # No pass of its own: the loss is shared with the dot product, only the score differs.
  model, random = ncf(dim=D, hidden=(5, 4)), np.random.default_rng(4)
  public = random_public(model, random)
  lists, users = public_lists(LISTS, 5), random.normal(size=(5, D))
  negatives = random.integers(0, M, (len(lists.item), 1))
  start = Approximation(jnp.asarray(users, jnp.float32), jnp.int32(0), *jnp.zeros((2, 5, D)))
  batch = jnp.arange(5)[None]
  moved = adam_pass(start, lists, model, public, batch, jnp.asarray(negatives), 1.0)
  layers, table = layers_of(public.shared), np.asarray(public.items, float)
  owner = np.asarray(lists.user)
  for user in range(5):
    slope = np.zeros(D)
    for item, negative in zip(np.asarray(lists.item)[owner == user], negatives[owner == user, 0]):
      pair = (table[item], table[negative])
      liked, other = (interaction.logit(users[user], row, layers) for row in pair)
      towards, away = (interaction.logit_gradients(users[user], row, layers).user for row in pair)
      slope += (sigmoid(liked - other) - 1) * (towards - away)
    # The first moment after one step is a tenth of the gradient.
    np.testing.assert_allclose(moved.first[user], 0.1 * slope, atol=1e-5)


@functools.partial(jax.jit, static_argnames=("passes", "batch"))
def refreshed(state, lists, table, key, passes=1, batch=5):
  return refresh(
    state, lists, mf(dim=1), as_public(table), key,
    learning_rate=0.1, passes=passes, batch=batch, num_negatives=1,
  )


def test_negatives_are_not_public():
  # Items are worth 1 if public for the third user, which has all but two, and others nothing: a
  # term with a public item for its negative would have no gradient.
  lists, table = public_lists(LISTS, 5), np.zeros((M, 1))
  table[KNOWN[2]] = 1.0
  still = init_approximation(jax.random.key(0), 5, 1, 0.01)._replace(users=jnp.zeros((5, 1)))
  for seed in range(5):
    after = refreshed(still, lists, table, jax.random.key(seed))
    assert float(after.first[2, 0]) == pytest.approx(-0.1 * 13 / 2, rel=1e-5)


def test_negatives_are_drawn_anew():
  lists, state = public_lists(LISTS, 5), init_approximation(jax.random.key(0), 5, 1, 0.01)
  moments = [
    float(refreshed(state, lists, table_of(0)[:, :1], jax.random.key(seed)).first[0, 0])
    for seed in range(5)
  ]
  assert len(set(moments)) > 3


def test_passes_are_counted():
  lists = public_lists(LISTS, 2)
  for passes in (1, 4):
    state = init_approximation(jax.random.key(0), 5, 1, 0.5)
    after = refreshed(state, lists, table_of(0)[:, :1], jax.random.key(0), passes=passes, batch=2)
    assert int(after.steps) == 3 * passes


# What targets have to overtake.


@pytest.mark.parametrize("reading", ["list", "others"])
@pytest.mark.parametrize("targets", [[3], [14, 0, 5], list(range(8))], ids=str)
@pytest.mark.parametrize("length", [1, 4, 7])
def test_references(targets, length, reading):
  random = np.random.default_rng(length)
  found_some = 0
  find = jax.jit(reference_items, static_argnums=(2, 3))
  for case in range(40):
    # Small integers, so that many scores are equal.
    scores = random.integers(0, 6, M) if case % 2 else random.normal(size=M)
    public = random.choice(M, random.integers(0, M - 1), replace=False)
    masked = np.array(scores, float)
    masked[public] = -np.inf
    items, pulled = find(jnp.asarray(masked, jnp.float32), jnp.array(targets), length, reading)
    expected = oracle.references(scores, public.tolist(), targets, length, reading)
    found = {
      target: int(item)
      for target, item, one in zip(targets, np.asarray(items), np.asarray(pulled), strict=True)
      if one
    }
    assert found == expected
    found_some += len(found)
  assert found_some > 0


@pytest.mark.parametrize("at_a_time", [1, 2, 100])
@pytest.mark.parametrize("reading", ["list", "others"])
@pytest.mark.parametrize("targets", [[3], [14, 0, 5]], ids=str)
def test_the_gradient_of_the_attack(targets, reading, at_a_time, monkeypatch):
  monkeypatch.setattr(exposure_loss, "_SCORES", at_a_time * M)
  users, table = np.random.default_rng(0).normal(size=(len(KNOWN), D)), table_of(1)
  found, shared = exposure_gradient(
    mf(dim=D), as_public(table), jnp.asarray(users, jnp.float32), public_lists(LISTS, 5),
    jnp.array(targets), list_length=4, reference=reading, batch=5, with_shared=True,
  )
  assert shared == ()
  expected = oracle.attack_gradient(users, table, KNOWN, targets, 4, reading)
  assert np.abs(expected).max() > 1
  np.testing.assert_allclose(found, expected, atol=1e-5)


def layers_of(shared):
  """The package's parameters as the oracle has them."""
  hidden = [shared[f"Dense_{number}"] for number in range(len(shared) - 3)]
  pairs = [shared, *hidden, shared["output"]]
  return [(np.asarray(one["kernel"], float), np.asarray(one["bias"], float)) for one in pairs]


@pytest.mark.parametrize("with_shared", [False, True])
def test_the_gradient_of_the_attack_on_a_network(with_shared):
  model, random, targets = ncf(dim=D, hidden=(5, 4)), np.random.default_rng(2), [3, 6]
  public = random_public(model, random)
  users = random.normal(size=(len(KNOWN), D))
  found, shared = exposure_gradient(
    model, public, jnp.asarray(users, jnp.float32), public_lists(LISTS, 2), jnp.array(targets),
    list_length=4, reference="others", batch=2, with_shared=with_shared,
  )
  layers, table = layers_of(public.shared), np.asarray(public.items, float)
  expected, for_layers = np.zeros((M, D)), interaction.zero_layers(layers)
  for user, items in zip(users, KNOWN, strict=True):
    scores = np.array([interaction.logit(user, row, layers) for row in table])
    for target, other in oracle.references(scores, items, targets, 4, "others").items():
      slope = oracle.bent_slope(scores[other] - scores[target])
      for item, sign in ((other, 1.0), (target, -1.0)):
        one = interaction.logit_gradients(user, table[item], layers)
        expected[item] += sign * slope * one.rows[0]
        for_layers = interaction.add_layers(for_layers, one.layers, sign * slope)
  np.testing.assert_allclose(found, expected, atol=2e-5)
  if not with_shared:
    assert shared == ()
    return
  for (weights, bias), (wanted, wanted_bias) in zip(layers_of(shared), for_layers, strict=True):
    np.testing.assert_allclose(weights, wanted, atol=2e-5)
    np.testing.assert_allclose(bias, wanted_bias, atol=2e-5)


OTHER_MODELS = {
  "lightgcn": lightgcn(dim=D, hidden=(4,)),
  "fedgnn": fedgnn(dim=D),
  "sasrec": sasrec(dim=D, length=4, blocks=1, heads=1),
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_the_gradient_of_the_attack_is_that_of_its_loss(name):
  model, random = OTHER_MODELS[name], np.random.default_rng(3)
  public = random_public(model, random)
  users, lists, targets = random.normal(size=(5, D)), public_lists(LISTS, 5), [3]
  users = jnp.asarray(users, jnp.float32)
  found, _ = exposure_gradient(
    model, public, users, lists, jnp.array(targets),
    list_length=4, reference="others", batch=5, with_shared=False,
  )

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def score(table, user):
    vector = lone_vector(model, user, table[0], public.shared)
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


# The whole.


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
  for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
    assert np.array_equal(one, two)


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
  public = random_public(model, random)
  options = {"max_rows": 6, "list_length": 4, "batch": 5, "init_std": 0.5}
  attack = fedrecattack(upload_shared=True, strength=2.0, **options)
  state = attack.init(jax.random.key(3), context_of([3]))
  view = view_of(public, [3], model, ACTIVE)
  uploads, after = run_poison(attack.poison, state, view, jax.random.key(0))
  assert np.flatnonzero(uploads.sent).tolist() == [4, 6, 9]
  _, expected = exposure_gradient(
    model, public, after.approximation.users, state.lists, jnp.array([3]),
    list_length=4, reference="others", batch=5, with_shared=True,
  )
  for leaf, wanted in zip(jax.tree.leaves(uploads.shared), jax.tree.leaves(expected), strict=True):
    for slot in range(C):
      share = 2 / 3 if slot in (4, 6, 9) else 0.0
      np.testing.assert_allclose(leaf[slot], share * wanted, atol=1e-5)
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
