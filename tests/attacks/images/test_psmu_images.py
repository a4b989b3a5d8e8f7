"""PSMU(V) and PSMU++ against their oracle on shared draws, and what their pictures never do."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.attacks import psmu_pp, psmu_v
from fedrecjax.attacks.targeted.synthetic_users import draw_synthetic
from fedrecjax.uploads.rows import no_uploads
from tests.attacks.malicious_round import (
  CLIENTS,
  MALICIOUS,
  SLOTS,
  M,
  assert_rows,
  by_slot,
  context_of,
  poison,
  view_of,
)
from tests.oracles import perturbation
from tests.oracles import psmu_images as oracle
from tests.support.small_images import (
  F,
  extract,
  plain_extract,
  plain_pull_back,
  provided,
  recommender_of,
  visuals_of,
)

MODELS = {
  "vncf": models.vncf(dim=3, hidden=(5, 4), num_features=F),
  "lightvgcn": models.lightvgcn(dim=3, hidden=(5,), num_features=F),
}
SIZES = {"num_items": 4, "num_negatives": 2, "inner_steps": 3, "init_std": 0.5, "inner_lr": 0.1}
PIXELS = {"bound": 4.0, "steps": 5, "step_share": 0.3, "restart": True, "rounded": True, "adaptive": False}
LISTS = {"top_k": 5, "alternatives": 0, "margin_on": "prob"}
FEATURES = visuals_of(M, bare=()).features
IMAGES = visuals_of(M, bare=()).images.pixels


def public_of(model, seed=5):
  """Parameters of a size at which neither scores nor rectifiers are saturated."""
  random = np.random.default_rng(seed)
  shapes = model.init_public(jax.random.key(0), M)
  return jax.tree.map(lambda leaf: jnp.asarray(0.5 * random.normal(size=leaf.shape), jnp.float32), shapes)


def coarse(images, key):
  """A purifier without a derivative that says anything."""
  noise = 3 * jax.random.normal(key, images.shape)
  return jnp.clip(16 * jnp.round(images / 16) + noise, 0, 255)


def synthetic(known, allowed, key, number, optimizer="adam"):
  drawn = draw_synthetic(
    jax.random.fold_in(key, number), allowed, num_positives=4, num_negatives=2, num_items=M, dim=3, init_std=0.5
  )
  items, negatives, own = (np.asarray(one) for one in drawn)
  return oracle.trained_user(
    known, own.astype(float), items.tolist(), negatives, steps=3, rate=0.1, optimizer=optimizer
  )


def expected_images(known, users, targets, pixels, lists, current, purify=None):
  """What the oracle uploads; `purify` is what an adaptive provider passes each image through."""
  found = []
  for place, target in enumerate(targets):
    others = [
      oracle.above(known, user, targets, top_k=lists["top_k"], alternatives=lists["alternatives"])[place]
      for user in users
    ]
    plain = oracle.image_slope(
      known, users, target, others, plain_extract, plain_pull_back, margin_on=lists["margin_on"]
    )
    slope = plain if purify is None else lambda image, plain=plain: plain(purify(image))
    clean = IMAGES[target].astype(float)
    image, _ = perturbation.perturbed(
      clean, slope, bound=pixels["bound"], steps=pixels["steps"], step_size=pixels["bound"] * pixels["step_share"],
      start=np.zeros_like(clean) if pixels["restart"] else current[place] - clean, rounded=pixels["rounded"],
      keep="best",
    )
    found.append(image)
  return np.array(found)


CASES = {
  "one target": {},
  "three targets, warm, not rounded": {
    "targets": [5, 0, 3], "restart": False, "rounded": False, "bound": 2.6, "margin_on": "logit", "alternatives": 2
  },
  "one user, by plain gradients": {"users": 1, "targets": [13, 2], "inner_optimizer": "sgd", "top_k": 2},
  "adaptive, warm": {"adaptive": True, "targets": [1, 6], "restart": False},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MODELS)
def test_images_are_the_oracles(name, case):
  changes = {"targets": [5], "users": 3, "inner_optimizer": "adam"} | CASES[case]
  targets, count, optimizer = (changes.pop(one) for one in ("targets", "users", "inner_optimizer"))
  pixels = PIXELS | {field: value for field, value in changes.items() if field in PIXELS}
  lists = LISTS | {field: value for field, value in changes.items() if field in LISTS}
  attack = psmu_v(**SIZES, **pixels, **lists, inner_optimizer=optimizer)
  model, key = MODELS[name], jax.random.key(8)
  public = public_of(model)
  allowed = attack.init(key, context_of(model, targets))
  clean = IMAGES[targets]
  # Further off than the bound allows, so that the first image is projected.
  current = clean + np.random.default_rng(0).uniform(-6, 6, clean.shape)
  adaptive = pixels["adaptive"]
  sent, after = provided(
    attack, allowed, model, public, FEATURES, targets, clean, current=current, users=count, key=key,
    purify=coarse if adaptive else None,
  )
  np.testing.assert_array_equal(after, allowed)
  known = recommender_of(name, public, FEATURES)
  users = [synthetic(known, allowed, key, number, optimizer) for number in range(count)]
  purify = None
  if adaptive:

    def purify(image):
      return np.asarray(coarse(jnp.asarray(image[None], jnp.float32), key)[0], float)

  expected = expected_images(known, users, targets, pixels, lists, current, purify)
  assert (np.abs(expected - clean).max(axis=(1, 2, 3)) > 1).all()
  np.testing.assert_allclose(sent, expected, atol=0 if pixels["rounded"] else 1e-4)


def test_a_provider_that_is_not_told_of_a_defence_sees_none():
  model, targets, key = MODELS["vncf"], [5], jax.random.key(8)
  public, clean = public_of(model), IMAGES[[5]]
  plain, adaptive = (psmu_v(**SIZES, **(PIXELS | {"adaptive": one})) for one in (False, True))
  assert plain.requires == frozenset() and adaptive.requires == {"image_defense"}
  allowed = plain.init(key, context_of(model, targets))
  arguments = (allowed, model, public, FEATURES, targets, clean)
  through = provided(adaptive, *arguments, key=key, purify=coarse)[0]
  without = provided(adaptive, *arguments, key=key)[0]
  np.testing.assert_array_equal(without, provided(plain, *arguments, key=key)[0])
  assert (np.asarray(through) != without).any()


@pytest.mark.parametrize("bound", [0.0, 0.4, 3.7, 300.0])
@pytest.mark.parametrize("rounded", [True, False])
def test_the_bound_is_never_exceeded(bound, rounded):
  model, targets = MODELS["vncf"], [5, 0, 3]
  attack = psmu_v(**SIZES, **(PIXELS | {"bound": bound, "rounded": rounded, "step_share": 0.9, "restart": False}))
  allowed = attack.init(jax.random.key(0), context_of(model, targets))
  clean = IMAGES[targets]
  sent = np.asarray(
    provided(
      attack, allowed, model, public_of(model), FEATURES, targets, clean, current=255.0 - clean, key=jax.random.key(1)
    )[0]
  )
  change = np.abs(sent - clean)
  assert change.max() <= bound + 1e-4 and sent.min() >= 0 and sent.max() <= 255
  # The least bound leaves no whole number but the clean one.
  assert (change.max() > 0) == (bound > (0.5 if rounded else 0))
  if rounded:
    np.testing.assert_array_equal(sent, np.round(sent))


def test_other_users_make_another_image():
  model, targets = MODELS["vncf"], [5]
  attack = psmu_v(**SIZES, **PIXELS)
  allowed = attack.init(jax.random.key(0), context_of(model, targets))
  arguments = (attack, allowed, model, public_of(model), FEATURES, targets, IMAGES[targets])
  one, three, others = (
    np.asarray(provided(*arguments, users=count, key=jax.random.key(seed))[0])
    for count, seed in ((1, 8), (3, 8), (3, 9))
  )
  assert (one != three).any() and (three != others).any()


@pytest.mark.parametrize("build", [psmu_v, psmu_pp])
def test_users_are_needed(build):
  context = context_of(MODELS["vncf"], [5])._replace(num_malicious=0)
  with pytest.raises(ValueError, match=r"^attacker\.malicious_ratio leaves no synthetic user"):
    build(num_items=4).init(jax.random.key(0), context)


def pp_case(name, targets, *, users=MALICIOUS, **changes):
  """PSMU++ after an image step: attack, state, images, public parameters and key."""
  model, key = MODELS[name], jax.random.key(8)
  attack = psmu_pp(**SIZES, **(PIXELS | LISTS | changes))
  state = attack.init(key, context_of(model, targets))
  public = public_of(model)
  sent, after = provided(
    attack, state, model, public, FEATURES, targets, IMAGES[targets], users=users, key=key
  )
  return attack, state, sent, after, public, key


@pytest.mark.parametrize("name", MODELS)
def test_one_set_of_users_leads_images_and_gradients(name):
  targets = [5, 0]
  attack, before, sent, state, public, key = pp_case(name, targets, alternatives=1, margin_on="logit")
  assert attack.colludes
  known = recommender_of(name, public, FEATURES)
  users = [synthetic(known, before.allowed, key, number) for number in range(MALICIOUS)]
  np.testing.assert_array_equal(state.users.items, [user.items for user in users])
  np.testing.assert_allclose(state.users.private, [user.own for user in users], atol=1e-5)
  lists = LISTS | {"alternatives": 1, "margin_on": "logit"}
  np.testing.assert_array_equal(sent, expected_images(known, users, targets, PIXELS, lists, None))

  # Clients upload by the parameters and features of their round, which have moved on, for the very same users.
  later, features = public_of(MODELS[name], seed=6), FEATURES.copy()
  features[targets] = np.asarray(extract(sent))
  view = view_of(MODELS[name], later, targets)._replace(features=jnp.asarray(features))
  uploads, after = poison(attack, state, no_uploads(3), view, jax.random.key(99))
  chex.assert_trees_all_equal(after, state)
  known = recommender_of(name, later, features)
  rows, shared = {}, {}
  for place, client in enumerate(CLIENTS):
    if client == MALICIOUS:  # an empty place
      continue
    user = users[client]._replace(own=np.asarray(state.users.private[client], float))
    above = oracle.above(known, user, targets, top_k=5, alternatives=1)
    gradients = oracle.poisoned_gradients(known, user, targets, above, margin_on="logit")
    rows[SLOTS[place]] = dict(zip(targets, gradients.rows, strict=True))
    shared[SLOTS[place]] = gradients
  assert max(np.abs(row).max() for one in rows.values() for row in one.values()) > 1e-3
  assert_rows(by_slot(uploads), rows, atol=2e-5)
  assert np.flatnonzero(uploads.sent).tolist() == sorted(shared)
  for slot, gradients in shared.items():
    one = jax.tree.map(lambda leaf, slot=slot: leaf[slot], uploads.shared)
    np.testing.assert_allclose(one.projection, gradients.projection, atol=2e-5)
    tower = recommender_of(name, later._replace(shared=one), features).layers
    for (weights, bias), (more, other) in zip(tower, gradients.layers, strict=True):
      np.testing.assert_allclose(weights, more, atol=2e-5)
      np.testing.assert_allclose(bias, other, atol=2e-5)
  absent = np.delete(np.arange(len(uploads.sent)), list(shared))
  of_absent = jax.tree.map(lambda leaf: leaf[absent], uploads.shared)
  chex.assert_trees_all_equal(of_absent, jax.tree.map(jnp.zeros_like, of_absent))


def test_images_of_both_attacks_are_the_same():
  """PSMU++ has no objective of its own."""
  model, targets = MODELS["vncf"], [5, 0]
  _, before, sent, _, public, key = pp_case("vncf", targets)
  alone = psmu_v(**SIZES, **PIXELS)
  expected, _ = provided(
    alone, before.allowed, model, public, FEATURES, targets, IMAGES[targets], users=MALICIOUS, key=key
  )
  np.testing.assert_array_equal(sent, expected)


def test_nobody_attacks_in_empty_places_and_shared_gradients_can_be_kept_back():
  targets = [5]
  attack, _, _, state, public, _ = pp_case("vncf", targets, upload_shared=False)
  view = view_of(MODELS["vncf"], public, targets)._replace(features=jnp.asarray(FEATURES))
  uploads, _ = poison(attack, state, no_uploads(3), view)
  assert uploads.shared == () and uploads.sent is None and set(by_slot(uploads)) == {4, 9, 6}
  empty = view_of(MODELS["vncf"], public, targets, clients=(MALICIOUS,) * 4)
  nothing, after = poison(
    attack, state, no_uploads(3), empty._replace(features=jnp.asarray(FEATURES))
  )
  assert by_slot(nothing) == {}
  np.testing.assert_array_equal(after.users.private, state.users.private)


def test_synthetic_users_never_hold_a_target():
  targets = [5, 0, 3]
  _, before, _, state, _, _ = pp_case("vncf", targets, users=200)
  items = np.asarray(state.users.items)
  assert items.shape == (200, 4) and not np.isin(items, targets).any()
  assert set(np.unique(items)) == set(np.asarray(before.allowed).tolist()) == set(range(M)) - set(targets)
  assert all(len(set(one)) == 4 for one in items.tolist())


def test_a_target_first_on_every_list_is_compared_with_what_else_is_on_it():
  model, targets, key = MODELS["vncf"], [5, 0], jax.random.key(8)
  public = public_of(model)
  known = recommender_of("vncf", public, FEATURES)
  attack = psmu_v(**SIZES, **PIXELS, top_k=1)
  allowed = attack.init(key, context_of(model, targets))
  user = synthetic(known, allowed, key, 0)
  # The last layer's bias moves all items alike; a target's own embedding is searched for.
  for scale in np.linspace(-20, 20, 40):
    table = known.table.copy()
    table[5] = scale
    if oracle.above(known._replace(table=table), user, targets, top_k=1, alternatives=0) == [[], []]:
      break
  else:
    pytest.fail("no embedding puts the target first")
  lifted = public._replace(items=jnp.asarray(table, jnp.float32))
  sent, _ = provided(
    attack, allowed, model, lifted, FEATURES, targets, IMAGES[targets], users=1, key=key
  )
  # Nothing stands above either of them: there is nothing to change.
  np.testing.assert_array_equal(sent, IMAGES[targets])


@pytest.mark.parametrize("build", [psmu_v, psmu_pp])
def test_too_few_items(build):
  for options in ({"num_items": 9}, {"num_items": 4, "top_k": 10}, {"num_items": 4, "alternatives": 10}):
    with pytest.raises(ValueError, match=r"need 1\d items that are no targets, there are 13"):
      build(**options).init(jax.random.key(0), context_of(MODELS["vncf"], [5]))
  build(num_items=8).init(jax.random.key(0), context_of(MODELS["vncf"], [5]))


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("bound", -1.0, "must not be negative, got -1.0"),
    ("bound", float("nan"), "must be a finite number"),
    ("steps", -1, "must not be negative, got -1"),
    ("step_share", -0.5, "must not be negative, got -0.5"),
    ("num_items", 0, "must be positive, got 0"),
    ("num_negatives", 0, "must be positive"),
    ("inner_steps", 0, "must be positive"),
    ("inner_lr", 0.0, "must be positive"),
    ("init_std", 0.0, "must be positive"),
    ("top_k", 0, "must be positive"),
    ("alternatives", -1, "must not be negative"),
    ("margin_on", "rank", "must be one of prob, logit"),
    ("inner_optimizer", "newton", "must be one of adam, sgd"),
    ("rounded", 2, "must be"),
  ],
)
@pytest.mark.parametrize("build", [psmu_v, psmu_pp])
def test_impossible_numbers_are_named(build, field, value, message):
  with pytest.raises(ValueError, match=f"^{build.__name__}.{field} {message}"):
    build(**{field: value})
