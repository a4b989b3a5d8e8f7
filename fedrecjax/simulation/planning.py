"""A run planned on the host: who takes part when, what everybody trains on, and every capacity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedrecjax.clients.local_training import TrainingData
from fedrecjax.clients.losses import LOSSES
from fedrecjax.clients.optimizer import init_client_optimizer
from fedrecjax.clients.sampling import complement_of, draw_negatives
from fedrecjax.clients.transforms import clip_and_noise, privatize
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.defenses import chain
from fedrecjax.defenses import none as no_defense
from fedrecjax.federation.neighbors import draw_neighbors
from fedrecjax.federation.participation import (
  Rounds,
  attacking_from_to,
  draw_pool,
  draw_rounds,
  malicious_capacity,
  pool_capacity,
  sample_capacity,
  tiles_needed,
)
from fedrecjax.federation.population import (
  Population,
  interacted_lists,
  make_population,
  num_malicious,
  own_lists,
  public_part,
  training_lists,
)
from fedrecjax.methods.hyperparameters import as_argument, as_arguments
from fedrecjax.numerics.random import GENERATOR
from fedrecjax.server.step import init_optimizer
from fedrecjax.simulation.evaluation import evaluation_data
from fedrecjax.simulation.image_step import ImageFunctions, ImageRun, plan_images
from fedrecjax.simulation.independent_attackers import each_alone
from fedrecjax.simulation.records import Constants, Numbers, Parts, RoundInput, RunData, Structure, split_key
from fedrecjax.simulation.run_optimizers import check_row_steps, choose_optimizers
from fedrecjax.simulation.visual_features import check_images, check_targets, seeing
from fedrecjax.types import Attack, AttackContext, Defense, DefenseContext, Model, ServerState, SimulationState
from fedrecjax.vision.visuals import Visuals

GRANTS = frozenset(
  {"popularity", "interactions", "public_interactions", "benign_uploads", "own_data", "image_defense"}
)
jitted_draw = jax.jit(draw_negatives, static_argnames=("count", "num_items"))


class Run(NamedTuple):
  """A planned run: everything that training and evaluation are called with.

  Attributes:
    structure: static.
    constants: functions of the methods, data, step sizes and keys.
    state: before the first round.
    rounds: who takes part when.
    population: who is who.
    evaluation: what to measure; static.
    images: the steps in which images are uploaded; None if no attack changes images.
  """

  structure: Structure
  constants: Constants
  state: SimulationState
  rounds: Rounds
  population: Population
  evaluation: EvalConfig
  images: ImageRun | None = None


@jax.jit
def jitted_private(init_private: Callable[[jax.Array], jax.Array], key: jax.Array, clients: jax.Array) -> jax.Array:
  """Private vectors of the given clients `[clients, d]`, each from a key of its own."""
  return jax.vmap(lambda client: init_private(jax.random.fold_in(key, client)))(clients)


def _training_data(
  lists: ItemLists, avoided: ItemLists, num_items: int, train: TrainConfig, key: jax.Array, *, history: int = 0
) -> TrainingData:
  complement = complement_of(lists)
  for_negatives = complement if avoided is lists else complement_of(avoided)
  if history > 0:
    lists = latest(lists, history + 1)
  users = np.repeat(np.arange(len(lists)), lists.lengths)
  positive = jnp.asarray(lists.items, jnp.int32)
  negatives = uploaded = None
  if train.negatives == "once":
    offset = np.arange(len(users)) - lists.indptr[users]
    negatives = jitted_draw(key, for_negatives, jnp.asarray(users, jnp.int32), jnp.asarray(offset, jnp.int32),
                     count=train.num_negatives, num_items=num_items)
    if train.duplicates == "first":
      items = np.concatenate([lists.items[:, None], np.asarray(negatives)], axis=1)
      pairs = (np.repeat(users, items.shape[1]).astype(np.int64) * num_items + items.reshape(-1))
      first = np.zeros(pairs.size, bool)
      first[np.unique(pairs, return_index=True)[1]] = True
      uploaded = jnp.asarray(np.where(first.reshape(items.shape), items, num_items), jnp.int32)
  start, length = (jnp.asarray(array, jnp.int32) for array in (lists.indptr[:-1], lists.lengths))
  return TrainingData(start, length, positive, negatives, uploaded, complement, for_negatives)


def _held_items(lists: ItemLists, data: TrainingData, num_items: int) -> tuple[np.ndarray, np.ndarray]:
  """The different items of each client's samples, as `DefenseContext.indptr` and `held`."""
  assert data.negatives is not None
  users = np.repeat(np.arange(len(lists)), lists.lengths)
  items = np.concatenate([lists.items[:, None], np.asarray(data.negatives)], axis=1)
  pairs = np.unique(users.repeat(items.shape[1]).astype(np.int64) * num_items + items.reshape(-1))
  return np.searchsorted(pairs, np.arange(len(lists) + 1, dtype=np.int64) * num_items), pairs % num_items


def latest(lists: ItemLists, count: int) -> ItemLists:
  """The last `count` items of each list.

  >>> latest(ItemLists.from_lists([[4, 2, 7], [5]]), 2).items.tolist()
  [2, 7, 5]
  """
  kept = np.concatenate([np.arange(max(end - count, start), end) for start, end in zip(lists.indptr, lists.indptr[1:])])
  indptr = np.concatenate([[0], np.cumsum(np.minimum(lists.lengths, count))])
  return ItemLists(indptr, lists.items[kept.astype(np.int64)])


def client_rates(train: TrainConfig, num_clients: int, seed: int) -> jax.Array | float:
  """Step size of the clients: one for all, or each client's own, float32 `[clients]`."""
  lowest = train.learning_rate if train.client_learning_rate is None else train.client_learning_rate
  if train.client_learning_rates == "fixed":
    return float(lowest)
  share = np.random.default_rng([seed, 2]).random(num_clients)
  if train.client_learning_rates == "uniform":
    return jnp.asarray(lowest + share * (train.learning_rate - lowest), jnp.float32)
  return jnp.asarray(lowest * (train.learning_rate / lowest) ** share, jnp.float32)


def _check_grants(model: Model, attack: Attack, defense: Defense, train: TrainConfig) -> None:
  if "fixed_negatives" in defense.requires and train.negatives != "once":
    raise ConfigError("train.negatives must be once for this defense, which compares a client's rows from one round to"
                      f" the next, got {train.negatives!r}")
  if defense.client_term is not None and train.local_steps > 1:
    raise ConfigError("train.local_steps must be 1 for a defense with a loss term of its own at the clients, got"
                      f" {train.local_steps}")
  if defense.client_term is not None and model.encode is not None:
    raise ConfigError("this defense has a loss term at the clients over single samples, which a model of histories"
                      " does not have")
  unknown = attack.requires - GRANTS
  if unknown:
    raise ConfigError(
      f"the attack requires {', '.join(sorted(unknown))}; it can be granted {', '.join(sorted(GRANTS))}"
    )


def plan(
  dataset: Dataset,
  *,
  model: Model,
  attack: Attack,
  defense: Defense,
  train: TrainConfig,
  attacker: AttackerConfig,
  evaluation: EvalConfig,
  seed: int,
  visuals: Visuals | None = None,
  server_optimizer: optax.GradientTransformation | None = None,
  client_optimizer: optax.GradientTransformation | None = None,
) -> Run:
  """Plans a run; arguments as in :func:`fedrecjax.simulate`.

  Raises:
    ConfigError: if a number does not fit the data set.
    DataError: if the data set cannot be evaluated as asked.
  """
  _check_grants(model, attack, defense, train)
  optimizers = choose_optimizers(train, server_optimizer, client_optimizer)
  check_images(dataset, model, attack, defense, visuals)
  has_image = None if visuals is None else visuals.images.has_image
  invented = num_malicious(dataset, attacker)
  stop = train.epochs if attacker.stop_epoch is None else min(attacker.stop_epoch, train.epochs)
  of_images = (attacker.start_epoch, stop)
  if not attacker.colluding:
    attack = each_alone(attack)
  if attack.poison is None and attack.profiles is None and attack.samples is None:
    attacker = attacker.without_clients()
  keys = split_key(jax.random.key(seed, impl=GENERATOR))
  population = make_population(dataset, attacker, seed, has_image)
  if attack.images is not None:
    check_targets(population.targets, has_image)
  model, features = seeing(model, dataset, visuals, as_argument(defense.images))
  rounds = draw_rounds(
    seed, num_clients=population.num_clients, num_benign=population.num_benign,
    clients_per_round=train.clients_per_round, epochs=train.epochs, participation=train.participation,
  )
  has_data = "own_data" in attack.requires
  rounds = attacking_from_to(
    rounds, attacker.start_epoch, attacker.stop_epoch, absent=None if has_data else population.num_clients
  )
  if attack.pool > 0 and population.num_malicious > 0:
    rounds = draw_pool(rounds, seed, size=attack.pool, num_malicious=population.num_malicious)
  public = model.init_public(keys.public, dataset.num_items)
  check_row_steps(defense, server_optimizer, public)
  private = jitted_private(as_argument(model.init_private), keys.private, jnp.arange(population.num_clients))
  dim = public.items.shape[1]
  context = AttackContext(
    num_items=dataset.num_items,
    num_malicious=population.num_malicious if attack.images is None else invented,
    targets=population.targets,
    dim=dim,
    rounds=rounds.malicious,
    popularity=dataset.popularity if "popularity" in attack.requires else None,
    interactions=_granted_interactions(dataset, population, attack, attacker, seed),
    has_image=has_image,
  )
  profiles: list[np.ndarray] | None = None
  attack_state: Any = ()
  poison = attack.poison if population.num_malicious > 0 else None
  if population.num_malicious > 0 or attack.images is not None:
    try:
      if attack.profiles is not None:
        profiles = attack.profiles(np.random.default_rng([seed, 1]), context)
      elif has_data:
        profiles = own_lists(dataset, population, attacker, np.random.default_rng([seed, 1]))
        context = context._replace(own=ItemLists.from_lists(profiles))
      attack_state = attack.init(keys.attack, context)
    except ConfigError:
      raise
    except ValueError as error:
      raise ConfigError(f"the attack does not fit {dataset.name}: {error}") from error
  lists = training_lists(dataset, population, profiles)
  defense = _complete(defense, train)
  loss = LOSSES[train.loss]()
  trained_on = latest(lists, model.history + 1) if model.history else lists
  malicious_data = profiles is not None and poison is not None
  own_shared = bool(jax.tree.leaves(public.shared)) and (
    not defense.adds_shared or train.local_steps > 1 or malicious_data
  )
  tiles = tiles_needed(trained_on.lengths)
  structure = Structure(
    num_items=dataset.num_items,
    num_benign=population.num_benign,
    num_clients=population.num_clients,
    capacity=sample_capacity(rounds, trained_on.lengths),
    num_negatives=train.num_negatives,
    mean=train.reduction == "mean",
    unique_rows=defense.unique_rows,
    own_rows=malicious_capacity(rounds, trained_on.lengths[population.num_benign :]) * (1 + train.num_negatives)
    if malicious_data else 0,
    omniscient="benign_uploads" in attack.requires,
    num_tiles=sample_capacity(rounds, tiles) if own_shared or train.pseudo_items > 0 else 0,
    own_shared=own_shared,
    pseudo_items=train.pseudo_items,
    history=model.history,
    local_steps=train.local_steps,
    l2_rows=train.l2_rows if train.l2 > 0 else "none",
    l2_benign=train.l2_clients == "benign",
    dropout=train.dropout > 0,
    pool_capacity=pool_capacity(rounds, trained_on.lengths[population.num_benign :]),
    pool_tiles=pool_capacity(rounds, tiles[population.num_benign :]) if own_shared else 0,
    **optimizers._asdict(),
  )
  parts = Parts(
    model=as_arguments(model),
    loss=as_arguments(loss),
    poison=as_argument(poison),
    samples=as_argument(attack.samples if population.num_malicious > 0 else None),
    client_term=as_argument(defense.client_term),
    client_transform=as_argument(defense.client_transform),
    filter=as_argument(defense.filter),
    aggregate=as_argument(defense.aggregate),
  )
  avoided = interacted_lists(dataset, population, lists) if train.negatives_outside == "interacted" else lists
  training = _training_data(lists, avoided, dataset.num_items, train, keys.negatives, history=model.history)
  if model.neighbors > 0:
    drawn = draw_neighbors(lists, model.neighbors, dataset.num_items, seed)
    training = training._replace(neighbors=jnp.asarray(drawn))
  indptr, held = (_held_items(trained_on, training, dataset.num_items) if "fixed_negatives" in defense.requires
                  else (None, None))
  try:
    defense_state = defense.init(keys.defense, DefenseContext(
      dataset.num_items, dim, rounds.clients.shape[1], population.num_clients, rounds.clients, indptr, held,
      shared=jax.eval_shape(lambda: public.shared),
    ))
  except ValueError as error:
    raise ConfigError(f"the defense does not fit {dataset.name}: {error}") from error
  data = RunData(
    training=training,
    evaluation=evaluation_data(
      dataset, evaluation, population.targets, population.users, history=model.history,
      width=model.width, evaluated=population.evaluated(evaluation.left_out),
    ),
  )
  server = ServerState(public, defense_state, init_optimizer(optimizers.server_optimizer, public), features)
  of_clients = init_client_optimizer(optimizers.client_optimizer, private, table=optimizers.client_table)
  state = SimulationState(server, private, attack_state, of_clients)
  numbers = Numbers(
    float(train.learning_rate), client_rates(train, population.num_clients, seed), float(train.l2),
    float(train.dropout), model.neighbors_from * rounds.per_epoch,
  )
  images = None
  if attack.images is not None and of_images[0] < of_images[1]:
    assert visuals is not None
    try:
      images = plan_images(
        visuals, ImageFunctions(as_argument(attack.images), as_argument(defense.images)),
        threshold=defense.threshold, targets=population.targets, users=invented, refuses=defense.refuses,
        adaptive="image_defense" in attack.requires, epochs=of_images, key=keys.images,
      )
    except ValueError as error:
      raise ConfigError(f"the defense does not fit {visuals.images.name}: {error}") from error
  return Run(structure, Constants(parts, data, numbers, keys), state, rounds, population, evaluation, images)


def _complete(defense: Defense, train: TrainConfig) -> Defense:
  """A defence with a rule, after what every client does to its uploads."""
  if defense.aggregate is None:
    defense = chain(defense, no_defense())
  if train.row_clip is not None:
    defense = chain(clip_and_noise(max_norm=train.row_clip, noise=train.upload_noise), defense)
  if train.privacy_clip is not None:
    defense = chain(privatize(clip=train.privacy_clip, noise=train.privacy_noise), defense)
  return defense


def _granted_interactions(
  dataset: Dataset, population: Population, attack: Attack, attacker: AttackerConfig, seed: int
) -> ItemLists | None:
  """What the attack may know about who interacted with what."""
  if not attack.requires & {"interactions", "public_interactions"}:
    return None
  lists = ItemLists.from_lists([dataset.train.of(user) for user in population.users])
  if "interactions" in attack.requires:
    return lists
  return public_part(lists, attacker.public_share, np.random.default_rng([seed, 3]))


def round_inputs(rounds: Rounds, taken: slice) -> RoundInput:
  """The given rounds as an argument of :func:`fedrecjax.simulation.round.train_rounds`."""
  numbers = np.arange(taken.start, taken.stop, dtype=np.int32)
  arrays = (numbers, rounds.clients[taken], rounds.malicious[taken], rounds.slot[taken])
  inputs = RoundInput(*(jnp.asarray(array) for array in arrays))
  return inputs if rounds.pool is None else inputs._replace(pool=jnp.asarray(rounds.pool[taken]))
