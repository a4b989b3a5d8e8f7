"""Files of checkpoints: the last two, damage of every kind, and what a run does then."""

import json
import shutil

import numpy as np
import pytest

from fedrecjax import OtherRunError
from fedrecjax.simulation.checkpoint_files import ABOUT, STATE, checkpoints_in, find_checkpoint, write_checkpoint
from tests.support.stopped_runs import EPOCHS, assert_same_bits, ran, stopped

RUN = {"seed": 1, "train.learning_rate": 0.1, "data": "0" * 64}


def arrays(epochs):
  return {
    "rounds": np.array(epochs), "told.rows": np.empty((0, 3), np.float32), "walls": np.array([0.1 * epochs]),
    "state.0": np.full((3, 2), epochs, np.float32), "state.1": np.array([True, False]), "state.2": np.uint8(7),
    "key": np.array([1, 2**32 - 1], np.uint32),
  }


@pytest.fixture
def written(tmp_path):
  """A folder after three checkpoints."""
  for epochs in (1, 2, 10):
    write_checkpoint(tmp_path, epochs, arrays(epochs), identity=RUN, lines=("said",))
  return tmp_path


def test_the_last_two_are_kept_and_the_newest_is_found(written):
  assert [int(one.name) for one in checkpoints_in(written)] == [10, 2]
  found = find_checkpoint(written, RUN)
  assert found.lines == ("said",) and found.damage is None
  assert found.arrays.keys() == arrays(10).keys()
  for name, array in arrays(10).items():
    np.testing.assert_array_equal(found.arrays[name], array)
    assert found.arrays[name].dtype == array.dtype and found.arrays[name].shape == array.shape, name


def test_no_folder_and_what_a_killed_process_left(tmp_path, written):
  assert find_checkpoint(tmp_path / "none", RUN) == (None, (), None)
  (written / "partial" / STATE).mkdir(parents=True)
  assert find_checkpoint(written, RUN).damage is None
  assert not (written / "partial").exists()


def largest(folder):
  return max((one for one in (folder / STATE).rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)


def truncate(folder):
  file = largest(folder)
  file.write_bytes(file.read_bytes()[:-1])
  return "is not what was written"


def flip(folder):
  content = bytearray(largest(folder).read_bytes())
  content[len(content) // 2] ^= 1
  largest(folder).write_bytes(content)
  return "is not what was written"


def lose(folder):
  largest(folder).unlink()
  return "is missing"


def lose_all(folder):
  shutil.rmtree(folder / STATE)
  return "is missing"


def lose_about(folder):
  (folder / ABOUT).unlink()
  return f"{ABOUT} is missing"


def break_about(folder):
  (folder / ABOUT).write_text((folder / ABOUT).read_text()[:-20])
  return f"{ABOUT} cannot be read"


def change_about(folder):
  text = (folder / ABOUT).read_text()
  assert '"train.learning_rate": 0.1' in text
  (folder / ABOUT).write_text(text.replace('"train.learning_rate": 0.1', '"train.learning_rate": 0.3'))
  return f"{ABOUT} is not what was written"


def empty_about(folder):
  (folder / ABOUT).write_text("[]")
  return f"{ABOUT} cannot be read"


DAMAGES = [truncate, flip, lose, lose_all, lose_about, break_about, change_about, empty_about]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_the_one_before_taken(written, damage):
  said = damage(written / "00000010")
  found = find_checkpoint(written, RUN)
  assert int(found.arrays["rounds"]) == 2
  assert found.damage.startswith(f"checkpoint {written}/00000010 is damaged, ") and said in found.damage
  assert found.damage.endswith("; the one before, after epoch 2, was taken") and "\n" not in found.damage
  # It is gone, so that nothing is said again.
  assert [int(one.name) for one in checkpoints_in(written)] == [2]
  assert find_checkpoint(written, RUN).damage is None


def test_whatever_byte_of_what_it_says_of_itself_is_changed(written):
  file = written / "00000010" / ABOUT
  whole = file.read_bytes()
  spared = []
  for place in range(0, len(whole), 29):
    content = bytearray(whole)
    content[place] ^= 16
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    if find_checkpoint(written, RUN).damage is None:
      spared.append(place)
    else:
      write_checkpoint(written, 10, arrays(10), identity=RUN, lines=("said",))
  # Space between two words of JSON may be another space.
  assert all(whole[place : place + 1].isspace() for place in spared)


def test_two_damaged_ones_are_a_start_anew(written):
  truncate(written / "00000010")
  lose_about(written / "00000002")
  found = find_checkpoint(written, RUN)
  assert found.arrays is None and found.damage.count("is damaged") == 2
  assert found.damage.endswith("; the run started anew") and checkpoints_in(written) == []


def test_another_run_is_refused_before_files_are_read(written):
  lose(written / "00000010")
  with pytest.raises(OtherRunError, match=r"00000010 is of another run: seed is 1 there and 2 here$"):
    find_checkpoint(written, RUN | {"seed": 2})
  about = json.loads((written / "00000002" / ABOUT).read_text())
  assert about["identity"] == RUN and checkpoints_in(written)


@pytest.mark.parametrize(("damaged", "said"), [([4], "after epoch 3, was taken"), ([4, 3], "the run started anew")])
def test_a_run_says_what_was_damaged_and_returns_the_same_bits(small, tmp_path, damaged, said):
  undisturbed = ran(small, {})
  stopped(small, {}, tmp_path, every=1, pieces=4)
  for epochs in damaged:
    flip(tmp_path / f"{epochs:08d}")
  # What was said is not lost where it is stopped again.
  stopped(small, {}, tmp_path, every=1, pieces=1)
  result = ran(small, {}, checkpoint_dir=tmp_path, checkpoint_every=1)
  assert len(result.warnings) == 1 and result.warnings[0].endswith(said)
  assert_same_bits(result._replace(warnings=()), undisturbed)
  assert [int(one.name) for one in checkpoints_in(tmp_path)] == [EPOCHS, EPOCHS - 1]
