"""A whole run from a key: plans it on the host, trains chunk by chunk, returns metrics as arrays."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.client_transforms import clip_and_noise
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, RunConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.defenses import chain
from fedrecjax.defenses import none as no_defense
from fedrecjax.evaluation import evaluation_data, jitted_evaluation, metric_names
from fedrecjax.hyperparameters import as_argument
from fedrecjax.losses import LOSSES
from fedrecjax.participation import Rounds, draw_rounds, sample_capacity
from fedrecjax.population import Population, make_population, training_lists
from fedrecjax.sampling import complement_of, draw_negatives
from fedrecjax.simulation import (
  Keys,
  Numbers,
  Parts,
  RoundInput,
  RunData,
  Structure,
  TrainingData,
  jitted_rounds,
  split_key,
)
from fedrecjax.types import (
  Attack,
  AttackContext,
  Defense,
  DefenseContext,
  Model,
  ServerState,
  SimulationState,
)

GRANTS = frozenset({"popularity", "benign_uploads"})
POINTS_TOGETHER = 10
PROGRAMS: dict[Any, Any] = {}
jitted_draw = jax.jit(draw_negatives, static_argnames=("count", "num_items"))


class DivergedError(RuntimeError):
  """Training produced a number that is not finite; the message says in which epoch."""


class Result(NamedTuple):
  """What a run returns.

  Attributes:
    metrics: one array over evaluation points per column: "epoch", "round", "hr@10" and so on, "train_loss",
      "wall_s" (seconds since the start of training, without compilation).
    per_user: one array over benign users per metric, at the last point; NaN where a metric has no value.
    users: the benign users' ids in the data set `[N]`.
    targets: item ids `[T]`.
    state: the state after the last round.
    compile_s: seconds spent compiling for this run.
  """

  metrics: dict[str, np.ndarray]
  per_user: dict[str, np.ndarray]
  users: np.ndarray
  targets: np.ndarray
  state: SimulationState
  compile_s: float


class Run(NamedTuple):
  """A planned run: everything that training and evaluation are called with.

  Attributes:
    structure: static.
    parts: functions of the methods.
    data: on the device.
    numbers: step sizes.
    keys: of all purposes.
    state: before the first round.
    rounds: who takes part when.
    population: who is who.
    evaluation: what to measure; static.
  """

  structure: Structure
  parts: Parts
  data: RunData
  numbers: Numbers
  keys: Keys
  state: SimulationState
  rounds: Rounds
  population: Population
  evaluation: EvalConfig


@jax.jit
def jitted_private(init_private: Callable[[jax.Array], jax.Array], key: jax.Array, clients: jax.Array) -> jax.Array:
  """Private vectors of the given clients `[clients, d]`, each from a key of its own."""
  return jax.vmap(lambda client: init_private(jax.random.fold_in(key, client)))(clients)


def _training_data(lists: ItemLists, num_items: int, train: TrainConfig, key: jax.Array) -> TrainingData:
  users = np.repeat(np.arange(len(lists)), lists.lengths)
  complement = complement_of(lists)
  positive = jnp.asarray(lists.items, jnp.int32)
  negatives = uploaded = None
  if train.negatives == "once":
    offset = np.arange(len(users)) - lists.indptr[users]
    negatives = jitted_draw(key, complement, jnp.asarray(users, jnp.int32), jnp.asarray(offset, jnp.int32),
                     count=train.num_negatives, num_items=num_items)
    if train.duplicates == "first":
      items = np.concatenate([lists.items[:, None], np.asarray(negatives)], axis=1)
      pairs = (np.repeat(users, items.shape[1]).astype(np.int64) * num_items + items.reshape(-1))
      first = np.zeros(pairs.size, bool)
      first[np.unique(pairs, return_index=True)[1]] = True
      uploaded = jnp.asarray(np.where(first.reshape(items.shape), items, num_items), jnp.int32)
  start, length = (jnp.asarray(array, jnp.int32) for array in (lists.indptr[:-1], lists.lengths))
  return TrainingData(start, length, positive, negatives, uploaded,
                      complement if train.negatives == "every_round" else None)


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
) -> Run:
  """Plans a run; arguments as in :func:`simulate`.

  Raises:
    ConfigError: if a number does not fit the data set.
    DataError: if the data set cannot be evaluated as asked.
  """
  unknown = attack.requires - GRANTS
  if unknown:
    raise ConfigError(
      f"the attack requires {', '.join(sorted(unknown))}; it can be granted {', '.join(sorted(GRANTS))}"
    )
  if attack.poison is None and attack.profiles is None:
    attacker = attacker_without_clients(attacker)
  keys = split_key(jax.random.key(seed))
  population = make_population(dataset, attacker, seed)
  rounds = draw_rounds(
    seed, num_clients=population.num_clients, num_benign=population.num_benign,
    clients_per_round=train.clients_per_round, epochs=train.epochs, participation=train.participation,
  )
  public = model.init_public(keys.public, dataset.num_items)
  private = jitted_private(as_argument(model.init_private), keys.private, jnp.arange(population.num_clients))
  dim = public.items.shape[1]
  context = AttackContext(
    num_items=dataset.num_items,
    num_malicious=population.num_malicious,
    targets=population.targets,
    dim=dim,
    rounds=rounds.malicious,
    popularity=dataset.popularity if "popularity" in attack.requires else None,
  )
  attacking = population.num_malicious > 0
  profiles = None
  poison, attack_state = None, ()
  if attacking:
    if attack.profiles is not None:
      profiles = attack.profiles(np.random.default_rng([seed, 1]), context)
    if attack.poison is not None:
      poison, attack_state = attack.poison, attack.init(keys.attack, context)
  lists = training_lists(dataset, population, profiles)
  if defense.aggregate is None:
    defense = chain(defense, no_defense())
  transforms = [] if train.row_clip is None else [
    clip_and_noise(max_norm=train.row_clip, noise=train.upload_noise).client_transform
  ]
  if defense.client_transform is not None:
    transforms.append(defense.client_transform)
  loss = LOSSES[train.loss]()
  structure = Structure(
    num_items=dataset.num_items,
    num_benign=population.num_benign,
    num_clients=population.num_clients,
    capacity=sample_capacity(rounds, lists.lengths),
    num_negatives=train.num_negatives,
    mean=train.reduction == "mean",
    unique_rows=defense.unique_rows,
    malicious_data=profiles is not None,
    omniscient="benign_uploads" in attack.requires,
  )
  parts = Parts(
    model=_functions(model),
    loss=_functions(loss),
    poison=as_argument(poison),
    client_transforms=tuple(as_argument(transform) for transform in transforms),
    filter=as_argument(defense.filter),
    aggregate=as_argument(defense.aggregate),
  )
  defense_state = defense.init(keys.defense, DefenseContext(dataset.num_items, dim, rounds.clients.shape[1]))
  data = RunData(
    training=_training_data(lists, dataset.num_items, train, keys.negatives),
    evaluation=evaluation_data(dataset, evaluation, population.targets, population.users),
  )
  client_rate = train.learning_rate if train.client_learning_rate is None else train.client_learning_rate
  state = SimulationState(ServerState(public, defense_state), private, attack_state)
  numbers = Numbers(float(train.learning_rate), float(client_rate))
  return Run(structure, parts, data, numbers, keys, state, rounds, population, evaluation)


def _functions(method: Any) -> Any:
  """A NamedTuple of functions as an argument of a jitted function."""
  return type(method)(*(as_argument(function) for function in method))


def _points(rounds: Rounds, epochs: int, every: int) -> list[slice]:
  """The rounds before each evaluation point; the last epoch is always one."""
  ends = [*range(every, epochs, every), epochs]
  return [slice(start * rounds.per_epoch, end * rounds.per_epoch) for start, end in itertools.pairwise([0, *ends])]


def round_inputs(rounds: Rounds, taken: slice) -> RoundInput:
  """The given rounds as an argument of :func:`fedrecjax.simulation.train_rounds`."""
  numbers = np.arange(taken.start, taken.stop, dtype=np.int32)
  arrays = (numbers, rounds.clients[taken], rounds.malicious[taken], rounds.slot[taken])
  return RoundInput(*(jnp.asarray(array) for array in arrays))


def execute(
  run: Run, *, epochs: int, every: int, progress: Callable[[int], None] | None = None
) -> Result:
  """Executes a planned run; its initial state is used up.

  Results stay on the device until ten evaluation points, or the last, have been asked for.

  Args:
    run: from :func:`plan`.
    epochs: as planned.
    every: epochs between evaluation points.
    progress: called with the number of epochs done, about every ten points.

  Raises:
    DivergedError: if the loss is no longer finite.
  """
  names = [*metric_names(run.evaluation), "train_loss"]
  points = _points(run.rounds, epochs, every)
  ends = np.array([taken.stop for taken in points])
  state = run.state
  rows: list[np.ndarray] = []
  walls: list[float] = []
  waiting: list[tuple[jax.Array, jax.Array]] = []
  trained_s, compile_s = 0.0, 0.0
  per_user = None
  for taken in points:
    started = time.perf_counter()
    arguments = (run.structure, run.parts, run.data, run.numbers, run.keys, state, round_inputs(run.rounds, taken))
    train, spent = _program(jitted_rounds, *arguments)
    state, loss = train(*arguments[1:])
    key = jax.random.fold_in(run.keys.evaluation, taken.stop - 1)
    benign = state.private[: run.structure.num_benign]
    shown = (run.parts.model, state.server.public, benign, run.data.evaluation, key)
    measure, more = _program(jitted_evaluation, *shown, config=run.evaluation, num_users=run.structure.num_benign)
    means, per_user = measure(*shown)
    waiting.append((means, loss))
    if len(waiting) == POINTS_TOGETHER or taken is points[-1]:
      rows += [np.append(np.asarray(means), np.asarray(loss)) for means, loss in waiting]
    compile_s += spent + more
    trained_s += time.perf_counter() - started - spent - more
    if len(rows) > len(walls):
      before = walls[-1] if walls else 0.0
      walls += [before + (trained_s - before) * (place + 1) / len(waiting) for place in range(len(waiting))]
      waiting = []
      _check_finite(np.array(rows)[:, -1], ends[: len(rows)] // run.rounds.per_epoch)
      if progress is not None:
        progress(int(taken.stop // run.rounds.per_epoch))
  table = np.array(rows)
  columns = {"epoch": ends // run.rounds.per_epoch, "round": ends}
  columns |= {name: table[:, number] for number, name in enumerate(names)}
  columns["wall_s"] = np.array(walls)
  values = np.asarray(per_user)
  return Result(
    metrics=columns,
    per_user={name: values[:, number] for number, name in enumerate(names[:-1])},
    users=run.population.users,
    targets=run.population.targets,
    state=state,
    compile_s=compile_s,
  )


def _program(function: Any, *arguments: Any, **static: Any) -> tuple[Any, float]:
  """A jitted function compiled for arguments of these shapes, once per process, and the seconds that this took.

  Calling the jitted function would do the same, but could not tell compile time from run time.
  """
  leaves, tree = jax.tree.flatten([one for one in arguments if not isinstance(one, Structure)])
  structure = [one for one in arguments if isinstance(one, Structure)]
  key = (function, *structure, tree, tuple(jax.typeof(leaf) for leaf in leaves), tuple(static.items()))
  if key in PROGRAMS:
    return PROGRAMS[key], 0.0
  started = time.perf_counter()
  PROGRAMS[key] = function.lower(*arguments, **static).compile()
  return PROGRAMS[key], time.perf_counter() - started


def _check_finite(losses: np.ndarray, epochs: np.ndarray) -> None:
  bad = ~np.isfinite(losses)
  if bad.any():
    raise DivergedError(f"training diverged: train_loss is {losses[bad][0]} at epoch {epochs[bad][0]};"
                        " a smaller train.learning_rate may help")


def simulate(
  dataset: Dataset,
  *,
  model: Model,
  attack: Attack | None = None,
  defense: Defense | None = None,
  train: TrainConfig | None = None,
  attacker: AttackerConfig | None = None,
  evaluation: EvalConfig | None = None,
  seed: int = 0,
  progress: Callable[[int], None] | None = None,
) -> Result:
  """Trains and evaluates one federated recommender under an attack and a defence.

  Args:
    dataset: training and held-out items.
    model: base recommender.
    attack: attack; none by default, and then nobody is malicious.
    defense: defence; plain sums by default.
    train: federated training.
    attacker: malicious clients and targets.
    evaluation: what to measure, and when.
    seed: of everything drawn; the same seed gives the same bits on a CPU.
    progress: called with the number of epochs done.

  Returns:
    Metrics over evaluation points, values per user at the last one, and the final state.

  Raises:
    ConfigError: if a number does not fit the data set.
    DataError: if the data set cannot be evaluated as asked.
    DivergedError: if training diverges.
  """
  train = train or TrainConfig()
  evaluation = evaluation or EvalConfig()
  attacker = attacker or AttackerConfig()
  run = plan(
    dataset, model=model, attack=attack or Attack(), defense=defense or no_defense(), train=train, attacker=attacker,
    evaluation=evaluation, seed=seed,
  )
  return execute(run, epochs=train.epochs, every=evaluation.every, progress=progress)


def attacker_without_clients(attacker: AttackerConfig) -> AttackerConfig:
  """The same targets, but nobody who promotes them."""
  return AttackerConfig(0.0, "added", attacker.targets, attacker.num_targets, attacker.target_items)


def simulate_config(
  config: RunConfig, dataset: Dataset, progress: Callable[[int], None] | None = None
) -> Result:
  """Runs a configuration on its data set; see :func:`simulate`."""
  run = plan(
    dataset, model=config.model.build(), attack=config.attack.build(),
    defense=chain(*(part.build() for part in config.defense)), train=config.train, attacker=config.attacker,
    evaluation=config.eval, seed=config.seed,
  )
  return execute(run, epochs=config.train.epochs, every=config.eval.every, progress=progress)
