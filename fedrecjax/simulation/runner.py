"""A whole run from data to arrays: executes a plan and returns metrics over evaluation points."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, RunConfig, TrainConfig
from fedrecjax.datasets import Dataset
from fedrecjax.defenses import chain
from fedrecjax.defenses import none as no_defense
from fedrecjax.metrics.stealth import stealth_columns
from fedrecjax.simulation.arguments import Listener, Listeners, check_arguments, checked_seed
from fedrecjax.simulation.checkpoints import Checkpoints, Keeper, SoFar, StoppedError
from fedrecjax.simulation.debugging import debug_rounds
from fedrecjax.simulation.divergence import description
from fedrecjax.simulation.evaluation import metric_names
from fedrecjax.simulation.evaluation_points import AfterUploads
from fedrecjax.simulation.faults import Stage
from fedrecjax.simulation.identity import identity_of
from fedrecjax.simulation.image_provider import Provider
from fedrecjax.simulation.image_step import IMPOSSIBLE
from fedrecjax.simulation.impossible import check_pixels, check_rows
from fedrecjax.simulation.measurements import Measurements
from fedrecjax.simulation.pieces import (
  compile_run,
  compiled_point,
  piece_length,
  pieces_of,
  points_of,
  round_arguments,
)
from fedrecjax.simulation.planning import Run, plan
from fedrecjax.simulation.programs import compiled_program
from fedrecjax.simulation.records import Reports
from fedrecjax.simulation.results import DivergedError, Result
from fedrecjax.simulation.round import jitted_rounds
from fedrecjax.simulation.run_warnings import warnings_of
from fedrecjax.types import Attack, Defense, Model
from fedrecjax.vision.visuals import Visuals


def execute(
  run: Run,
  *,
  epochs: int,
  every: int,
  progress: Callable[[int], None] | None = None,
  on_evaluation: Listener | None = None,
  debug: bool = False,
  keeper: Keeper | None = None,
) -> Result:
  """Executes a planned run; its initial state is used up.

  Results stay on the device until ten evaluation points, a checkpoint, or the last point have been asked for, or each
  point, if somebody listens.

  Args:
    run: from :func:`fedrecjax.simulation.planning.plan`.
    epochs: as planned.
    every: epochs between evaluation points.
    progress: called with the number of epochs done, about every ten points.
    on_evaluation: called with the metrics of each point, by name.
    debug: whether to train client by client without compilation, see :mod:`fedrecjax.simulation.debugging`.
    keeper: of checkpoints, from the newest of which the run goes on; None keeps none.

  Raises:
    DivergedError: if a parameter, a loss or a metric is no longer finite; it holds the points before.
    AttackError: if the attack uploads rows for items that do not exist, or in the name of others' clients.
    DefenseError: if the defence updates rows of items that do not exist.
    DebugError: with `debug`, if a stage fails or makes a number that is not finite.
    OtherRunError: if there are checkpoints of another run.
    StoppedError: if the keeper was asked to stop.
  """
  per_epoch, points = run.rounds.per_epoch, points_of(run.rounds, epochs, every)
  provider = Provider(run)
  told = Measurements(metric_names(run.evaluation), run.judges)
  so_far = SoFar(run.state, told, provider, AfterUploads(run), compile_s=provider.compile_s)
  if keeper is not None:
    keeper.resume(so_far, per_epoch)
    if progress is not None and so_far.rounds > 0:
      progress(so_far.rounds // per_epoch)
  told_of = Listeners(progress, on_evaluation)
  length = piece_length(run, epochs, every, None if keeper is None else keeper.every) * per_epoch
  before: Reports | None = None
  for taken in points:
    if so_far.rounds >= taken.stop:
      continue
    with so_far.training():
      # Programs are compiled before any runs: training would go on unseen while another is compiled.
      measure, compiling = compiled_point(run, so_far.state, taken)
      so_far.compile_s += compiling
    for rounds in pieces_of(taken, so_far.rounds, length):
      with so_far.training():
        _train(run, so_far, rounds, debug=debug)
        if keeper is not None:
          # At most two pieces are under way: a run that is asked to stop would have to wait for more.
          jax.block_until_ready(before)
          before = so_far.parts[-1]
      if rounds.stop < taken.stop:
        _pause(run, so_far, points, keeper, told_of)
    with so_far.training():
      means, per_user = measure(so_far.state)
      so_far.told.add(means, per_user, so_far.parts)
      so_far.parts = []
    _pause(run, so_far, points, keeper, told_of)
  return _result(run, so_far, points)


def _pause(run: Run, so_far: SoFar, points: list[slice], keeper: Keeper | None, told_of: Listeners) -> None:
  """Between two pieces of training: fetches results, if it is time, and writes a checkpoint, if that is due."""
  per_epoch, ended = run.rounds.per_epoch, so_far.rounds == points[-1].stop
  stopping = keeper is not None and not ended and keeper.stopping()
  due = keeper is not None and keeper.due(so_far, per_epoch, stopping=stopping, ended=ended)
  known = so_far.told.points
  with so_far.training():
    fetched = so_far.told.fetch(everything=ended or due or told_of.on_evaluation is not None)
  if fetched:
    so_far.told.date(so_far.trained_s)
    _check(run, so_far, points)
    if told_of.progress is not None:
      told_of.progress(so_far.rounds // per_epoch)
    if told_of.on_evaluation is not None and so_far.told.points > known:
      columns = _metrics(run, so_far, points)
      for place in range(known, so_far.told.points):
        told_of.on_evaluation({name: column[place].item() for name, column in columns.items()})
  # A run that has diverged since the point before is one only at the next, and goes on until then.
  if keeper is not None and due and not any(np.asarray(part.faults).any() for part in so_far.parts):
    keeper.save(so_far, per_epoch)
  if stopping:
    raise StoppedError(f"stopped after epoch {so_far.rounds // per_epoch}")


def _check(run: Run, so_far: SoFar, points: list[slice]) -> None:
  """Raises an error if something went wrong before the last point that was fetched."""
  told = so_far.told
  check_rows(run, told)
  # A model that has diverged makes impossible images of an attack that is none the worse for it.
  if told.divergence is None or told.divergence.stage is Stage.IMAGES:
    check_pixels(run, so_far.provider)
  if told.divergence is not None:
    number = told.divergence.round
    raise DivergedError(
      description(run, told.divergence), _result(run, so_far, points), epoch=number // run.rounds.per_epoch + 1,
      round=number + 1,
    )


def _result(run: Run, so_far: SoFar, points: list[slice]) -> Result:
  """What is known after the points fetched so far."""
  told, provider = so_far.told, so_far.provider
  return Result(
    metrics=_metrics(run, so_far, points),
    per_user=told.per_user(len(run.population.users)),
    users=run.population.users,
    targets=run.population.targets,
    state=so_far.state,
    compile_s=so_far.compile_s,
    detection=told.detection,
    stealth=stealth_columns(np.concatenate(told.stealth)) if told.stealth else {},
    images={name: column for name, column in provider.columns().items() if name != IMPOSSIBLE},
    pictures=provider.pictures,
    warnings=(*run.notes, *so_far.lines, *warnings_of(
      run.attack, run.attacker, attacking=int((run.rounds.malicious >= 0).sum()), judged=told.judged, idle=told.idle,
      rule=run.judges[-1],
    )),
    user_names=run.dataset.user_names,
    item_names=run.dataset.item_names,
    told=told.told_columns or None,
    after_uploads=so_far.after.columns() or None,
  )


def _metrics(run: Run, so_far: SoFar, points: list[slice]) -> dict[str, np.ndarray]:
  """One array over the evaluation points fetched so far per metric."""
  ends = np.array([taken.stop for taken in points[: so_far.told.points]], np.int64)
  return {"epoch": ends // run.rounds.per_epoch, "round": ends} | so_far.told.columns()


def _train(run: Run, so_far: SoFar, rounds: slice, *, debug: bool) -> None:
  """Trains for the given rounds."""
  if so_far.provider.uploads_before(rounds.start):
    so_far.state = so_far.provider.upload(so_far.state, rounds.start)
    so_far.compile_s += so_far.after.add(so_far.state, rounds.start)
  if debug:
    check_pixels(run, so_far.provider)
    so_far.state, report = debug_rounds(*round_arguments(run, so_far.state, rounds))
  else:
    arguments = round_arguments(run, so_far.state, rounds)
    train, compiling = compiled_program(jitted_rounds, *arguments)
    so_far.state, report = train(*arguments[1:])
    so_far.compile_s += compiling
  so_far.parts.append(report)
  so_far.rounds = rounds.stop


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
  on_evaluation: Listener | None = None,
  debug: bool = False,
  visuals: Visuals | None = None,
  server_optimizer: optax.GradientTransformation | None = None,
  client_optimizer: optax.GradientTransformation | None = None,
  checkpoint_dir: str | os.PathLike[str] | None = None,
  checkpoint_every: int | None = None,
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
    on_evaluation: called after each evaluation point with its metrics by name, those of `Result.metrics`; NaN is one
      that has no value. What it raises ends the run and arrives unchanged. It changes no results. Points that a
      checkpoint holds were told before it was written, and are not told again.
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
    checkpoint_dir: folder of this run's checkpoints, from the newest of which it goes on, with the same bits as if it
      had never stopped; a run that is finished returns at once. The last two are kept; one that is damaged is named in
      the warnings, and the one before is taken. None writes none. One process at a time may use it.
    checkpoint_every: epochs between two checkpoints. By default one is written at the first evaluation point after ten
      minutes of training. The last one is always written at the end.

  Returns:
    Metrics over evaluation points, values per user at the last one, and the final state.

  Raises:
    ConfigError: if an argument is of another type than agreed, a number does not fit the data set, or an optimiser is
      given twice or cannot do what the defence asks of it; OtherRunError, which is one, if there are
      checkpoints of another run.
    DataError: if the data set cannot be evaluated as asked.
    ContractError: if a part hands back something else than agreed, such as rows of another length.
    DivergedError: if a parameter, a loss or a metric is no longer finite; it holds the points before.
    AttackError: if the attack uploads rows for items that do not exist, or in the name of others' clients.
    DefenseError: if the defence updates rows of items that do not exist.
    DebugError: with `debug`, if a stage fails or makes a number that is not finite.
  """
  check_arguments(
    dataset=dataset, model=model, attack=attack, defense=defense, train=train, attacker=attacker, evaluation=evaluation,
    progress=progress, on_evaluation=on_evaluation, debug=debug, visuals=visuals, checkpoint_dir=checkpoint_dir,
    checkpoint_every=checkpoint_every,
  )
  train = train or TrainConfig()
  evaluation = evaluation or EvalConfig()
  attacker = attacker or AttackerConfig()
  return _planned_and_executed(
    dataset, Methods(model, attack or Attack(), defense or no_defense(), server_optimizer, client_optimizer),
    train=train, attacker=attacker, evaluation=evaluation, seed=checked_seed(seed), visuals=visuals,
    told_of=Listeners(progress, on_evaluation), debug=debug, checkpoints=_checkpoints(checkpoint_dir, checkpoint_every),
  )


def simulate_config(
  config: RunConfig,
  dataset: Dataset,
  progress: Callable[[int], None] | None = None,
  *,
  on_evaluation: Listener | None = None,
  debug: bool = False,
  visuals: Visuals | None = None,
  checkpoint_dir: str | os.PathLike[str] | None = None,
  checkpoint_every: int | None = None,
  checkpoints: Checkpoints | None = None,
) -> Result:
  """Runs a configuration on its data set; see :func:`simulate`.

  Args:
    config: the run.
    dataset: its data set.
    progress: as of :func:`simulate`, as what follows.
    on_evaluation: likewise.
    debug: likewise.
    visuals: likewise.
    checkpoint_dir: likewise.
    checkpoint_every: likewise.
    checkpoints: instead of these two, for those who also stop runs.

  Raises:
    StoppedError: if `checkpoints` asked the run to stop.
  """
  check_arguments(
    config=config, dataset=dataset, progress=progress, on_evaluation=on_evaluation, debug=debug, visuals=visuals,
    checkpoint_dir=checkpoint_dir, checkpoint_every=checkpoint_every,
  )
  return _planned_and_executed(
    dataset, _methods(config), train=config.train, attacker=config.attacker, evaluation=config.eval, seed=config.seed,
    visuals=visuals, told_of=Listeners(progress, on_evaluation), debug=debug,
    checkpoints=checkpoints or _checkpoints(checkpoint_dir, checkpoint_every),
  )


def compile_config(
  config: RunConfig, dataset: Dataset, *, visuals: Visuals | None = None, checkpoint_every: int | None = None
) -> float:
  """Compiles what :func:`simulate_config` needs with these arguments, and trains nothing.

  It may be called in a thread while another run trains, see :func:`fedrecjax.simulation.pieces.compile_run`.

  Args:
    config: the run.
    dataset: its data set.
    visuals: as of :func:`simulate`.
    checkpoint_every: epochs between two checkpoints, where they are counted in epochs.

  Returns:
    Seconds that it took.
  """
  run = plan(
    dataset, **_methods(config)._asdict(), train=config.train, attacker=config.attacker, evaluation=config.eval,
    seed=config.seed, visuals=visuals,
  )
  return compile_run(run, epochs=config.train.epochs, every=config.eval.every, checkpoint_every=checkpoint_every)


class Methods(NamedTuple):
  """The methods of a run, as of :func:`simulate`."""

  model: Model
  attack: Attack
  defense: Defense
  server_optimizer: optax.GradientTransformation | None = None
  client_optimizer: optax.GradientTransformation | None = None


def _methods(config: RunConfig) -> Methods:
  return Methods(config.model.build(), config.attack.build(), chain(*(part.build() for part in config.defense)))


def _checkpoints(folder: str | os.PathLike[str] | None, every: int | None) -> Checkpoints | None:
  if folder is None and every is not None:
    raise ConfigError("checkpoint_every goes with checkpoint_dir, which is None")
  if folder is None:
    return None
  try:
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise ConfigError(f"checkpoint_dir: cannot use {folder}: {error.strerror}") from error
  return Checkpoints(pathlib.Path(folder), every)


def _planned_and_executed(
  dataset: Dataset,
  methods: Methods,
  *,
  train: TrainConfig,
  attacker: AttackerConfig,
  evaluation: EvalConfig,
  seed: int,
  visuals: Visuals | None,
  told_of: Listeners,
  debug: bool,
  checkpoints: Checkpoints | None,
) -> Result:
  settings: dict[str, Any] = {
    "train": train, "attacker": attacker, "evaluation": evaluation, "seed": seed, "visuals": visuals,
  }
  run = plan(dataset, **methods._asdict(), **settings)
  keeper = None
  if checkpoints is not None:
    keeper = Keeper(
      checkpoints, lambda: identity_of(dataset, methods=methods._asdict(), debug=debug, **settings)
    )
  return execute(run, epochs=train.epochs, every=evaluation.every, debug=debug, keeper=keeper, **told_of._asdict())
