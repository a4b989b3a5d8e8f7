"""Checkpoints inside cells: signals, going on, what is removed, and kills at random moments."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest

from experiments.results.paths import finished_dirs
from experiments.sweep import cell_checkpoints, run
from experiments.sweep.command import INTERRUPTED, TERMINATED, main
from experiments.sweep.flags import parse_command_line
from fedrecjax.simulation import runner
from fedrecjax.simulation.checkpoint_files import checkpoints_in
from fedrecjax.version import __version__
from tests.experiments.sweep.test_process import start
from tests.experiments.sweep.test_random_kills import assert_same_bits, tables

EPOCHS = 5
FLAGS = ("--attack=random", "--defense=median", f"--train.epochs={EPOCHS}", "--eval.every=2")
KEPT = ("--checkpoint_every=1",)


@pytest.fixture
def sweep(command):
  """Runs the command in this process and returns its exit status."""
  return lambda *extra: main(["sweep", *command.arguments(*FLAGS, *extra)])


@pytest.fixture
def undisturbed(sweep, command, tmp_path):
  """The tables of a sweep that nothing has stopped."""
  assert sweep(f"--out_dir={tmp_path / 'undisturbed'}", "--checkpoint_every=0") == 0
  return tables(tmp_path / "undisturbed")


@pytest.fixture
def heeded():
  """Signals do what they do at a shell; tests may run where some are ignored."""
  handlers = {signal.SIGHUP: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
  before = {one: signal.signal(one, handler) for one, handler in handlers.items()}
  yield
  for one, handler in before.items():
    signal.signal(one, handler)


@pytest.fixture
def trained(monkeypatch):
  """The epochs that are trained from now on; `trained.at` maps their number to what is done first."""

  class Trained(list):
    def __init__(self):
      self.at = {}

  epochs, train = Trained(), runner._train

  def watched(run_, so_far, rounds, **options):
    epochs.append(rounds.start // run_.rounds.per_epoch + 1)
    epochs.at.get(epochs[-1], lambda: None)()
    train(run_, so_far, rounds, **options)

  monkeypatch.setattr(runner, "_train", watched)
  return epochs


def send(sent):
  return lambda: os.kill(os.getpid(), sent)


def checkpoints(command):
  """The epochs of the checkpoints of the only cell."""
  folder = command.folder / "checkpoints"
  [cell] = folder.iterdir() if folder.is_dir() else [folder]
  return [int(one.name) for one in checkpoints_in(cell)]


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("sent", "status"), [
  (signal.SIGTERM, TERMINATED), (signal.SIGHUP, TERMINATED), (signal.SIGINT, INTERRUPTED),
])
def test_a_cell_that_is_stopped_goes_on(sweep, command, undisturbed, trained, capfd, sent, status):
  trained.at = {3: send(sent)}
  assert sweep("--checkpoint_every=4") == status
  said = capfd.readouterr().err
  assert "stopping after the present piece of training" in said and "stopped after epoch 4" in said
  assert "0 of 1 cells finished and 1 begun" in said and "the same command goes on" in said
  assert checkpoints(command) == [4] and not (command.folder / "failures").exists()
  trained.clear()
  trained.at = {}
  assert sweep("--checkpoint_every=4") == 0
  assert trained == [5] and "going on after epoch 4" in capfd.readouterr().err
  assert_same_bits(command.folder, undisturbed)
  assert not (command.folder / "checkpoints").exists()


@pytest.mark.usefixtures("heeded")
def test_a_second_signal_and_one_before_training_stop_at_once(sweep, command, trained, monkeypatch, capfd):
  trained.at = {1: send(signal.SIGTERM)}
  assert sweep(*KEPT) == TERMINATED
  assert trained == [1] and not checkpoints(command)
  assert "stopping after" not in capfd.readouterr().err
  trained.at = {3: send(signal.SIGTERM)}
  monkeypatch.setattr("fedrecjax.simulation.checkpoints.Keeper.save", lambda *_: send(signal.SIGTERM)())
  assert sweep("--checkpoint_every=4") == TERMINATED
  assert not checkpoints(command) and "stopping after" in capfd.readouterr().err


@pytest.mark.usefixtures("heeded")
def test_without_checkpoints_a_signal_stops_at_once(sweep, command, trained):
  trained.at = {3: send(signal.SIGTERM)}
  assert sweep("--checkpoint_every=0") == TERMINATED
  assert trained[-1] == 3 and not (command.folder / "checkpoints").exists()


@pytest.mark.usefixtures("heeded")
def test_by_default_short_cells_write_none(sweep, command, trained):
  trained.at = {3: send(signal.SIGTERM)}
  assert sweep() == TERMINATED
  assert not (command.folder / "checkpoints").exists()


@pytest.fixture
def begun(sweep, command, trained, heeded):
  """A sweep that was stopped after its fourth epoch."""
  trained.at = {4: send(signal.SIGTERM)}
  assert sweep(*KEPT) == TERMINATED
  assert checkpoints(command) == [4, 3]
  trained.clear()
  trained.at = {}


@pytest.mark.usefixtures("begun")
def test_without_resuming_the_cell_starts_anew(sweep, command, undisturbed, trained):
  trained.clear()
  assert sweep("--resume=false", *KEPT) == 0
  assert trained == [1, 2, 3, 4, 5]
  assert_same_bits(command.folder, undisturbed)
  assert not (command.folder / "checkpoints").exists()


@pytest.mark.usefixtures("begun")
def test_damage_is_said_and_the_one_before_taken(sweep, command, undisturbed, trained, capfd):
  [cell] = (command.folder / "checkpoints").iterdir()
  (cell / "00000004" / "checkpoint.json").unlink()
  trained.clear()
  assert sweep(*KEPT) == 0
  said = capfd.readouterr().err
  assert trained == [4, 5] and said.count("checkpoint.json is missing; the one before, after epoch 3, was taken") == 2
  assert "sweep: warning: checkpoint" in said
  assert_same_bits(command.folder, undisturbed)


@pytest.mark.usefixtures("begun")
def test_checkpoints_of_another_version_are_set_aside(sweep, command, undisturbed, trained, capfd, monkeypatch):
  monkeypatch.setattr("fedrecjax.simulation.identity.__version__", "9.9")
  trained.clear()
  trained.at = {3: send(signal.SIGTERM)}
  assert sweep(*KEPT) == TERMINATED
  said = capfd.readouterr().err
  assert f"is of another run: fedrecjax is {__version__} there and 9.9 here; it is now in" in said
  aside, own = sorted((command.folder / "checkpoints").iterdir(), key=lambda one: one.suffix, reverse=True)
  assert aside.name == f"{own.name}.aside"
  assert [[int(one.name) for one in checkpoints_in(folder)] for folder in (aside, own)] == [[4, 3], [3, 2]]
  trained.at = {}
  assert sweep(*KEPT) == 0
  assert trained == [1, 2, 3, 4, 5]
  assert_same_bits(command.folder, undisturbed)
  assert not (command.folder / "checkpoints").exists()


@pytest.mark.usefixtures("begun")
def test_a_cell_that_fails_or_diverges_leaves_none(sweep, command, monkeypatch, capfd):
  with monkeypatch.context() as patch:
    patch.setattr(run, "simulate_config", lambda *_, **__: 1 / 0)
    assert sweep(*KEPT) == 1
  assert "ZeroDivisionError" in capfd.readouterr().err and not (command.folder / "checkpoints").exists()
  assert sweep("--train.learning_rate=1e30", *KEPT) == 0
  assert "diverged at epoch" in capfd.readouterr().err and not (command.folder / "checkpoints").exists()


def test_what_a_kill_behind_the_results_left_is_removed(sweep, command, monkeypatch):
  monkeypatch.setattr(run, "remove_checkpoints", lambda *_: None)
  assert sweep(*KEPT) == 0
  assert checkpoints(command) == [4, 3]
  assert sweep(*KEPT) == 0
  assert not (command.folder / "checkpoints").exists()


def test_other_cells_keep_theirs(tmp_path):
  first, second = (type("Cell", (), {"hash": name}) for name in ("a" * 16, "b" * 16))
  for cell in (first, second):
    cell_checkpoints.checkpoints_dir(tmp_path, cell).mkdir(parents=True)
  cell_checkpoints.remove_checkpoints(tmp_path, first)
  assert [one.name for one in (tmp_path / "checkpoints").iterdir()] == [second.hash]
  cell_checkpoints.remove_checkpoints(tmp_path, second)
  assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(("text", "every"), [("auto", None), ("0", 0), ("25", 25)])
def test_the_flag(text, every):
  assert parse_command_line(["sweep", f"--checkpoint_every={text}"]).checkpoint_every == every
  assert parse_command_line(["sweep"]).checkpoint_every is None


@pytest.mark.parametrize("text", ["-1", "often", "1.5", ""])
def test_a_bad_flag(sweep, capsys, text):
  assert sweep(f"--checkpoint_every={text}") == 2
  assert capsys.readouterr().err == (
    f"sweep: --checkpoint_every must be a number of epochs, 0 for none, or auto, got {text!r}\n"
  )


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_at_random_moments(command, tmp_path, sent):
  """A process is sent a signal again and again; each goes on where the one before was."""
  flags = (*FLAGS[:2], "--train.epochs=30", "--eval.every=7", "--checkpoint_every=3")
  whole = tmp_path / "undisturbed"
  assert command.run(*command.arguments(*flags, "--checkpoint_every=0", f"--out_dir={whole}")).returncode == 0
  undisturbed = tables(whole)
  random, stops, seen = np.random.default_rng(5), 0, [0]
  while stops < 20:
    process = start(command, *command.arguments(*flags))
    limit = time.monotonic() + 60
    # Mostly about when the next checkpoint is written, sometimes before the process has trained at all.
    patient = random.random() < 0.8
    while patient and checkpoints_of(command) <= seen[-1] and process.poll() is None:
      assert time.monotonic() < limit
      time.sleep(0.005)
    try:
      _, error = process.communicate(timeout=random.uniform(0, 0.5))
    except subprocess.TimeoutExpired:
      process.send_signal(sent)
      _, error = process.communicate()
    assert "Traceback" not in error and "damaged" not in error, error
    if process.returncode == 0 or finished_dirs(command.folder):
      break
    assert process.returncode in (-sent, TERMINATED)
    stops += 1
    seen.append(checkpoints_of(command))
    assert seen[-1] >= seen[-2], "training is lost"
  assert stops > 2 and len(set(seen)) > 2
  assert command.run(*command.arguments(*flags)).returncode == 0
  assert_same_bits(command.folder, undisturbed)
  assert not (command.folder / "checkpoints").exists()


def checkpoints_of(command):
  """The epoch of the newest checkpoint of any cell."""
  found = [int(one.name) for one in (command.folder / "checkpoints").glob("*/*") if one.name.isdecimal()]
  return max(found, default=0)
