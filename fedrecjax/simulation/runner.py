"""A whole run from data to arrays: executes a plan and returns metrics over evaluation points."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import optax

from fedrecjax.config import AttackerConfig, EvalConfig, RunConfig, TrainConfig
from fedrecjax.datasets import Dataset
from fedrecjax.defenses import chain
from fedrecjax.defenses import none as no_defense
from fedrecjax.federation.participation import Rounds
from fedrecjax.metrics.stealth import COUNTS, stealth_columns
from fedrecjax.simulation.arguments import check_arguments, checked_seed
from fedrecjax.simulation.contracts import method_name
from fedrecjax.simulation.debugging import debug_rounds
from fedrecjax.simulation.divergence import description
from fedrecjax.simulation.evaluation import metric_names
from fedrecjax.simulation.evaluation_points import AfterUploads, compiled_measure
from fedrecjax.simulation.faults import Stage
from fedrecjax.simulation.image_provider import Provider
from fedrecjax.simulation.image_step import IMPOSSIBLE, ImageState
from fedrecjax.simulation.measurements import Measurements
from fedrecjax.simulation.planning import Run, plan, round_inputs
from fedrecjax.simulation.programs import compiled_program
from fedrecjax.simulation.records import Reports
from fedrecjax.simulation.round import jitted_rounds
from fedrecjax.simulation.run_warnings import warnings_of
from fedrecjax.types import Attack, Defense, Model, SimulationState
from fedrecjax.vision.visuals import Visuals


class Result(NamedTuple):
  """What a run returns.

  Attributes:
    metrics: one array over evaluation points per column: "epoch", "round", "hr@10" and so on, "train_loss",
      "wall_s" (seconds since the start of training, without compilation).
    per_user: one array over benign users per metric, at the last point; NaN where a metric has no value.
    users: the benign users as numbers of the data set `[N]`.
    targets: numbers of items `[T]`.
    state: the state after the last round.
    compile_s: seconds spent compiling for this run.
    detection: one array over rounds per column, see :func:`fedrecjax.metrics.detection.detection_columns`; empty for a
      defence that neither rejects nor rescales uploads. `metrics` holds the same over the rounds since the point
      before.
    stealth: the same for what malicious uploads look like, see :func:`fedrecjax.metrics.stealth.stealth_columns`; empty
      if nobody is malicious.
    images: one array over the steps in which images were uploaded, and in each over targets, see
      :func:`fedrecjax.simulation.image_step.image_columns`; empty without an attack by images.
    pictures: the targets' images after the last step; None without one.
    warnings: a line for each thing that was asked for and never happened, see
      :func:`fedrecjax.simulation.run_warnings.warnings_of`; before them what is likely not meant about the data, and
      public interactions that nobody trains on.
    user_names: what the data call their users, by number; None if by their numbers.
    item_names: the same for items.
    told: one array over rounds by name, what the attack tells of each (:class:`fedrecjax.types.Attack`), NaN where it
      took no part; None of an attack that tells nothing. `metrics` has the means over the rounds since the point
      before, under "attack_" and the name.
    after_uploads: with `eval.after_uploads` one array over uploads of images per column: "epoch" from 0 and "round",
      which the upload came before, and the metrics right after it; None without.
  """

  metrics: dict[str, np.ndarray]
  per_user: dict[str, np.ndarray]
  users: np.ndarray
  targets: np.ndarray
  state: SimulationState
  compile_s: float
  detection: dict[str, np.ndarray]
  stealth: dict[str, np.ndarray]
  images: dict[str, np.ndarray]
  pictures: ImageState | None = None
  warnings: tuple[str, ...] = ()
  user_names: np.ndarray | None = None
  item_names: np.ndarray | None = None
  told: dict[str, np.ndarray] | None = None
  after_uploads: dict[str, np.ndarray] | None = None


class DivergedError(RuntimeError):
  """A run made a number that is not finite; the message says when, and which stage made it under which attack.

  Attributes:
    result: of the evaluation points before that, maybe none; its state is the last one, which has diverged. None where
      the error was not raised by a run.
    epoch: in which the number was made, from 1.
    round: likewise.
  """

  def __init__(self, message: str, result: Result | None = None, *, epoch: int = 0, round: int = 0):
    super().__init__(message)
    self.result, self.epoch, self.round = result, epoch, round


class AttackError(RuntimeError):
  """An attack did what no attacker can do; the message says what."""


class DefenseError(RuntimeError):
  """A defence updated what does not exist; the message says what."""


def _points(rounds: Rounds, epochs: int, every: int) -> list[slice]:
  """The rounds before each evaluation point; the last epoch is always one."""
  ends = [*range(every, epochs, every), epochs]
  return [slice(start * rounds.per_epoch, end * rounds.per_epoch) for start, end in itertools.pairwise([0, *ends])]


def execute(
  run: Run, *, epochs: int, every: int, progress: Callable[[int], None] | None = None, debug: bool = False
) -> Result:
  """Executes a planned run; its initial state is used up.

  Results stay on the device until ten evaluation points, or the last, have been asked for.

  Args:
    run: from :func:`fedrecjax.simulation.planning.plan`.
    epochs: as planned.
    every: epochs between evaluation points.
    progress: called with the number of epochs done, about every ten points.
    debug: whether to train client by client without compilation, see :mod:`fedrecjax.simulation.debugging`.

  Raises:
    DivergedError: if a parameter, a loss or a metric is no longer finite; it holds the points before.
    AttackError: if the attack uploads rows for items that do not exist, or in the name of others' clients.
    DefenseError: if the defence updates rows of items that do not exist.
    DebugError: with `debug`, if a stage fails or makes a number that is not finite.
  """
  points = _points(run.rounds, epochs, every)
  state = run.state
  told = Measurements(metric_names(run.evaluation), run.judges)
  provider, after = Provider(run), AfterUploads(run)
  trained_s, compile_s = 0.0, provider.compile_s
  for taken in points:
    started = time.perf_counter()
    # Both programs are compiled before either runs: training would go on unseen while the other is compiled.
    measure, compiling = compiled_measure(run, state, taken.stop)
    state, reports, more = _train(run, provider, after, state, taken, debug=debug)
    means, per_user = measure(state)
    told.add(means, per_user, reports)
    fetched = told.fetch(everything=taken is points[-1])
    compile_s += compiling + more
    trained_s += time.perf_counter() - started - compiling - more
    if fetched:
      told.date(trained_s)
      _check_rows(run, told)
      # A model that has diverged makes impossible images of an attack that is none the worse for it.
      if told.divergence is None or told.divergence.stage is Stage.IMAGES:
        _check_pixels(run, provider)
      if told.divergence is not None:
        result = _result(run, told, provider, after, points, state, compile_s)
        number = told.divergence.round
        raise DivergedError(
          description(run, told.divergence), result, epoch=number // run.rounds.per_epoch + 1, round=number + 1
        )
      if progress is not None:
        progress(int(taken.stop // run.rounds.per_epoch))
  return _result(run, told, provider, after, points, state, compile_s)


def _result(
  run: Run, told: Measurements, provider: Provider, after: AfterUploads, points: list[slice], state: SimulationState,
  compile_s: float,
) -> Result:
  """What is known after the points fetched so far."""
  ends = np.array([taken.stop for taken in points[: told.points]], np.int64)
  return Result(
    metrics={"epoch": ends // run.rounds.per_epoch, "round": ends} | told.columns(),
    per_user=told.per_user(len(run.population.users)),
    users=run.population.users,
    targets=run.population.targets,
    state=state,
    compile_s=compile_s,
    detection=told.detection,
    stealth=stealth_columns(np.concatenate(told.stealth)) if told.stealth else {},
    images={name: column for name, column in provider.columns().items() if name != IMPOSSIBLE},
    pictures=provider.pictures,
    warnings=(*run.notes, *warnings_of(
      run.attack, run.attacker, attacking=int((run.rounds.malicious >= 0).sum()), judged=told.judged, idle=told.idle,
      rule=run.judges[-1],
    )),
    user_names=run.dataset.user_names,
    item_names=run.dataset.item_names,
    told=told.told_columns or None,
    after_uploads=after.columns() or None,
  )


def _train(
  run: Run, provider: Provider, after: AfterUploads, state: SimulationState, taken: slice, *, debug: bool
) -> tuple[SimulationState, list[Reports], float]:
  """Trains for the rounds before an evaluation point; returns what they tell, and the seconds of compilation."""
  reports, compile_s = [], 0.0
  for rounds in provider.parts(taken):
    if provider.uploads_before(rounds.start):
      state = provider.upload(state, rounds.start)
      compile_s += after.add(state, rounds.start)
    arguments = (run.structure, run.constants, state, round_inputs(run.rounds, rounds))
    if debug:
      _check_pixels(run, provider)
      state, report = debug_rounds(*arguments)
    else:
      train, compiling = compiled_program(jitted_rounds, *arguments)
      state, report = train(*arguments[1:])
      compile_s += compiling
    reports.append(report)
  return state, reports, compile_s


def _check_pixels(run: Run, provider: Provider) -> None:
  columns = provider.columns()
  bad = columns.get(IMPOSSIBLE, np.zeros(0)) > 0
  if bad.any():
    name = run.dataset.item_name(columns["item"][bad][0])
    raise AttackError(f"the image of item {name} in epoch {columns['epoch'][bad][0]} has pixel"
                      " values outside 0..255, as the attack uploaded it or as the defense made it")


def _check_rows(run: Run, told: Measurements) -> None:
  parts, num_items = run.constants.parts, run.structure.num_items
  attack, rule = method_name("attack", parts.poison), method_name("defense", parts.aggregate)
  of_attack, of_rule = told.outside
  if of_attack > 0:
    raise AttackError(f"{attack}: poison uploaded {of_attack} rows for items that do not exist; items are 0 to"
                      f" {num_items - 1}, and {num_items} where a place is unused")
  foreign = sum(float(sums[:, COUNTS.index("foreign")].sum()) for sums in told.stealth)
  if foreign > 0:
    raise AttackError(f"{attack}: poison uploaded {foreign:.0f} rows in the name of clients that are not its own; rows"
                      " must carry the view.slot of an active place")
  if of_rule > 0:
    raise DefenseError(f"{rule}: aggregate made {of_rule} rows for items that do not exist; items are 0 to"
                       f" {num_items - 1}, and {num_items} where a place is unused")


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
  debug: bool = False,
  visuals: Visuals | None = None,
  server_optimizer: optax.GradientTransformation | None = None,
  client_optimizer: optax.GradientTransformation | None = None,
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
    debug: whether to train client by client without compilation, which names the client and stage of a failure and
      takes seconds per round.
    visuals: images of the items, the network that sees them and, for defences that purify, a diffusion model; for
      models that see images. Targets are then drawn among items that have one.
    server_optimizer: any optax transformation, such as `optax.adamw(1e-2)`, instead of `train.server_optimizer`. What
      it makes of the aggregated gradient is added to the public parameters, as optax does, but times
      `train.learning_rate`: 1.0, the default, leaves optax's own step. It is structure: the same object, used again,
      does not recompile. It is also given the parameters, and `touched`, where items are uploaded, if it takes that.
    client_optimizer: the same for the clients' own vectors `[d]`, with a state for each client, instead of
      `train.client_optimizer`. What it makes is times the client's step size.

  Returns:
    Metrics over evaluation points, values per user at the last one, and the final state.

  Raises:
    ConfigError: if an argument is of another type than agreed, a number does not fit the data set, or an optimiser is
      given twice or cannot do what the defence asks of it.
    DataError: if the data set cannot be evaluated as asked.
    ContractError: if a part hands back something else than agreed, such as rows of another length.
    DivergedError: if a parameter, a loss or a metric is no longer finite; it holds the points before.
    AttackError: if the attack uploads rows for items that do not exist, or in the name of others' clients.
    DefenseError: if the defence updates rows of items that do not exist.
    DebugError: with `debug`, if a stage fails or makes a number that is not finite.
  """
  check_arguments(
    dataset=dataset, model=model, attack=attack, defense=defense, train=train, attacker=attacker, evaluation=evaluation,
    progress=progress, debug=debug, visuals=visuals,
  )
  train = train or TrainConfig()
  evaluation = evaluation or EvalConfig()
  attacker = attacker or AttackerConfig()
  run = plan(
    dataset, model=model, attack=attack or Attack(), defense=defense or no_defense(), train=train, attacker=attacker,
    evaluation=evaluation, seed=checked_seed(seed), visuals=visuals, server_optimizer=server_optimizer,
    client_optimizer=client_optimizer,
  )
  return execute(run, epochs=train.epochs, every=evaluation.every, progress=progress, debug=debug)


def simulate_config(
  config: RunConfig,
  dataset: Dataset,
  progress: Callable[[int], None] | None = None,
  *,
  debug: bool = False,
  visuals: Visuals | None = None,
) -> Result:
  """Runs a configuration on its data set; see :func:`simulate`."""
  check_arguments(config=config, dataset=dataset, progress=progress, debug=debug, visuals=visuals)
  run = plan(
    dataset, model=config.model.build(), attack=config.attack.build(),
    defense=chain(*(part.build() for part in config.defense)), train=config.train, attacker=config.attacker,
    evaluation=config.eval, seed=config.seed, visuals=visuals,
  )
  return execute(run, epochs=config.train.epochs, every=config.eval.every, progress=progress, debug=debug)
