"""Runs cells one after another in this process; a cell that fails does not stop the others."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.atomic_files import new_file
from experiments.command_line import is_expected
from experiments.data.load import load_dataset
from experiments.errors import UsageError
from experiments.grid import Cell
from experiments.results.cell_files import write_cell
from experiments.results.paths import failure_file
from experiments.results.uploaded_images import FILE, uploaded_images
from experiments.sweep.cell_checkpoints import checkpoints_of, remove_checkpoints, set_aside
from experiments.sweep.data_block import DataKey, kept_summary
from experiments.sweep.progress import SweepProgress
from experiments.sweep.stopping import Stop
from experiments.sweep.visuals import VisualsKey, visuals_key
from fedrecjax.analysis import Summary
from fedrecjax.config import ConfigError, RunConfig
from fedrecjax.datasets import Dataset
from fedrecjax.defenses import chain
from fedrecjax.federation.population import make_population
from fedrecjax.simulation.checkpoint_files import OtherRunError
from fedrecjax.simulation.checkpoints import Checkpoints, StoppedError
from fedrecjax.simulation.evaluation import evaluation_data
from fedrecjax.simulation.memory import check_memory
from fedrecjax.simulation.participants import given_public
from fedrecjax.simulation.results import DivergedError, Result
from fedrecjax.simulation.runner import simulate_config
from fedrecjax.simulation.visual_features import check_images
from fedrecjax.vision.visuals import Visuals


def load_datasets(cells: Sequence[Cell], data_dir: pathlib.Path | None) -> dict[DataKey, Dataset]:
  """The data sets of these cells, each loaded once.

  Raises:
    DataError: if one cannot be loaded.
  """
  loaded: dict[DataKey, Dataset] = {}
  for cell in cells:
    key = (cell.config.dataset, cell.config.data)
    if key not in loaded:
      loaded[key] = load_dataset(*key, data_dir)
  return loaded


def check_fit(
  cells: Sequence[Cell], datasets: dict[DataKey, Dataset], visuals: Mapping[VisualsKey, Visuals]
) -> None:
  """Checks, before anything is trained, that images, sizes, targets, what is public and evaluation fit the data sets.

  Raises:
    ConfigError: if a number or a method does not fit a data set.
    DataError: if a data set cannot be evaluated as asked.
  """
  checked: set[Any] = set()
  for cell in cells:
    config = cell.config
    key = (config.dataset, config.data)
    seen = visuals.get(visuals_key(cell))
    methods = (config.model, config.attack, config.defense, config.train)
    if (key, config.images, *methods) not in checked:
      checked.add((key, config.images, *methods))
      defense = chain(*(part.build() for part in config.defense))
      model = config.model.build()
      check_images(datasets[key], model, config.attack.build(), defense, seen)
      check_memory(datasets[key], model, config.train)
    if (key, config.images, config.attacker, config.eval) in checked:
      continue
    checked.add((key, config.images, config.attacker, config.eval))
    longest, num_items = max(config.eval.ks), datasets[key].num_items
    if longest > num_items:
      raise ConfigError(f"eval.ks must be at most the {num_items} items of {config.dataset}, got {longest}")
    given_public(datasets[key], config.attacker)
    has_image = None if seen is None else seen.images.has_image
    population = make_population(datasets[key], config.attacker, config.seed, has_image)
    evaluation_data(
      datasets[key], config.eval, population.targets, population.users,
      evaluated=population.evaluated(config.eval.left_out),
    )


def run_cells(
  cells: Sequence[Cell],
  *,
  datasets: dict[DataKey, Dataset],
  summaries: Mapping[DataKey, Summary],
  visuals: Mapping[VisualsKey, Visuals],
  out_dir: pathlib.Path,
  name: Callable[[Cell], str],
  progress: SweepProgress,
  version: str,
  debug: bool = False,
  checkpoint_every: int | None = 0,
  stop: Stop | None = None,
) -> dict[str, str]:
  """Runs cells and writes their folders.

  Args:
    cells: to run, in this order.
    datasets: from :func:`load_datasets`.
    summaries: of them.
    visuals: from :func:`experiments.sweep.visuals.load_visuals`.
    out_dir: folder of the results.
    name: names a cell.
    progress: is told how far things are.
    version: of the package.
    debug: whether to train client by client, see :mod:`fedrecjax.simulation.debugging`.
    checkpoint_every: epochs between two checkpoints inside a cell; 0 for none, None if time decides.
    stop: what signals ask for; they stop a cell with checkpoints once it has written one.

  Returns:
    Why cells failed, a line each, by hash; the same is in `out_dir/failures`.
  """
  failures: dict[str, str] = {}
  stop = stop or Stop()
  for cell in cells:
    config = cell.config
    progress.start(name(cell), config.train.epochs)
    started = time.perf_counter()
    seen = visuals.get(visuals_key(cell))
    checkpoints = checkpoints_of(out_dir, cell, checkpoint_every, stop.asked, progress.note)
    with stop.saving():
      try:
        key = (config.dataset, config.data)
        dataset = datasets[key]
        kept = kept_summary(cell, summaries[key], dataset, seen)
        result, diverged = _computed(config, dataset, progress, checkpoints=checkpoints, debug=debug, visuals=seen)
        images = None if diverged is not None else uploaded_images(result, seen)
        arrays = {} if images is None else {FILE: images._asdict()}
        write_cell(out_dir, cell, result, version, arrays, diverged, summary=kept)
      except StoppedError as stopped:
        progress.note(str(stopped))
        continue
      except Exception as error:
        failures[cell.hash] = reason_of(error)
        # On a full disk the reason is printed at the end all the same, and other cells may fit.
        with contextlib.suppress(OSError):
          _write_failure(out_dir, cell, name(cell), error)
        progress.finish(f"failed: {failures[cell.hash]}")
      else:
        failure_file(out_dir, cell).unlink(missing_ok=True)
        seconds = time.perf_counter() - started
        progress.finish(_summary(result, seconds) if diverged is None else f"{diverged}, {seconds:.1f} s")
      remove_checkpoints(out_dir, cell)
  return failures


def _computed(
  config: RunConfig, dataset: Dataset, progress: SweepProgress, *, checkpoints: Checkpoints | None, **options: Any
) -> tuple[Result, DivergedError | None]:
  """The result of a run, or of its points before it diverged, which is a result too, and how it did."""
  try:
    return simulate_config(config, dataset, progress.advance, checkpoints=checkpoints, **options), None
  except OtherRunError as error:
    assert checkpoints is not None
    progress.note(f"{error}; it is now in {set_aside(checkpoints.folder)}, and the cell starts anew")
    return _computed(config, dataset, progress, checkpoints=checkpoints, **options)
  except DivergedError as error:
    if error.result is None:
      raise
    return error.result, error



def _summary(result: Result, seconds: float) -> str:
  names = [name for kind in ("hr", "er") for name in result.metrics if name.startswith(f"{kind}@")]
  shown = [name for name in names if name.endswith("@10")] or names[-1:]
  values = " ".join(f"{name} {result.metrics[name][-1]:.4f}" for name in shown)
  return f"{values}, {seconds:.1f} s"


def reason_of(error: Exception) -> str:
  """One line that says what went wrong; the kind of error is named where the message alone would not tell."""
  lines = str(error).strip().splitlines()
  message = lines[0] if lines else "no message"
  return message if is_expected(error) else f"{type(error).__name__}: {message}"


def _write_failure(out_dir: pathlib.Path, cell: Cell, name: str, error: Exception) -> None:
  content = {
    "config_hash": cell.hash,
    "name": name,
    "reason": reason_of(error),
    "traceback": traceback.format_exception(error),
    "config": cell.flat,
  }
  with new_file(failure_file(out_dir, cell)) as file:
    file.write_text(json.dumps(content, indent=2) + "\n")


def use_compilation_cache(folder: pathlib.Path) -> None:
  """Keeps compiled programs in a folder for later processes.

  Raises:
    UsageError: if the folder cannot be made.
  """
  import jax

  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UsageError(f"--compilation_cache_dir: {error}") from error
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
