"""Runs cells one after another in this process; a cell that fails does not stop the others."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import pathlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.atomic_files import new_file
from experiments.command_line import is_expected
from experiments.grid import Cell
from experiments.results.cell_files import write_cell
from experiments.results.paths import failure_file, reason_in
from experiments.results.uploaded_images import FILE, uploaded_images
from experiments.sweep.cell_checkpoints import checkpoints_of, remove_checkpoints, set_aside
from experiments.sweep.claims import Written, claimed, has_failed_since, has_result_since
from experiments.sweep.data_block import kept_summary
from experiments.sweep.materials import Materials
from experiments.sweep.progress import SweepProgress
from experiments.sweep.stopping import Stop
from experiments.sweep.tensorboard import points_logged
from fedrecjax.config import RunConfig
from fedrecjax.simulation.checkpoint_files import OtherRunError
from fedrecjax.simulation.checkpoints import Checkpoints, StoppedError
from fedrecjax.simulation.results import DivergedError, Result
from fedrecjax.simulation.runner import simulate_config

PAUSE_S = 1.0
"""Between two looks at whether another process has done what is waited for."""


class CellEnd(NamedTuple):
  """How a cell ended.

  Attributes:
    message: one line.
    reason: why it failed; None if it did not.
  """

  message: str
  reason: str | None = None


def run_cells(
  cells: Sequence[Cell],
  *,
  materials: Callable[[Cell], Materials],
  out_dir: pathlib.Path,
  before: Mapping[str, Written],
  name: Callable[[Cell], str],
  progress: SweepProgress,
  say: Callable[[str], None],
  version: str,
  debug: bool = False,
  checkpoint_every: int | None = 0,
  tensorboard: pathlib.Path | None = None,
  stop: Stop | None = None,
  ahead: Callable[[Cell, Sequence[Cell]], None] = lambda *_: None,
  enough: Callable[[Cell, float, Sequence[Cell]], bool] = lambda *_: False,
) -> tuple[dict[str, str], list[Cell]]:
  """Runs cells one after another in this process and writes their folders.

  Cells that another process computes are left to the end, and waited for there.

  Args:
    cells: to run, in this order.
    materials: what a cell is run on.
    out_dir: folder of the results.
    before: when the files of the cells were written at the start.
    name: names a cell.
    progress: is told how far things are.
    say: is told, in a line, what is waited for.
    version: of the package.
    debug: whether to train client by client, see :mod:`fedrecjax.simulation.debugging`.
    checkpoint_every: epochs between two checkpoints inside a cell; 0 for none, None if time decides.
    tensorboard: folder for TensorBoard; None for none.
    stop: what signals ask for; they stop a cell with checkpoints once it has written one.
    ahead: called before each cell with it and the cells that are left, whose programs may be compiled meanwhile.
    enough: called after each cell with it, the seconds it took and the cells that are left; whether to leave those.

  Returns:
    Why cells failed, a line each, by hash, which is in `out_dir/failures`, too; and the cells that are left.
  """
  failures: dict[str, str] = {}
  stop = stop or Stop()
  queue, said = collections.deque(cells), False
  claimed_elsewhere: list[Cell] = []
  while queue or claimed_elsewhere:
    if not queue:
      if not said:
        say(waiting_for(len(claimed_elsewhere)))
        said = True
      time.sleep(PAUSE_S)
      queue, claimed_elsewhere = collections.deque(claimed_elsewhere), []
    cell, started = queue.popleft(), time.perf_counter()
    progress.start(name(cell), cell.config.train.epochs)
    ahead(cell, queue)
    with stop.saving():
      try:
        end = run_unclaimed(
          cell, materials, out_dir=out_dir, before=before[cell.hash], name=name(cell), version=version, debug=debug,
          progress=functools.partial(progress.advance, name(cell)), note=functools.partial(progress.note, name(cell)),
          checkpoint_every=checkpoint_every, tensorboard=tensorboard, asked=stop.asked,
        )
      except StoppedError as stopped:
        progress.note(name(cell), str(stopped))
        continue
      if end is None:
        progress.lose(name(cell))
        claimed_elsewhere.append(cell)
        continue
      progress.finish(name(cell), end.message)
      if end.reason is not None:
        failures[cell.hash] = end.reason
    if enough(cell, time.perf_counter() - started, queue):
      break
  return failures, [*queue, *claimed_elsewhere]


def waiting_for(count: int) -> str:
  """One line on cells that another process computes."""
  cells = "1 cell is" if count == 1 else f"{count} cells are"
  return f"{cells} being computed by another process; waiting for the result"


def run_unclaimed(cell: Cell, *arguments: Any, out_dir: pathlib.Path, before: Written, name: str, **options: Any
                  ) -> CellEnd | None:
  """Runs a cell, see :func:`run_cell`, unless another process does.

  Args:
    cell: to run.
    *arguments: of :func:`run_cell`.
    out_dir: folder of the results.
    before: when the files of the cell were written at the start; what another process has written since is left alone.
    name: of the cell.
    **options: of :func:`run_cell`.

  Returns:
    How it ended; None while another process computes it.

  Raises:
    StoppedError: if it was asked to stop, and has written a checkpoint where that is worth it.
  """
  try:
    with claimed(out_dir, cell) as own:
      if not own:
        return None
      if has_result_since(out_dir, cell, before):
        return CellEnd("computed by another process")
      if has_failed_since(out_dir, cell, before):
        reason = reason_in(failure_file(out_dir, cell))
        return CellEnd(f"failed in another process: {reason}", reason)
      return run_cell(cell, *arguments, out_dir=out_dir, name=name, **options)
  except OSError as error:
    return failed(out_dir, cell, name, error)


def run_cell(
  cell: Cell,
  materials: Callable[[Cell], Materials],
  *,
  out_dir: pathlib.Path,
  name: str,
  version: str,
  progress: Callable[[int], None],
  note: Callable[[str], None],
  asked: Callable[[], bool],
  checkpoint_every: int | None = 0,
  tensorboard: pathlib.Path | None = None,
  debug: bool = False,
) -> CellEnd:
  """Runs a cell and writes its folder, or why it failed.

  Args:
    cell: to run.
    materials: what it is run on.
    out_dir: folder of the results.
    name: of the cell.
    version: of the package.
    progress: called with the number of epochs done.
    note: is told, in a line, what is to be known of checkpoints and of what cannot be written beside.
    asked: whether the cell is to stop.
    checkpoint_every: epochs between two checkpoints inside the cell; 0 for none, None if time decides.
    tensorboard: folder for TensorBoard; None for none.
    debug: whether to train client by client.

  Raises:
    StoppedError: if it was asked to stop, and has written a checkpoint where that is worth it.
  """
  started = time.perf_counter()
  checkpoints = checkpoints_of(out_dir, cell, checkpoint_every, asked, note)
  try:
    dataset, summary, seen = materials(cell)
    kept = kept_summary(cell, summary, dataset, seen)
    with points_logged(tensorboard, cell, note) as on_evaluation:
      result, diverged = _computed(
        cell.config, dataset, progress, note=note, checkpoints=checkpoints, on_evaluation=on_evaluation, debug=debug,
        visuals=seen,
      )
    images = None if diverged is not None else uploaded_images(result, seen)
    arrays = {} if images is None else {FILE: images._asdict()}
    write_cell(out_dir, cell, result, version, arrays, diverged, summary=kept)
  except StoppedError:
    raise
  except Exception as error:
    if not isinstance(error, OSError):
      # What could not be written is not trained for again.
      remove_checkpoints(out_dir, cell)
    return failed(out_dir, cell, name, error)
  remove_checkpoints(out_dir, cell)
  failure_file(out_dir, cell).unlink(missing_ok=True)
  seconds = time.perf_counter() - started
  return CellEnd(f"{_shown_metrics(result) if diverged is None else diverged}, {_shown_times(result, seconds)}")


def failed(out_dir: pathlib.Path, cell: Cell, name: str, error: Exception) -> CellEnd:
  """Keeps why a cell failed."""
  # On a full disk the reason is printed at the end all the same, and other cells may fit.
  with contextlib.suppress(OSError):
    _write_failure(out_dir, cell, name, error)
  return CellEnd(f"failed: {reason_of(error)}", reason_of(error))


def _computed(
  config: RunConfig, *arguments: Any, note: Callable[[str], None], checkpoints: Checkpoints | None, **options: Any
) -> tuple[Result, DivergedError | None]:
  """The result of a run, or of its points before it diverged, which is a result too, and how it did."""
  try:
    return simulate_config(config, *arguments, checkpoints=checkpoints, **options), None
  except OtherRunError as error:
    assert checkpoints is not None
    note(f"{error}; it is now in {set_aside(checkpoints.folder)}, and the cell starts anew")
    return _computed(config, *arguments, note=note, checkpoints=checkpoints, **options)
  except DivergedError as error:
    if error.result is None:
      raise
    return error.result, error


def _shown_metrics(result: Result) -> str:
  names = [name for kind in ("hr", "er") for name in result.metrics if name.startswith(f"{kind}@")]
  shown = [name for name in names if name.endswith("@10")] or names[-1:]
  return " ".join(f"{name} {result.metrics[name][-1]:.4f}" for name in shown)


def _shown_times(result: Result, seconds: float) -> str:
  """How long a cell took; training is up to the last evaluation point."""
  trained = max(result.metrics["wall_s"], default=0.0)
  return f"{seconds:.1f} s ({trained:.1f} s training, {result.compile_s:.1f} s compilation)"


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
