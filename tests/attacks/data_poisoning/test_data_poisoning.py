"""Optimised fake profiles: parts against the oracle, the rest by properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import dl_poison, mf_poison
from fedrecjax.attacks.data_poisoning.dl_poison import choose_fillers, exposure_penalty, mean_penalty
from fedrecjax.attacks.data_poisoning.mf_poison import Pairs, ascend, project, promotion
from fedrecjax.attacks.targeted.user_approximation import public_lists
from fedrecjax.datasets import ItemLists
from fedrecjax.models import mf
from fedrecjax.types import AttackContext, Public
from tests.oracles import data_poisoning as oracle

N, M, F, D = 9, 14, 3, 2
REAL = (np.random.default_rng(0).random((N, M)) < 0.35).astype(float)
REAL[4] = 0.0
NETWORK = {"max_rows": 12, "dim": 2, "first_steps": 5, "steps": 2, "list_length": 4}
ATTACKS = {
  "mf_poison": mf_poison(max_rows=12, dim=2, steps=4),
  "dl_poison": dl_poison(**NETWORK),
  "dl_poison in groups": dl_poison(**NETWORK, group=4),
}


def lists():
  return ItemLists.from_lists([np.flatnonzero(row) for row in REAL])


def pairs_of(targets):
  user, item = np.nonzero(REAL)
  lacks = 1 - REAL[:, targets]
  return Pairs(jnp.asarray(user), jnp.asarray(item), jnp.asarray(lacks / lacks.sum(), jnp.float32))


def context_of(targets, num_malicious=6, granted=None):
  return AttackContext(
    M, num_malicious, np.array(targets, np.int32), 4, np.zeros((0, 0)), None, granted or lists()
  )


@pytest.mark.parametrize("sweeps", [1, 3])
@pytest.mark.parametrize("targets", [[3], [0, 13]], ids=str)
def test_promotion_through_least_squares(targets, sweeps):
  random = np.random.default_rng(1)
  fakes, table = random.random((F, M)), random.normal(size=(M, D))
  found = jax.jit(promotion, static_argnums=5)(
    jnp.asarray(fakes, jnp.float32), pairs_of(targets), jnp.asarray(table, jnp.float32),
    jnp.array(targets), 0.7, sweeps,
  )
  expected = oracle.promotion(REAL, fakes, table, targets, 0.7, sweeps)
  assert abs(expected) > 1e-3
  assert float(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("budget", [0, 1, 4, 30])
def test_projections(budget):
  random = np.random.default_rng(budget)
  find = jax.jit(project)
  for scale in (0.3, 1.0, 5.0, 0.0):
    profile = scale * random.normal(size=M)
    expected = oracle.nearest_profile(profile, budget)
    np.testing.assert_allclose(find(jnp.asarray(profile, jnp.float32), budget), expected, atol=1e-5)


@pytest.mark.parametrize("targets", [[3], [0, 13]], ids=str)
def test_ascent_promotes_within_bounds(targets):
  random = np.random.default_rng(2)
  start, table = random.random((F, M)), random.normal(size=(M, D))
  values, run = [], jax.jit(ascend, static_argnames=("budget", "sweeps"))
  for steps in (0, 5, 20):
    found = run(
      jnp.asarray(start, jnp.float32), pairs_of(targets), jnp.asarray(table, jnp.float32),
      jnp.array(targets), budget=4, ridge=0.7, sweeps=2, steps=steps, step_size=0.1,
    )
    found = np.asarray(found, float)
    others = np.delete(found, targets, axis=1)
    assert (found[:, targets] == 1).all() and others.min() >= 0 and others.max() <= 1
    assert others.sum(axis=1).max() <= 4 + 1e-4
    values.append(oracle.promotion(REAL, found, table, targets, 0.7, 2))
  assert values[0] + 1e-3 < values[1] < values[2]


@pytest.mark.parametrize("margin", [0.0, 0.3, 50.0])
@pytest.mark.parametrize("length", [1, 4])
def test_the_penalty(length, margin):
  random = np.random.default_rng(length)
  known = public_lists(lists(), N)
  held = [row.tolist() for row in (np.flatnonzero(one) for one in REAL) if len(row)]
  users, table = random.normal(size=(len(held), 3)), random.normal(size=(M, 3))
  some = [0, 6, 3, 3]
  found = mean_penalty(
    mf(dim=3), jnp.asarray(users, jnp.float32), Public(jnp.asarray(table, jnp.float32), ()), known,
    jnp.array(some), jnp.array([3, 8]), margin, length,
  )
  scores, owned = users[some] @ table.T, [held[one] for one in some]
  expected = oracle.penalty(scores, owned, [3, 8], length, margin)
  assert float(found) == pytest.approx(expected, abs=1e-5)


def test_a_penalty_stops_pulling_at_its_margin():
  slope = jax.grad(exposure_penalty, argnums=1)
  assert float(slope(0.0, 0.0, 0.5)) == pytest.approx(-0.5)
  assert float(slope(0.0, 9.0, 0.5)) == 0.0


def test_fillers_and_probabilities():
  random = np.random.default_rng(3)
  chance = np.ones(M)
  resets = 0
  for _ in range(30):
    scores = random.integers(0, 5, M) / 5
    chosen, after = choose_fillers(scores, chance, np.array([2, 7]), 4, 0.9)
    expected, wanted = oracle.fill(scores.tolist(), chance.tolist(), [2, 7], 4, 0.9)
    assert chosen.tolist() == expected and after.tolist() == pytest.approx(wanted)
    resets += bool((after == 1).all())
    chance = after
  assert resets > 1


@pytest.mark.parametrize("targets", [[3], [13, 0]], ids=str)
@pytest.mark.parametrize("name", ATTACKS)
def test_profiles_hold_the_targets_and_different_fillers(name, targets):
  attack = ATTACKS[name]
  assert attack.requires == {"interactions"}
  profiles = attack.profiles(np.random.default_rng(1), context_of(targets))
  assert len(profiles) == 6
  for profile in profiles:
    assert profile[: len(targets)].tolist() == targets
    assert len(set(profile.tolist())) == len(profile) == 6
    assert profile.min() >= 0 and profile.max() < M
  again = attack.profiles(np.random.default_rng(1), context_of(targets))
  other = attack.profiles(np.random.default_rng(2), context_of(targets))
  assert [one.tolist() for one in profiles] == [one.tolist() for one in again]
  assert [one.tolist() for one in profiles] != [one.tolist() for one in other]


def test_fillers_of_matrix_factorisation_are_what_fans_of_the_target_like():
  # Two groups of users with items of their own; the target belongs to nobody. Fans of the larger
  # group's items reach more users.
  items = [list(range(6))] * 20 + [list(range(6, 12))] * 4
  parts = [one[:4] if user % 2 else one[2:] for user, one in enumerate(items)]
  context = context_of([13], granted=ItemLists.from_lists(parts))
  attack = mf_poison(max_rows=10, dim=2, steps=20)
  profiles = attack.profiles(np.random.default_rng(0), context)
  fillers = np.concatenate([profile[1:] for profile in profiles])
  assert (fillers < 6).mean() > 0.9


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("field", ["max_rows", "dim", "steps"])
def test_impossible_numbers_are_named(name, field):
  build = mf_poison if name == "mf_poison" else dl_poison
  with pytest.raises(ValueError, match=rf"{build.__name__}\.{field} must be positive"):
    build(**{field: 0})


@pytest.mark.parametrize("build", [mf_poison, dl_poison])
def test_profiles_that_do_not_fit(build):
  with pytest.raises(ValueError, match="leaves no room"):
    build(max_rows=2).profiles(np.random.default_rng(0), context_of([1, 2]))
  with pytest.raises(ValueError, match="filler items asked for"):
    build(max_rows=60).profiles(np.random.default_rng(0), context_of([1, 2]))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"decay": 1.5}, r"dl_poison\.decay must lie in \(0, 1\]"),
    ({"weight": -1.0}, r"dl_poison\.weight must not be negative"),
    ({"margin": -1.0}, r"dl_poison\.margin must not be negative"),
    ({"group": 0}, r"dl_poison\.group must be positive"),
  ],
)
def test_impossible_settings_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    dl_poison(**options)
