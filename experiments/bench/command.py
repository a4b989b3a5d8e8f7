"""The command `python -m experiments.bench`: how long an epoch and an evaluation take, beside plain NumPy.

Each case runs in a process of its own, so that its peak memory is its own. Times are medians of repeated epochs
after compilation, wall and CPU; rivals are timed in the same process between the epochs.
"""

from __future__ import annotations

import functools
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from experiments.bench.numpy_baselines import RULES, NumpyRun, client_by_client, vectorised
from experiments.bench.own_process import measured
from experiments.bench.plot import plot_costs
from experiments.bench.records import write_record
from experiments.command_line import FlagGroup, command, folder, output, read_group
from experiments.errors import UsageError
from experiments.memory import keep_freed_memory
from experiments.results.plots import PlotError
from fedrecjax.config import from_flat
from fedrecjax.datasets import load
from fedrecjax.defenses import chain
from fedrecjax.simulation.evaluation import jitted_evaluation
from fedrecjax.simulation.planning import Run, plan, round_inputs
from fedrecjax.simulation.records import RoundInput
from fedrecjax.simulation.round import jitted_rounds
from fedrecjax.types import SimulationState

_GROUP = "bench"
_ML_100K = {"dataset": "ml-100k"}
_UNDER_ATTACK = {**_ML_100K, "attack": "pieck_uea"}
# The setting of ClusterAttack and UNION, without ClusterAttack.
_CLUSTER_UNION = {
  "dataset": "ml-1m",
  "mf.dim": 64,
  "train.clients_per_round": 50,
  "train.participation": "uniform",
  "train.loss": "bpr",
  "train.server_optimizer": "adam",
  "train.learning_rate": 0.002,
  "none.scale": "mean",
  "none.scope": "client",
  "none.weights": "samples",
}
_NCF = {**_ML_100K, "model": "ncf", "train.learning_rate": 0.005}
_SASREC = {
  **{name: value for name, value in _CLUSTER_UNION.items() if name != "mf.dim"}, "model": "sasrec",
  "train.learning_rate": 0.001,
}
CASES: dict[str, dict[str, Any]] = {
  "synthetic": {"dataset": "synthetic"},
  "ml-100k": _ML_100K,
  "ml-100k pieck_uea": _UNDER_ATTACK,
  **{
    f"ml-100k pieck_uea {defense}": {**_UNDER_ATTACK, "defense": defense}
    for defense in ("median", "trimmed_mean", "krum", "multi_krum", "bulyan", "pieck_reg", "fl_wbc", "hics")
  },
  "ml-100k pieck_uea client krum": {**_UNDER_ATTACK, "defense": "krum", "krum.scope": "client"},
  "ml-1m": {"dataset": "ml-1m"},
  "ml-1m 50 clients": _CLUSTER_UNION,
  "ml-1m 50 clients union": {**_CLUSTER_UNION, "defense": "union+none"},
  "ml-100k ncf": _NCF,
  "ml-100k ncf pieck_uea": {**_NCF, "attack": "pieck_uea"},
  "ml-100k ncf pieck_uea median": {**_NCF, "attack": "pieck_uea", "defense": "median"},
  "ml-100k lightgcn": {**_ML_100K, "model": "lightgcn", "train.learning_rate": 0.01},
  "ml-100k fedgnn": {**_ML_100K, "model": "fedgnn", "train.loss": "bpr", "train.learning_rate": 0.01},
  "ml-1m 50 clients sasrec": _SASREC,
  "gowalla": {"dataset": "gowalla"},
  **{
    f"gowalla {defense}": {"dataset": "gowalla", "defense": defense}
    for defense in ("median", "trimmed_mean", "krum", "multi_krum", "bulyan", "pieck_reg")
  },
  **{
    f"ml-1m clients={clients}": {"dataset": "ml-1m", "train.clients_per_round": clients} for clients in (64, 1024, 4096)
  },
  **{f"ml-100k d={d}": {**_ML_100K, "mf.dim": d} for d in (8, 64, 128)},
  "gowalla client krum": {"dataset": "gowalla", "defense": "krum", "krum.scope": "client"},
}
_WITH_RIVALS = {"dataset", "attack", "defense"}  # rivals know the default training and rules with default options
# Times the traffic limit that an epoch may take on a CPU.
_GOAL_WITHOUT_RULE, _GOALS = 3.0, {"median": 8.0}
WARM_EPOCHS = 4  # popular items are mined by then, so that what is timed is the attack at work
LOOP_REPEATS_BELOW_S = 20.0


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
  """Median wall and CPU milliseconds of `repeats` calls."""
  walls, cpus = [], []
  for _ in range(repeats):
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    walls.append(time.perf_counter() - wall)
    cpus.append(time.process_time() - cpu)
  return 1e3 * statistics.median(walls), 1e3 * statistics.median(cpus)


def moved_bytes(run: Run) -> float:
  """Bytes of embedding rows that an epoch of plain sums must move at least.

  Every pair reads one item row, reads and writes one row of the table's update, and every sample reads its user's
  row and adds to that user's gradient.
  """
  samples = float(np.asarray(run.constants.data.training.length).sum())
  rows = 3 * samples * (1 + run.structure.num_negatives) + 3 * samples
  return rows * run.state.server.public.items.shape[1] * 4


def copy_bandwidth() -> float:
  """Bytes per second, read and written, of copying an array larger than caches."""
  source = np.ones(2**25, np.float32)
  target = np.empty_like(source)
  wall, _ = timed(lambda: np.copyto(target, source), 5)
  return 2 * source.nbytes / (wall / 1e3)


def numpy_run(run: Run) -> NumpyRun:
  """The run before its first round, for the rivals."""
  training = run.constants.data.training
  start, length, positive, negatives, private, items = (
    np.array(array)
    for array in (training.start, training.length, training.positive, training.negatives, run.state.private,
                  run.state.server.public.items)
  )
  return NumpyRun(start, length, positive, negatives, private, items, float(run.constants.numbers.learning_rate))


def check_agreement(run: Run, state: SimulationState) -> None:
  """Raises RuntimeError unless both rivals arrive where the first epoch arrived."""
  rounds = run.rounds.clients[: run.rounds.per_epoch]
  for rival in (client_by_client, vectorised):
    other = numpy_run(run)
    rival(other, rounds)
    difference = float(np.abs(other.items - np.asarray(state.server.public.items)).max())
    if difference > 1e-4:
      raise RuntimeError(f"{rival.__name__} differs from the simulator by {difference:.2g} after one epoch")


def measure(name: str, data_dir: str | None, repeats: int) -> dict[str, float | str]:
  """Times one case in this process.

  Args:
    name: a key of CASES.
    data_dir: where data sets are.
    repeats: epochs timed, at least 5.

  Returns:
    Milliseconds, seconds of compilation, megabytes and ratios by name.
  """
  epochs = WARM_EPOCHS + repeats
  config = from_flat({**CASES[name], "train.epochs": epochs})
  dataset = load(config.dataset, data_dir=data_dir)
  run = plan(
    dataset,
    model=config.model.build(),
    attack=config.attack.build(),
    defense=chain(*(part.build() for part in config.defense)),
    train=config.train,
    attacker=config.attacker,
    evaluation=config.eval,
    seed=0,
  )

  def epoch_of(number: int) -> RoundInput:
    return round_inputs(run.rounds, slice(number * run.rounds.per_epoch, (number + 1) * run.rounds.per_epoch))

  comparable = not set(CASES[name]) - _WITH_RIVALS and CASES[name].get("defense", "none") in RULES
  before = numpy_run(run)
  started = time.perf_counter()
  program = jitted_rounds.lower(run.structure, run.constants, run.state, epoch_of(0)).compile()
  result: dict[str, float | str] = {
    "case": name, "compile_s": time.perf_counter() - started, "clients": run.rounds.clients.shape[1],
    "d": run.state.server.public.items.shape[1], "items": dataset.num_items, "interactions": len(dataset.train.items),
  }
  memory = program.memory_analysis()
  result["xla_temp_mb"] = memory.temp_size_in_bytes / 1e6 if memory is not None else float("nan")
  states = [jax.tree.map(jnp.copy, run.state)]
  next_epoch = iter(range(epochs))

  def one_epoch() -> None:
    states[0] = jax.block_until_ready(program(run.constants, states[0], epoch_of(next(next_epoch)))[0])

  one_epoch()
  if comparable and config.attack.name == "none" and CASES[name].get("defense", "none") == "none":
    check_agreement(run, states[0])
  for _ in range(WARM_EPOCHS - 1):
    one_epoch()
  result["epoch_ms"], result["epoch_cpu_ms"] = timed(one_epoch, repeats)
  result["rounds"] = run.rounds.per_epoch
  evaluation = functools.partial(jitted_evaluation, config=run.evaluation, num_users=run.structure.num_benign)
  state = states[0]
  parts, data, _, keys = run.constants
  arguments = (parts.model, state.server.public, state.private, data.evaluation, keys.evaluation)
  jax.block_until_ready(evaluation(*arguments))
  result["eval_ms"], result["eval_cpu_ms"] = timed(lambda: jax.block_until_ready(evaluation(*arguments)), repeats)
  result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
  result["traffic_limit_ms"] = 1e3 * moved_bytes(run) / copy_bandwidth()
  if not comparable:
    return result
  rounds = run.rounds.clients[: run.rounds.per_epoch]
  rule = RULES[CASES[name].get("defense", "none")]
  loop_ms, _ = timed(lambda: client_by_client(before, rounds, rule), 1)
  if loop_ms < 1e3 * LOOP_REPEATS_BELOW_S:
    loop_ms, _ = timed(lambda: client_by_client(before, rounds, rule), repeats)
  result["loop_ms"] = loop_ms
  # The vectorised step only adds up: with another rule it would be compared with more work than its own.
  if rule is None:
    result["numpy_ms"], _ = timed(lambda: vectorised(before, rounds), repeats)
  return result


def goal_of(case: str) -> float | None:
  """How many times the traffic limit an epoch of a case should take at most; None where no goal is set."""
  settings = CASES[case]
  if settings.get("model", "mf") != "mf":
    return None
  if "defense" in settings:
    return _GOALS.get(settings["defense"])
  return _GOAL_WITHOUT_RULE if "attack" not in settings else None


def report(results: Sequence[dict[str, Any]]) -> Table:
  """A table of all cases; "-" where no rival does the same arithmetic."""
  table = Table(title="one epoch, medians")
  columns = {
    "case": "case",
    "epoch_ms": "epoch ms",
    "epoch_cpu_ms": "CPU ms",
    "round_ms": "round ms",
    "eval_ms": "evaluation ms",
    "compile_s": "compile s",
    "peak_mb": "peak MB",
    "xla_temp_mb": "XLA temp MB",
  }
  for title in [*columns.values(), "loop / ours", "NumPy step / ours", "ours / traffic limit", "goal"]:
    table.add_column(title, justify="left" if title == "case" else "right")
  for row in results:
    row = {**row, "round_ms": row["epoch_ms"] / row["rounds"]}
    cells = [row[name] if name == "case" else f"{row[name]:.1f}" for name in columns]
    rivals = [f"{row[rival] / row['epoch_ms']:.1f}" if rival in row else "-" for rival in ("loop_ms", "numpy_ms")]
    goal = goal_of(row["case"])
    over = [f"{row['epoch_ms'] / row['traffic_limit_ms']:.1f}", "-" if goal is None else f"{goal:g}"]
    table.add_row(*cells, *rivals, *over)
  return table


def _work(argv: Sequence[str]) -> None:
  value = read_group(_GROUP, argv, _define_flags)
  names, repeats, data_dir = value("cases"), value("repeats"), value("data_dir")
  for name in names:
    if name not in CASES:
      raise UsageError(f"--cases must be a comma list of {', '.join(CASES)}, got {name!r}")
  if value("in_process"):
    keep_freed_memory()
    print(json.dumps(measure(names[0], data_dir, repeats)))
    return
  results, failed = [], []
  out, picture = folder(value("out")), folder(value("plot"))
  for name in names:
    flags = ["--in_process", f"--cases={name}", f"--repeats={repeats}"]
    if data_dir:
      flags.append(f"--data_dir={data_dir}")
    try:
      results.append(measured(_GROUP, flags))
    except OSError:
      failed.append(name)
  output(width=200).print(report(results))
  if out is not None and results:
    write_record(out, results)
  if picture is not None and results:
    try:
      plot_costs(results, picture)
    except PlotError as error:
      print(f"bench: {error}", file=sys.stderr)
  if failed:
    raise OSError(f"failed: {', '.join(failed)}")


def _define_flags(group: FlagGroup) -> None:
  group.texts("cases", ["synthetic"], f"cases to time, of: {', '.join(CASES)}.")
  group.integer("repeats", 7, "epochs and evaluations timed in each case; at least 5.", least=5)
  group.data_dir()
  group.text("out", None, "JSON file to keep the measurements in, with the machine and the versions.")
  group.text("plot", None, "PNG file to draw what a round costs by clients, d and items.")
  group.switch("in_process", False, "time the first case in this process and print JSON.")


main = command(_GROUP, _work)
