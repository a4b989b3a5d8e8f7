"""PIECK's losses and gradients against the hand-derived oracle; what its clients upload."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.analysis import pairwise_divergence
from fedrecjax.attacks import pieck_ipe, pieck_uea
from fedrecjax.attacks.targeted.pieck import inverse_rank_weights, ipe_loss, uea_loss, uea_weights
from fedrecjax.models import mf
from fedrecjax.numerics.similarity import cosine
from fedrecjax.types import AttackContext, AttackView, Public
from tests.oracles import pieck

M, D, T = 15, 4, 3
READINGS = {"paper": "mean", "published": "batches"}
FORMS = [("ipe", pieck_ipe), ("uea", functools.partial(pieck_uea, reading="mean"))]


def vectors(seed, count=7):
  random = np.random.default_rng(seed)
  return random.normal(size=D).astype(np.float32), random.normal(size=(count, D)).astype(np.float32)


@pytest.mark.parametrize(("weighting", "metric", "partition"), [
  ("subset", "cosine", True), ("list", "cosine", True), ("ones", "cosine", True), ("equal", "cosine", True),
  ("subset", "cosine", False), ("ones", "cosine", False), ("equal", "cosine", False),
  ("ones", "kl", False), ("equal", "kl", True), ("subset", "kl", True),
])  # fmt: skip
def test_ipe_loss_and_gradient(weighting, metric, partition):
  chosen = {"metric": metric, "partition": partition}
  value = jax.jit(
    jax.value_and_grad(
      lambda target, popular, strength: ipe_loss(target, popular, strength=strength, weighting=weighting, **chosen)
    )
  )
  for seed in range(20):
    target, popular = vectors(seed)
    if seed == 0:
      popular = np.abs(popular) * np.sign(target)  # all on one side: P- is empty
    loss, gradient = value(target, popular, 0.3 + seed / 40)
    arguments = (target.astype(float), popular.astype(float), 0.3 + seed / 40, weighting)
    assert float(loss) == pytest.approx(pieck.ipe_loss(*arguments, **chosen), abs=1e-6)
    np.testing.assert_allclose(gradient, pieck.ipe_gradient(*arguments, **chosen), atol=2e-6)


def test_without_its_three_parts_the_loss_is_a_mean_cosine():
  """Table VI: kappa left out and no subsets; the divergence is Eq. 9 of one target."""
  target, popular = vectors(2)
  options = {"strength": 1.0, "weighting": "ones", "partition": False}
  means = {
    "cosine": -np.mean([pieck.cosine(one, target) for one in popular]),
    "kl": pairwise_divergence(popular, target[None]),
  }
  for metric, mean in means.items():
    assert float(ipe_loss(target, popular, metric=metric, **options)) == pytest.approx(mean, abs=1e-6)


def test_what_the_ablation_switches_is_what_is_uploaded():
  made = [
    uploads_of(pieck_ipe(num_popular=5, mining_differences=1, weighting="ones", **switches))[1][1][0][4]
    for switches in ({}, {"partition": False}, {"partition": False, "metric": "kl"})
  ]
  tables, *_ = uploads_of(pieck_ipe(num_popular=5, mining_differences=1))
  popular = tables[1][pieck.delta_norm_mining(list(tables), 5, [4, 0, 9])]
  for row, (partition, metric) in zip(made, ((True, "cosine"), (False, "cosine"), (False, "kl")), strict=True):
    expected = pieck.ipe_gradient(
      tables[1][4], popular, 0.9, "ones", num_targets=3, partition=partition, metric=metric
    )
    np.testing.assert_allclose(row, expected, atol=1e-5)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(("num_batches", "repeats"), [(5, 3), (2, 1), (7, 2), (1, 4)])
def test_uea_loss_and_gradient(reading, num_batches, repeats):
  weights = uea_weights(7, reading=READINGS[reading], num_batches=num_batches, repeats=repeats)
  value = jax.jit(
    jax.value_and_grad(
      lambda target, popular, weights: uea_loss(mf(dim=D), target, popular, (), weights)
    )
  )
  for seed in range(5):
    target, popular = vectors(seed)
    loss, gradient = value(target, popular, jnp.asarray(weights))
    arguments = (target.astype(float), popular.astype(float), reading, num_batches, repeats)
    assert float(loss) == pytest.approx(pieck.uea_loss(*arguments), rel=1e-5)
    np.testing.assert_allclose(gradient, pieck.uea_gradient(*arguments), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weighting", ["subset", "list"])
@pytest.mark.parametrize("zero", ["target", "popular", "one popular"])
def test_zero_vectors_have_cosine_and_gradient_zero(weighting, zero):
  target, popular = vectors(3)
  target = target * (zero != "target")
  popular = popular * (zero != "popular")
  popular[2] *= zero != "one popular"
  with jax.debug_nans(True):
    loss, gradient = jax.value_and_grad(ipe_loss)(
      jnp.asarray(target), jnp.asarray(popular), strength=0.9, weighting=weighting
    )
  arguments = (target.astype(float), popular.astype(float), 0.9, weighting)
  assert float(loss) == pytest.approx(pieck.ipe_loss(*arguments), abs=1e-6)
  np.testing.assert_allclose(gradient, pieck.ipe_gradient(*arguments), atol=2e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e6])
def test_cosine_does_not_depend_on_lengths(scale):
  # Item vectors are drawn around 0.01, and a zero test that is too coarse would swallow them.
  target, popular = vectors(5)
  found = cosine(jnp.asarray(scale * popular[0]), jnp.asarray(scale * target))
  assert float(found) == pytest.approx(
    pieck.cosine(popular[0].astype(float), target.astype(float)), abs=1e-5
  )


def test_popular_vectors_are_constants():
  target, popular = vectors(0)
  for gradient in (
    jax.grad(ipe_loss, argnums=1)(target, popular, strength=1.0, weighting="subset"),
    jax.grad(uea_loss, argnums=2)(mf(dim=D), target, popular, (), jnp.ones(7)),
  ):
    assert (np.asarray(gradient) == 0).all()


@pytest.mark.parametrize("member", [[1, 1, 1], [0, 1, 0, 1, 1], [0, 0], [1]], ids=str)
def test_inverse_rank_weights(member):
  positions = np.flatnonzero(member).tolist()
  expected = np.zeros(len(member))
  expected[positions] = pieck.ipe_weights(positions, len(member), "subset")
  np.testing.assert_allclose(inverse_rank_weights(jnp.array(member, bool)), expected, atol=1e-7)
  assert expected.sum() == pytest.approx(1.0 if positions else 0.0)


def test_weights_of_the_mean_add_up_to_one():
  assert uea_weights(8, reading="mean", num_batches=5, repeats=3) == [1 / 8] * 8


def context_of(rounds):
  return AttackContext(
    num_items=M,
    num_malicious=3,
    targets=np.array([4, 0, 9], np.int32),
    dim=D,
    rounds=rounds,
    popularity=None,
  )


def view_of(table, number, client, targets):
  client = np.asarray(client)
  return AttackView(
    public=Public(jnp.asarray(table), ()),
    round=jnp.int32(number),
    client=jnp.where(client >= 0, client, 3),
    active=jnp.asarray(client >= 0),
    slot=jnp.asarray(10 + np.arange(len(client))),
    targets=jnp.asarray(targets),
    learning_rate=jnp.float32(1.0),
    benign=None,
    model=mf(dim=table.shape[1]),
    num_clients=20,
  )


# Clients 0 and 2 meet twice, client 1 comes once: after round 1, with one difference, it is still
# waiting.
ROUNDS = np.array([[0, 2, -1], [2, 1, 0]], np.int32)


def uploads_of(attack, seed=0):
  """Tables received and uploads by client in each of the two rounds."""
  context = context_of(ROUNDS)
  state = attack.init(jax.random.key(seed), context)
  tables = np.random.default_rng(seed).normal(size=(2, M, D)).astype(np.float32)
  poison = jax.jit(lambda poison, *arguments: poison(*arguments))
  made = []
  for number, client in enumerate(ROUNDS):
    view = view_of(tables[number], number, client, context.targets)
    uploads, state = poison(attack.poison, state, None, view, jax.random.key(0))
    rows = {}
    for place, item, row in zip(*(np.asarray(part) for part in uploads[:3]), strict=True):
      if item < M:
        rows.setdefault(int(client[place - 10]), {})[int(item)] = row
    made.append(rows)
  return tables.astype(float), made, state


def expected_rows(kind, table, popular, strategy, scale):
  """The rows of one client by the oracle."""
  targets = [4, 0, 9]

  def gradient(target, num_targets):
    arguments = (table[target], table[popular])
    if kind == "ipe":
      return scale * pieck.ipe_gradient(*arguments, 0.9, "subset", num_targets=num_targets)
    return scale * pieck.uea_gradient(*arguments, "paper", num_targets=num_targets)

  if strategy == "copy":
    return {target: gradient(targets[0], 1) for target in targets}
  return {target: gradient(target, len(targets)) for target in targets}


@pytest.mark.parametrize("strategy", ["together", "copy"])
@pytest.mark.parametrize(("kind", "constructor"), FORMS, ids=["ipe", "uea"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_uploads_of_clients_that_have_mined(kind, constructor, strategy, scale):
  tables, (first, second), _ = uploads_of(
    constructor(num_popular=5, mining_differences=1, strategy=strategy, scale=scale)
  )
  assert first == {}
  assert set(second) == {0, 2}  # client 1 takes part for the first time
  popular = pieck.delta_norm_mining(list(tables), 5, [4, 0, 9])
  expected = expected_rows(kind, tables[1], popular, strategy, scale)
  for rows in second.values():
    assert set(rows) == set(expected)
    for item, row in rows.items():
      np.testing.assert_allclose(row, expected[item], atol=1e-5)


@pytest.mark.parametrize(("kind", "constructor"), FORMS, ids=["ipe", "uea"])
@pytest.mark.parametrize(("before_mined", "lists"), [("arbitrary", 1), ("own_arbitrary", 3)])
def test_arbitrary_items_until_the_popular_ones_are_mined(kind, constructor, before_mined, lists):
  attack = constructor(num_popular=5, mining_differences=2, before_mined=before_mined)
  start = attack.init(jax.random.key(0), context_of(ROUNDS)).arbitrary
  assert len({tuple(one.tolist()) for one in start}) == lists == (len(start) if lists > 1 else 1)
  tables, uploads, state = uploads_of(attack)
  assert not np.asarray(state.mined).any()
  for number, rows in enumerate(uploads):
    assert set(rows) == set(ROUNDS[number][ROUNDS[number] >= 0])
    for client, found in rows.items():
      expected = expected_rows(kind, tables[number], np.asarray(start[client]), "together", 1.0)
      for item, row in found.items():
        np.testing.assert_allclose(row, expected[item], atol=1e-5)


@pytest.mark.parametrize(
  ("constructor", "options", "message"),
  [
    (pieck_ipe, {"num_popular": 0}, "pieck_ipe.num_popular must be positive"),
    (pieck_ipe, {"mining_differences": 0}, "pieck_ipe.mining_differences must be positive"),
    (pieck_ipe, {"strength": 0.0}, "pieck_ipe.strength must lie in"),
    (pieck_ipe, {"strength": 1.1}, "pieck_ipe.strength must lie in"),
    (pieck_uea, {"num_popular": 4}, r"pieck_uea\.num_batches must lie in .*, got 5 for num_popular=4"),
    (pieck_uea, {"num_batches": 0}, "pieck_uea.num_batches must lie in"),
    (pieck_uea, {"repeats": 0}, "pieck_uea.repeats must be positive"),
    (pieck_uea, {"scale": float("nan")}, "pieck_uea.scale"),
  ],
)
def test_impossible_numbers_are_named(constructor, options, message):
  with pytest.raises(ValueError, match=message):
    constructor(**options)


def test_fewer_items_than_popular_ones_wanted():
  with pytest.raises(ValueError, match=r"num_popular=13 items asked for, 12 to choose from"):
    pieck_uea(num_popular=13).init(jax.random.key(0), context_of(ROUNDS))


def test_an_aligned_target_is_lengthened():
  popular = np.array([[1.0, 0.0], [1.0, 0.1]], np.float32)
  options = {"strength": 0.9, "weighting": "subset"}
  for target, threshold in (([3.0, 0.1], 0.95), ([3.0, 0.1], 0.9999), ([0.0, 2.0], 0.95)):
    found = jax.jit(jax.grad(lambda row, threshold=threshold: ipe_loss(
      row, popular, lengthen_above=threshold, **options)))(jnp.array(target))
    cosines = popular @ np.array(target) / np.linalg.norm(popular, axis=1) / np.linalg.norm(target)
    if cosines.mean() > threshold:
      expected = -np.array(target) / np.linalg.norm(target)
    else:
      expected = jax.grad(lambda row: ipe_loss(row, popular, **options))(jnp.array(target))
    np.testing.assert_allclose(found, expected, atol=1e-6)
  zero = jax.grad(lambda row: ipe_loss(row, popular, lengthen_above=-1.0, **options))(jnp.zeros(2))
  assert np.isfinite(zero).all()


@pytest.mark.parametrize("threshold", [-1.1, 1.1])
def test_a_mean_cosine_that_cannot_be_is_refused(threshold):
  with pytest.raises(ValueError, match=r"pieck_ipe.lengthen_above must lie in \[-1, 1\] or be none"):
    pieck_ipe(lengthen_above=threshold)
