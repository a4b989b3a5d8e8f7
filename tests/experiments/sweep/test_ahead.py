"""Programs that are compiled while another cell trains."""

import threading

import pytest

from experiments.grid import expand
from experiments.sweep import ahead as module
from experiments.sweep.ahead import compiling_ahead
from experiments.sweep.materials import Materials

CELLS = expand([{}], {"attack": "none,random,label_flip", "seed": "0,1"})


@pytest.fixture
def compiled(monkeypatch):
  """The attacks that were compiled for; each waits until `go` is set, and "random" fails."""
  seen, go = [], threading.Event()

  def compile_config(config, dataset, **_):
    go.wait(10)
    seen.append((config.attack.name, dataset))
    if config.attack.name == "random":
      raise ValueError("which is said when the cell runs")

  monkeypatch.setattr(module, "compile_config", compile_config)
  return seen, go


def materials(cell):
  return Materials(f"data of {cell.flat['attack']}", None, None)


def test_the_next_structure_is_compiled_once_and_one_at_a_time(compiled):
  seen, go = compiled
  with compiling_ahead(materials, None) as ahead:
    ahead.run(CELLS[0], CELLS[1:])
    ahead.run(CELLS[1], CELLS[2:])
    assert not seen, "the first of them is still being compiled"
    go.set()
    ahead._running.result()
    ahead.run(CELLS[2], CELLS[3:])
    ahead._running.result()
    ahead.run(CELLS[3], CELLS[4:])
  assert seen == [("random", "data of random"), ("label_flip", "data of label_flip")]


def test_the_end_waits_for_what_is_compiled(compiled):
  seen, go = compiled
  threading.Timer(0.1, go.set).start()
  with compiling_ahead(materials, None) as ahead:
    ahead.run(CELLS[4], CELLS[:1])
  assert seen == [("none", "data of none")]


def test_cells_with_images_are_left_alone(compiled):
  with compiling_ahead(materials, None) as ahead:
    ahead.run(CELLS[0], expand([{}], {"model": "vncf", "images.source": "drawn"}))
  assert not compiled[0]
