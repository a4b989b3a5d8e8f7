"""Points of cells in TensorBoard's files."""

import struct
import sys

import pytest
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from experiments.errors import UsageError
from experiments.grid import expand
from experiments.results.cell_files import read_metrics
from experiments.sweep.command import main
from experiments.sweep.flags import parse_command_line
from experiments.sweep.tensorboard import check_tensorboard, folder_of, points_logged

CELL = expand([{"attack": "pieck_uea", "dataset": "a/b.csv"}], {})[0]


def events(folder):
  """The events of all files of a folder, by file."""
  found = []
  for file in sorted(folder.iterdir()):
    content, start = file.read_bytes(), 0
    while start < len(content):
      (length,) = struct.unpack_from("<Q", content, start)
      found.append(Event.FromString(content[start + 12 : start + 12 + length]))
      start += length + 16
  return found


def scalars(folder):
  """(step, tag, value) of all scalars of a folder."""
  return [(event.step, one.tag, one.simple_value) for event in events(folder) for one in event.summary.value]


def test_points_are_there_at_once(tmp_path):
  lines = []
  with points_logged(tmp_path, CELL, lines.append) as add:
    add({"epoch": 3, "round": 12, "hr@10": 0.25, "er@5": float("nan"), "train_loss": 0.5})
    folder = tmp_path / f"b.csv_mf_pieck_uea_none_seed0_{CELL.hash}"
    assert folder == folder_of(tmp_path, CELL)
    assert scalars(folder) == [(3, "hr/10", 0.25), (3, "train_loss", 0.5)]
    add({"epoch": 4, "round": 16, "hr@10": 0.5})
  assert scalars(folder)[-1] == (4, "hr/10", 0.5) and lines == []
  # TensorBoard drops what another process has written of this step and later ones.
  assert [event.step for event in events(folder) if event.session_log.status == SessionLog.START] == [3]


def test_a_full_disk_is_a_line_and_no_more(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(28, "No space left on device")

  lines = []
  with points_logged(tmp_path, CELL, lines.append) as add:
    add({"epoch": 1, "hr@10": 0.25})
    monkeypatch.setattr(EventsWriter, "write_event", full)
    add({"epoch": 2, "hr@10": 0.25})
    add({"epoch": 3, "hr@10": 0.25})
  assert len(lines) == 1 and "--tensorboard" in lines[0] and lines[0].endswith("No space left on device")


@pytest.mark.parametrize(("flags", "folder"), [
  ((), None), (("--tensorboard",), "out/tensorboard"), (("--tensorboard", "--seed=1"), "out/tensorboard"),
  (("--tensorboard=logs/a",), "logs/a"), (("--notensorboard",), None), (("--tensorboard", "--tensorboard=false"), None),
])
def test_the_folder_may_be_left_out(flags, folder):
  found = parse_command_line(["sweep", "--out_dir=out", *flags]).tensorboard
  assert (found if found is None else str(found)) == folder


def test_without_the_package_or_a_folder_nothing_is_run(tmp_path, monkeypatch):
  (tmp_path / "file").write_text("")
  with pytest.raises(UsageError, match="--tensorboard: cannot write into"):
    check_tensorboard(tmp_path / "file")
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  with pytest.raises(UsageError, match=r"pip install fedrecjax\[tensorboard\]"):
    check_tensorboard(tmp_path)


def test_a_sweep_writes_what_its_results_have(command):
  assert main(["sweep", *command.arguments("--tensorboard", "--seed=0")]) == 0
  (folder,) = (command.folder / "tensorboard").iterdir()
  (cell,) = expand([{}], parse_command_line(["sweep", *command.arguments("--seed=0")]).settings)
  table = read_metrics(command.folder, cell._replace(hash=folder.name.rpartition("_")[2]))
  told = [(step, value) for step, tag, value in scalars(folder) if tag == "hr/10"]
  assert len(told) == 2 and told == list(table.select("epoch", "hr@10").iter_rows())
