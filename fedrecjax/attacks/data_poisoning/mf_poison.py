"""Data poisoning of matrix factorisation: profiles of fake users found by projected gradient ascent."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.attacks.data_poisoning.shilling import filler_count
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Array, Attack, AttackContext

# Halvings of the interval in which the shift of a projection lies: single precision has no more.
_BISECTIONS = 30


class Pairs(NamedTuple):
  """Known interactions.

  Attributes:
    user: int32 `[n]`.
    item: int32 `[n]`.
    wants: `[N, T]`: 1 where a user has not interacted with a target, divided by the number of such places.
  """

  user: Array
  item: Array
  wants: Array


def solve_right(sums: Array, factors: Array, ridge: Array | float) -> Array:
  """Least squares over factors `[k, d]`: sums (factors' factors + ridge I)^-1 for each row of sums `[n, d]`."""
  gram = factors.T @ factors + ridge * jnp.eye(factors.shape[1], dtype=jnp.float32)
  return jnp.linalg.solve(gram, sums.T).T


def fit_users(pairs: Pairs, table: Array, ridge: Array | float) -> Array:
  """Real users' factors `[N, d]` for given items `[M, d]`: least squares over all items, 1 where they interacted."""
  return solve_right(jax.ops.segment_sum(table[pairs.item], pairs.user, pairs.wants.shape[0]), table, ridge)


def sweep(pairs: Pairs, fakes: Array, table: Array, ridge: Array | float) -> Array:
  """One sweep of alternating least squares over real users and fake ones with relaxed profiles.

  Args:
    pairs: real interactions.
    fakes: profiles in 0..1 `[F, M]`.
    table: item factors before `[M, d]`.
    ridge: L2 weight of all factors.

  Returns:
    Item factors `[M, d]`.
  """
  users, invented = fit_users(pairs, table, ridge), solve_right(fakes @ table, table, ridge)
  sums = jax.ops.segment_sum(users[pairs.user], pairs.item, table.shape[0]) + fakes.T @ invented
  return solve_right(sums, jnp.concatenate([users, invented]), ridge)


def promotion(
  fakes: Array, pairs: Pairs, table: Array, targets: Array, ridge: Array | float, sweeps: int
) -> Array:
  """Mean predicted score of the targets for users who lack them, after some sweeps with fake profiles.

  Args:
    fakes: profiles in 0..1 `[F, M]`.
    pairs: real interactions.
    table: item factors from which the sweeps start `[M, d]`.
    targets: int32 `[T]`.
    ridge: L2 weight of all factors.
    sweeps: number of sweeps.
  """
  for _ in range(sweeps):
    table = sweep(pairs, fakes, table, ridge)
  return jnp.sum(pairs.wants * (fit_users(pairs, table, ridge) @ table[targets].T))


def project(profile: Array, budget: Array | float) -> Array:
  """The nearest point `[M]` with numbers in 0..1 that add up to no more than the budget.

  >>> project(jnp.array([2.0, 0.9, 0.3, -1.0]), 1.5).round(4).tolist()
  [1.0, 0.5, 0.0, 0.0]
  """

  def halve(_: Array, interval: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = interval
    middle = (low + high) / 2
    too_much = jnp.sum(jnp.clip(profile - middle, 0, 1)) > budget
    return jnp.where(too_much, middle, low), jnp.where(too_much, high, middle)

  low, high = lax.fori_loop(0, _BISECTIONS, halve, (jnp.zeros((), jnp.float32), jnp.maximum(jnp.max(profile), 0.0)))
  # Where the numbers fit as they are nothing is taken off.
  return jnp.clip(profile - jnp.where(jnp.sum(jnp.clip(profile, 0, 1)) > budget, (low + high) / 2, 0.0), 0, 1)


def ascend(
  fakes: Array,
  pairs: Pairs,
  table: Array,
  targets: Array,
  *,
  budget: int,
  ridge: Array | float,
  sweeps: int,
  steps: int,
  step_size: Array | float,
) -> Array:
  """Projected gradient ascent of :func:`promotion` on the fake profiles' numbers beside the targets.

  Args:
    fakes: at the start, in 0..1 `[F, M]`; the targets' numbers become 1.
    pairs: real interactions.
    table: item factors `[M, d]`.
    targets: int32 `[T]`.
    budget: sum of a profile's other numbers.
    ridge: L2 weight of all factors.
    sweeps: of alternating least squares that the gradient goes through.
    steps: number of steps.
    step_size: largest change of a number in a profile in a step, before projection.

  Returns:
    `[F, M]`.
  """
  free = jnp.ones(fakes.shape[1], jnp.float32).at[targets].set(0.0)

  def within(fakes: Array) -> Array:
    return jax.vmap(project, in_axes=(0, None))(fakes * free, budget) + (1 - free)

  def step(_: Array, fakes: Array) -> Array:
    slope = free * jax.grad(promotion)(fakes, pairs, table, targets, ridge, sweeps)
    largest = jnp.max(jnp.abs(slope), axis=1, keepdims=True)
    return within(fakes + step_size * slope / jnp.where(largest > 0, largest, 1.0))

  return lax.fori_loop(0, steps, step, within(fakes))


@ATTACKS.register
@traced
def mf_poison(
  *,
  max_rows: int = 60,
  dim: int = 8,
  ridge: float = 1.0,
  sweeps: int = 2,
  steps: int = 30,
  step_size: float = 0.2,
) -> Attack:
  """Fake profiles that promote the targets in a matrix factorisation of all known interactions (P1).

  The attacker factorises what it knows by alternating least squares, takes the fake users' profiles for numbers in
  0..1, and moves them along the gradient, through some sweeps, of the score that users who lack the targets are
  predicted for them. The largest numbers of each profile become its fillers.

  A light stand-in, not the published attacks: implicit feedback (all unknown pairs are zeros of weight 1) instead of
  ratings, a gradient through few sweeps instead of the optimality conditions of Li et al., all fake users at once
  instead of one at a time and no choice of influential users as in Fang et al. Numbers without a source are ours.

  Args:
    max_rows: item rows that a malicious client may upload (kappa, FedRecAttack VI-A); profiles hold half as many.
    dim: of the attacker's factors.
    ridge: L2 weight of its factors.
    sweeps: of alternating least squares that the gradient goes through.
    steps: of gradient ascent.
    step_size: largest change of a profile's number in a step.

  Returns:
    A data-poisoning attack that knows all training interactions.

  Raises:
    ValueError: if a number is not positive.

  References:
    Li et al., "Data Poisoning Attacks on Factorization-Based Collaborative Filtering", 2016; Fang et al., "Influence
    Function Based Data Poisoning Attacks to Top-N Recommender Systems", 2020; P1 in Table VI of FedRecAttack.
  """
  for field, value in (("max_rows", max_rows), ("dim", dim), ("ridge", ridge), ("sweeps", sweeps),
                       ("steps", steps), ("step_size", step_size)):
    check(value > 0, f"mf_poison.{field} must be positive, got {value}")

  def profiles(rng: np.random.Generator, context: AttackContext) -> list[np.ndarray]:
    count = filler_count("mf_poison", max_rows, context)
    lists = context.interactions
    lacks = np.ones((len(lists), context.num_items), bool)
    lacks[lists.users, lists.items] = False
    wants = lacks[:, context.targets].astype(np.float32)
    pairs = Pairs(
      jnp.asarray(lists.users, jnp.int32), jnp.asarray(lists.items, jnp.int32),
      jnp.asarray(wants / max(wants.sum(), 1.0), jnp.float32),
    )
    table = jnp.asarray(rng.normal(size=(context.num_items, dim)), jnp.float32)
    start = jnp.asarray(rng.random((context.num_malicious, context.num_items)), jnp.float32)
    targets = jnp.asarray(context.targets, jnp.int32)
    weight = jnp.float32(ridge)
    found = np.array(_jitted_ascent(
      start, pairs, _jitted_fit(pairs, table, weight), targets, budget=count, ridge=weight, sweeps=sweeps,
      steps=jnp.int32(steps), step_size=jnp.float32(step_size),
    ))
    found[:, context.targets] = -1.0
    # Many numbers may have been projected to 0; which of those fill a profile up is left to chance.
    ranked = np.lexsort((rng.random(found.shape), -found), axis=1)
    return [np.append(context.targets, fillers[:count]) for fillers in ranked]

  return Attack(profiles=profiles, requires=frozenset({"interactions"}))


def _fit(pairs: Pairs, table: Array, ridge: Array | float) -> Array:
  """Item factors of the real interactions alone, by ten sweeps."""
  nobody = jnp.zeros((0, table.shape[0]), jnp.float32)
  return lax.fori_loop(0, 10, lambda _, table: sweep(pairs, nobody, table, ridge), table)


_jitted_fit = jax.jit(_fit)
_jitted_ascent = jax.jit(ascend, static_argnames=("budget", "sweeps"))
