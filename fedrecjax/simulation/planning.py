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
from fedrecjax.clients.transforms import clip_and_noise, privatize
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.defenses import chain
from fedrecjax.defenses import none as no_defense
from fedrecjax.defenses.chain import parts_of
from fedrecjax.federation.neighbors import draw_neighbors
from fedrecjax.federation.participation import (
  Rounds,
  malicious_capacity,
  pool_capacity,
  sample_capacity,
  tiles_needed,
)
from fedrecjax.federation.population import (
  Population,
  interacted_lists,
  training_lists,
)
from fedrecjax.methods.hyperparameters import as_argument, as_arguments, method_name
from fedrecjax.numerics.random import GENERATOR
from fedrecjax.server.step import init_optimizer
from fedrecjax.simulation.contracts import checked
from fedrecjax.simulation.evaluation import evaluation_data
from fedrecjax.simulation.image_step import ImageFunctions, ImageRun, plan_images
from fedrecjax.simulation.independent_attackers import each_alone
from fedrecjax.simulation.memory import check_memory
from fedrecjax.simulation.participants import Attackers, Participants, fitting, prepare_attackers, who_takes_part
from fedrecjax.simulation.records import Constants, Numbers, Parts, RoundInput, RunData, Structure, split_key
from fedrecjax.simulation.run_optimizers import Optimizers, check_row_steps, choose_optimizers
from fedrecjax.simulation.training_data import held_items, latest, training_data
from fedrecjax.simulation.visual_features import check_images, model_with_features
from fedrecjax.types import Attack, Defense, DefenseContext, Model, Public, ServerState, SimulationState
from fedrecjax.vision.visuals import Visuals

GRANTS = frozenset(
  {"popularity", "interactions", "public_interactions", "benign_uploads", "own_data", "image_defense"}
)


class Run(NamedTuple):
  """A planned run: everything that training and evaluation are called with.

  Attributes:
    structure: static.
    constants: functions of the methods, data, step sizes and keys.
    state: before the first round.
    rounds: who takes part when.
    population: who is who.
    evaluation: what to measure; static.
    judges: names of the defence's stages that may reject or rescale uploads: its filters, then its rule.
    attack: name of the attack, for messages; None if it has none.
    defense: likewise.
    attacker: malicious clients as asked for; None if no attack uploads as a client does.
    images: the steps in which images are uploaded; None if no attack changes images.
    dataset: the data that were planned for.
    notes: lines on the data, and on what the attack was given, that the user should know.
  """

  structure: Structure
  constants: Constants
  state: SimulationState
  rounds: Rounds
  population: Population
  evaluation: EvalConfig
  judges: tuple[str, ...]
  attack: str | None
  defense: str | None
  attacker: AttackerConfig | None
  images: ImageRun | None
  dataset: Dataset
  notes: tuple[str, ...] = ()


@jax.jit
def jitted_private(init_private: Callable[[jax.Array], jax.Array], key: jax.Array, clients: jax.Array) -> jax.Array:
  """Private vectors of the given clients `[clients, d]`, each from a key of its own."""
  init_private = checked("model", "init_private", init_private)
  return jax.vmap(lambda client: init_private(jax.random.fold_in(key, client)))(clients)


def client_rates(train: TrainConfig, num_clients: int, seed: int) -> jax.Array:
  """Step size of the clients, float32: one for all, or each client's own, `[clients]`."""
  lowest = train.learning_rate if train.client_learning_rate is None else train.client_learning_rate
  if train.client_learning_rates == "fixed":
    return jnp.float32(lowest)
  share = np.random.default_rng([seed, 2]).random(num_clients)
  if train.client_learning_rates == "uniform":
    return jnp.asarray(lowest + share * (train.learning_rate - lowest), jnp.float32)
  return jnp.asarray(lowest * (train.learning_rate / lowest) ** share, jnp.float32)


def _check_grants(model: Model, attack: Attack, defense: Defense, train: TrainConfig) -> None:
  if "fixed_negatives" in defense.requires and train.negatives != "once":
    raise ConfigError("train.negatives must be once for this defense, which compares a client's rows from one round to"
                      f" the next, got {train.negatives!r}")
  terms = [] if defense.client_term is None else [name for name, _ in parts_of(defense.client_term)]
  if terms and train.local_steps > 1:
    raise ConfigError(f"train.local_steps must be 1 for {terms[0]}, which has a loss term of its own at the clients,"
                      f" got {train.local_steps}")
  if terms and model.encode is not None:
    instead = "; union.contrastive=false is its filter alone" if terms[0] == "union" else ""
    raise ConfigError(f"{terms[0]} has a loss term at the clients over single samples, which a model of histories,"
                      f" {method_name(model)}, does not have{instead}")
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

  One descent: who takes part, what malicious clients bring, what everybody trains on, sizes, and the state before the
  first round.

  Raises:
    ConfigError: if a number does not fit the data set.
    DataError: if the data set cannot be evaluated as asked.
    ContractError: if a part hands back something else than agreed.
  """
  _check_grants(model, attack, defense, train)
  optimizers = choose_optimizers(train, server_optimizer, client_optimizer)
  check_images(dataset, model, attack, defense, visuals)
  names, uploads = (method_name(attack), method_name(defense)), _uploads_as_clients(attack)
  check_memory(dataset, model, train)
  attack = attack if attacker.colluding else each_alone(attack)
  keys = split_key(jax.random.key(seed, impl=GENERATOR))
  who = who_takes_part(dataset, attack, attacker, train, seed, visuals)
  if uploads and who.population.num_malicious == 0 and attacker.malicious_ratio > 0:
    raise ConfigError(f"attacker.malicious_ratio={attacker.malicious_ratio:g} of the {dataset.num_users} users of"
                      f" {dataset.name} is not one malicious client for {names[0] or 'the attack'}; 0 asks for none")
  population, rounds = who.population, who.rounds
  model, features = model_with_features(model, dataset, visuals, as_argument(defense.images))
  public = checked("model", "init_public", model.init_public)(keys.public, dataset.num_items)
  check_row_steps(defense, server_optimizer, public)
  private = jitted_private(
    as_argument(model.init_private), keys.private, jnp.arange(population.num_clients, dtype=jnp.int32)
  )
  attackers = prepare_attackers(dataset, attack, who, dim=public.items.shape[1], key=keys.attack, seed=seed)
  defense = _complete(defense, train)
  samples = what_they_train_on(dataset, model, train, who, attackers, key=keys.negatives, seed=seed)
  structure = sizes(
    dataset, model, attack, defense, train, who, attackers, samples, optimizers, shared=public.shared
  )
  data = RunData(
    training=samples.data,
    evaluation=evaluation_data(
      dataset, evaluation, population.targets, population.users, history=model.history,
      width=model.width, evaluated=population.evaluated(evaluation.left_out),
    ),
  )
  numbers = Numbers(
    jnp.float32(train.learning_rate), client_rates(train, population.num_clients, seed), jnp.float32(train.l2),
    jnp.float32(train.dropout), np.int32(model.neighbors_from * rounds.per_epoch),
  )
  server = ServerState(
    public, _init_defense(dataset, defense, who, samples, public, keys.defense),
    init_optimizer(optimizers.server_optimizer, public), features,
  )
  of_clients = init_client_optimizer(optimizers.client_optimizer, private, table=optimizers.client_table)
  images = _image_run(attack, defense, who, visuals, keys.images)
  return Run(
    structure,
    Constants(_functions(model, attackers, defense, train), data, numbers, keys),
    SimulationState(server, private, attackers.state, of_clients),
    rounds,
    population,
    evaluation,
    _judges(defense),
    *names,
    attacker if uploads else None,
    images,
    dataset,
    (*(() if dataset.reading is None else dataset.reading.warnings), *attackers.notes, *_unmet(evaluation, images)),
  )


class TrainedOn(NamedTuple):
  """What the clients of a run train on.

  Attributes:
    lists: items of each client that its model looks at.
    data: the same on the device, with negatives.
  """

  lists: ItemLists
  data: TrainingData


def what_they_train_on(
  dataset: Dataset, model: Model, train: TrainConfig, who: Participants, attackers: Attackers, *, key: jax.Array,
  seed: int,
) -> TrainedOn:
  """Lays out the training items of benign and malicious clients."""
  lists = training_lists(dataset, who.population, attackers.profiles)
  avoided = lists
  if train.negatives_outside == "interacted":
    avoided = interacted_lists(dataset, who.population, lists)
  data = training_data(lists, avoided, dataset.num_items, train, key, history=model.history)
  if model.neighbors > 0:
    neighbors = draw_neighbors(lists, model.neighbors, dataset.num_items, seed)
    data = data._replace(neighbors=jnp.asarray(neighbors, jnp.int32))
  return TrainedOn(latest(lists, model.history + 1) if model.history else lists, data)


def sizes(
  dataset: Dataset, model: Model, attack: Attack, defense: Defense, train: TrainConfig, who: Participants,
  attackers: Attackers, samples: TrainedOn, optimizers: Optimizers, *, shared: Any,
) -> Structure:
  """Every capacity and every switch of the compiled program, from the rounds that will be run."""
  population, rounds, lengths = who.population, who.rounds, samples.lists.lengths
  malicious_data = attackers.profiles is not None and attackers.poison is not None
  own_shared = bool(jax.tree.leaves(shared)) and (
    not defense.adds_shared or train.local_steps > 1 or malicious_data
  )
  tiles = tiles_needed(lengths)
  own_rows = 0
  if malicious_data:
    own_rows = malicious_capacity(rounds, lengths[population.num_benign :]) * (1 + train.num_negatives)
  return Structure(
    num_items=dataset.num_items,
    num_benign=population.num_benign,
    num_clients=population.num_clients,
    capacity=sample_capacity(rounds, lengths),
    num_negatives=train.num_negatives,
    mean=train.reduction == "mean",
    unique_rows=defense.unique_rows,
    own_rows=own_rows,
    omniscient="benign_uploads" in attack.requires,
    num_tiles=sample_capacity(rounds, tiles) if own_shared or train.pseudo_items > 0 else 0,
    own_shared=own_shared,
    pseudo_items=train.pseudo_items,
    history=model.history,
    local_steps=train.local_steps,
    l2_rows=train.l2_rows if train.l2 > 0 else "none",
    l2_benign=train.l2_clients == "benign",
    dropout=train.dropout > 0,
    pool_capacity=pool_capacity(rounds, lengths[population.num_benign :]),
    pool_tiles=pool_capacity(rounds, tiles[population.num_benign :]) if own_shared else 0,
    **optimizers._asdict(),
  )


def _functions(model: Model, attackers: Attackers, defense: Defense, train: TrainConfig) -> Parts:
  """The functions of a run's methods as arguments of its program."""
  return Parts(
    model=as_arguments(model),
    loss=as_arguments(LOSSES[train.loss]()),
    poison=as_argument(attackers.poison),
    samples=as_argument(attackers.samples),
    tells=as_argument(attackers.tells),
    client_term=as_argument(defense.client_term),
    client_transform=as_argument(defense.client_transform),
    filter=as_argument(defense.filter),
    aggregate=as_argument(defense.aggregate),
  )


def _init_defense(
  dataset: Dataset, defense: Defense, who: Participants, samples: TrainedOn, public: Public, key: jax.Array
) -> Any:
  indptr = held = None
  if "fixed_negatives" in defense.requires:
    indptr, held = held_items(samples.lists, samples.data, dataset.num_items)
  clients = who.rounds.clients
  with fitting("the defense", dataset.name):
    return checked("defense", "init", defense.init)(key, DefenseContext(
      dataset.num_items, public.items.shape[1], clients.shape[1], who.population.num_clients, clients, indptr, held,
      shared=jax.eval_shape(lambda: public.shared),
    ))


def _uploads_as_clients(attack: Attack) -> bool:
  return any(stage is not None for stage in (attack.poison, attack.samples, attack.profiles))


def _judges(defense: Defense) -> tuple[str, ...]:
  """Names of the filters, then of the rule, which may be part of the same defence as one of them."""
  filters = [] if defense.filter is None else [name for name, _ in parts_of(defense.filter)]
  rule = parts_of(defense.aggregate)[0][0]
  return (*filters, f"{rule}.rule" if rule in filters else rule)


def _image_run(
  attack: Attack, defense: Defense, who: Participants, visuals: Visuals | None, key: jax.Array
) -> ImageRun | None:
  """The steps in which images are uploaded, if there are any."""
  start, stop = who.image_epochs
  if attack.images is None or start >= stop:
    return None
  assert visuals is not None
  with fitting("the defense", visuals.images.name):
    return plan_images(
      visuals, ImageFunctions(as_argument(attack.images), as_argument(defense.images)),
      threshold=defense.threshold, targets=who.population.targets, users=who.invented, refuses=defense.refuses,
      adaptive="image_defense" in attack.requires, epochs=(start, stop), key=key,
    )


def _unmet(evaluation: EvalConfig, images: ImageRun | None) -> tuple[str, ...]:
  """A line for what is asked of the evaluation and will never happen."""
  if evaluation.after_uploads and images is None:
    return ("eval.after_uploads measures nothing: nobody uploads images",)
  return ()


def _complete(defense: Defense, train: TrainConfig) -> Defense:
  """A defence with a rule, after what every client does to its uploads."""
  if defense.aggregate is None:
    defense = chain(defense, no_defense())
  if train.row_clip is not None:
    defense = chain(clip_and_noise(max_norm=train.row_clip, noise=train.upload_noise), defense)
  if train.privacy_clip is not None:
    defense = chain(privatize(clip=train.privacy_clip, noise=train.privacy_noise), defense)
  return defense


def round_inputs(rounds: Rounds, taken: slice) -> RoundInput:
  """The given rounds as an argument of :func:`fedrecjax.simulation.round.train_rounds`."""
  numbers = np.arange(taken.start, taken.stop, dtype=np.int32)
  arrays = (numbers, rounds.clients[taken], rounds.malicious[taken], rounds.slot[taken])
  inputs = RoundInput(*(jnp.asarray(array) for array in arrays))
  return inputs if rounds.pool is None else inputs._replace(pool=jnp.asarray(rounds.pool[taken]))
