"""Data poisoning of deep recommenders: fake users whose fillers a poisoned network predicts."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from fedrecjax.attacks.data_poisoning.shilling import filler_count
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.user_approximation import PublicLists, members, public_lists
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.ncf import ncf
from fedrecjax.numerics.optimizers import in_32_bits
from fedrecjax.types import Array, Attack, AttackContext, Model, Public

_USERS_AT_A_TIME = 32
_PAIRS_AT_A_TIME = 1024
_NEGATIVES = 4
_LEARNING_RATE = 0.005


class Network(NamedTuple):
  """The attacker's recommender and its optimiser.

  Attributes:
    users: vectors of real users, then of fake ones `[N + F, r]`.
    public: item vectors and network.
    optimizer: state of Adam over both.
  """

  users: Array
  public: Public
  optimizer: Any


class Filled(NamedTuple):
  """Fake profiles so far; fake users that have none yet hold the targets alone.

  Attributes:
    items: int32 `[F, n]`, the targets first.
    used: how many of them there are, int32 `[F]`; 0 for fake users that do not exist yet.
  """

  items: Array
  used: Array


def exposure_penalty(reference: Array, target: Array, margin: Array | float) -> Array:
  """How far a target stays behind a recommendation list: max(log y_reference - log y_target, -margin).

  Args:
    reference: logit of the worst item of the list `[]`.
    target: logit of the target `[]`.
    margin: by how much it is to be ahead.
  """
  return jnp.maximum(jax.nn.log_sigmoid(reference) - jax.nn.log_sigmoid(target), -margin)


def choose_fillers(
  scores: np.ndarray, chance: np.ndarray, targets: np.ndarray, count: int, decay: float
) -> tuple[np.ndarray, np.ndarray]:
  """The fillers of one fake user.

  Args:
    scores: predicted ratings in 0..1 `[M]`.
    chance: selection probability of each item `[M]`, by which ratings are multiplied.
    targets: never chosen.
    count: number of fillers.
    decay: what the probability of a chosen item is multiplied by.

  Returns:
    Items `[count]`, best first, and the next probabilities: all 1 once every item but the targets has been chosen.

  >>> choose_fillers(np.array([0.9, 0.8, 0.7]), np.array([0.5, 1.0, 1.0]), np.array([2]), 1, 0.9)
  (array([1]), array([1., 1., 1.]))
  """
  weighed = scores * chance
  weighed[targets] = -1.0
  chosen = np.argsort(-weighed, kind="stable")[:count]
  chance = chance.copy()
  chance[chosen] *= decay
  if np.all(np.delete(chance, targets) < 1):
    chance = np.ones_like(chance)
  return chosen, chance


def _cross_entropy(
  model: Model, users: Array, public: Public, lists: PublicLists, filled: Filled, key: Array
) -> Array:
  """Mean over a batch of real pairs plus mean over all pairs of fake profiles, with negatives drawn from all items."""
  for_pairs, for_real, for_fakes = jax.random.split(key, 3)
  table, shared = public
  score = jax.vmap(model.score_row, in_axes=(0, 0, None))

  def total(user: Array, item: Array, used: Array, key: Array) -> Array:
    negatives = jax.random.randint(key, (*item.shape, _NEGATIVES), 0, table.shape[0], jnp.int32)
    missed = jax.nn.softplus(-score(users[user], table[item], shared))
    owner = jnp.repeat(user, _NEGATIVES)
    mistaken = jax.nn.softplus(score(users[owner], table[negatives.reshape(-1)], shared)).reshape(negatives.shape)
    return jnp.sum(jnp.where(used, missed + jnp.sum(mistaken, axis=-1), 0.0))

  pair = jax.random.randint(for_pairs, (_PAIRS_AT_A_TIME,), 0, lists.item.shape[0], jnp.int32)
  everyone = jnp.ones(pair.shape, bool)
  loss = total(lists.user[pair], lists.item[pair], everyone, for_real) / _PAIRS_AT_A_TIME
  fakes, longest = filled.items.shape
  used = (jnp.arange(longest, dtype=jnp.int32) < filled.used[:, None]).reshape(-1)
  owner = lists.start.shape[0] + jnp.repeat(jnp.arange(fakes, dtype=jnp.int32), longest)
  return loss + total(owner, filled.items.reshape(-1), used, for_fakes) / jnp.maximum(jnp.sum(used, dtype=jnp.int32), 1)


def mean_penalty(
  model: Model, users: Array, public: Public, lists: PublicLists, some: Array, targets: Array,
  margin: Array | float, list_length: int,
) -> Array:
  """Mean over some users of :func:`exposure_penalty`, added up over the targets that they have not interacted with.

  Args:
    model: the attacker's.
    users: all vectors.
    public: item vectors and network.
    lists: what users have interacted with, which is not recommended to them.
    some: the users, int32 `[B]`.
    targets: int32 `[T]`.
    margin: by which targets are to be ahead.
    list_length: K.
  """
  table, shared = public
  held = members(lists, some)
  item = jnp.where(held.valid, lists.item.at[held.entry].get(mode="clip"), table.shape[0])
  # Who is in the lists is a constant; all scores would be costly to differentiate.
  fixed, fixed_public = lax.stop_gradient((users[some], public))
  scores = jax.vmap(lambda user: model.score(fixed_public, user, None))(fixed)
  scores = scores.at[held.member, item].set(-jnp.inf, mode="drop")
  listed, worst = (part[:, -1] for part in lax.top_k(scores, list_length))
  lacks = (scores[:, targets] > -jnp.inf) & (listed > -jnp.inf)[:, None]

  def behind(user: Array, worst: Array, lacks: Array) -> Array:
    reference = model.score_row(user, table[worst], shared)
    aimed = jax.vmap(model.score_row, in_axes=(None, 0, None))(user, table[targets], shared)
    return jnp.sum(jnp.where(lacks, exposure_penalty(reference, aimed, margin), 0.0))

  return jnp.mean(jax.vmap(behind)(users[some], worst, lacks))


def _train(
  model: Model, network: Network, lists: PublicLists, filled: Filled, targets: Array, key: Array,
  weight: Array | float, margin: Array | float, *, steps: int, list_length: int, poisoned: bool,
) -> Network:
  """Some steps of Adam on the cross-entropy, with the penalty if `poisoned`."""

  def step(number: Array, network: Network) -> Network:
    def loss(parameters: tuple[Array, Public]) -> Array:
      for_pairs, for_users = jax.random.split(jax.random.fold_in(key, number))
      honest = _cross_entropy(model, *parameters, lists, filled, for_pairs)
      if not poisoned:
        return honest
      some = jax.random.randint(for_users, (_USERS_AT_A_TIME,), 0, lists.start.shape[0], jnp.int32)
      return honest + weight * mean_penalty(model, *parameters, lists, some, targets, margin, list_length)

    parameters = (network.users, network.public)
    slope = jax.grad(loss)(parameters)
    direction, optimizer = in_32_bits(optax.adam(_LEARNING_RATE)).update(slope, network.optimizer)
    users, public = jax.tree.map(jnp.add, parameters, direction)
    return Network(users, public, optimizer)

  return lax.fori_loop(0, steps, step, network)


_jitted_train = jax.jit(_train, static_argnames=("list_length", "poisoned"))


@jax.jit
def _predicted(model: Model, network: Network, fakes: Array) -> Array:
  """Ratings in 0..1 of all items for some users `[G, M]`."""
  return jax.nn.sigmoid(jax.vmap(lambda user: model.score(network.public, user, None))(network.users[fakes]))


@ATTACKS.register
@traced
def dl_poison(
  *,
  max_rows: int = 60,
  weight: float = 1.0,
  margin: float = 1.0,
  decay: float = 0.95,
  list_length: int = 10,
  dim: int = 8,
  first_steps: int = 600,
  steps: int = 10,
  group: int = 1,
) -> Attack:
  """Fake users one by one, with the fillers that a network trained for the targets' exposure predicts for them (P2).

  The attacker trains a network on what it knows, then for each fake user goes on training it with the users before,
  the new one (who has the targets alone so far), and a penalty on users whose list the targets are not in. The items
  that it then predicts to be rated best by the fake user are its fillers; items chosen before count for less.

  A light stand-in for the published attack: implicit feedback; a small network of generalised matrix factorisation
  and two hidden layers; few steps of Adam on batches for each fake user, the fake profiles in every batch, the
  penalty a mean over users drawn, not a sum over all. Numbers without a source are ours.

  Args:
    max_rows: item rows that a malicious client may upload (kappa, FedRecAttack VI-A); profiles hold half as many.
    weight: of the penalty, lambda.
    margin: by how much log-probabilities of targets are to be ahead of the list's worst item, kappa there.
    decay: of the selection probability of an item that has been chosen, delta.
    list_length: of the recommendation lists in the penalty, K.
    dim: of the network's vectors.
    first_steps: of Adam before the first fake user, without penalty.
    steps: of Adam for each fake user or group.
    group: fake users made at a time; 1 is the paper's.

  Returns:
    A data-poisoning attack that knows all training interactions.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Huang et al., "Data Poisoning Attacks to Deep Learning Based Recommender Systems", NDSS 2021; P2 in Table VI of
    FedRecAttack.
  """
  for field, value in (("max_rows", max_rows), ("list_length", list_length), ("dim", dim),
                       ("first_steps", first_steps), ("steps", steps), ("group", group)):
    check(value > 0, f"dl_poison.{field} must be positive, got {value}")
  check(weight >= 0, f"dl_poison.weight must not be negative, got {weight}")
  check(margin >= 0, f"dl_poison.margin must not be negative, got {margin}")
  check((decay > 0) & (decay <= 1), f"dl_poison.decay must lie in (0, 1], got {decay}")

  def profiles(rng: np.random.Generator, context: AttackContext) -> list[np.ndarray]:
    num_items, num_fakes, targets = context.num_items, context.num_malicious, context.targets
    count = filler_count("dl_poison", max_rows, context)
    lists = public_lists(context.interactions, _USERS_AT_A_TIME)
    num_users = lists.start.shape[0]
    model = ncf(dim=dim, hidden=(dim, dim), gmf=True)
    for_items, for_users, for_training = jax.random.split(jax.random.key(int(rng.integers(2**31))), 3)
    public = model.init_public(for_items, num_items)
    users = jax.vmap(model.init_private)(jax.random.split(for_users, num_users + num_fakes))
    network = Network(users, public, optax.adam(_LEARNING_RATE).init((users, public)))
    items = np.zeros((num_fakes, len(targets) + count), np.int32)
    items[:, : len(targets)] = targets
    used = np.zeros(num_fakes, np.int32)
    chance = np.ones(num_items)

    def train(network: Network, number: int, steps: int) -> Network:
      return _jitted_train(
        model, network, lists, Filled(jnp.asarray(items), jnp.asarray(used)), jnp.asarray(targets, jnp.int32),
        jax.random.fold_in(for_training, number), jnp.float32(weight), jnp.float32(margin), steps=jnp.int32(steps),
        list_length=min(list_length, num_items), poisoned=number > 0,
      )

    network = train(network, 0, first_steps)
    for first in range(0, num_fakes, group):
      made = np.arange(first, min(first + group, num_fakes))
      used[made] = len(targets)
      network = train(network, 1 + first, steps)
      predicted = np.asarray(_predicted(model, network, jnp.asarray(num_users + made, jnp.int32)), np.float64)
      for fake, scores in zip(made, predicted, strict=True):
        items[fake, len(targets) :], chance = choose_fillers(scores, chance, targets, count, decay)
        used[fake] = items.shape[1]
    return list(items)

  return Attack(profiles=profiles, requires=frozenset({"interactions"}))
