"""Programs of a run, compiled before it and apart from it."""

import threading
import time

import jax
import pytest

from fedrecjax.config import from_flat
from fedrecjax.simulation.programs import PROGRAMS, compiled_program
from fedrecjax.simulation.runner import compile_config, simulate_config


@pytest.mark.parametrize(("fields", "every"), [({"train.epochs": 5, "eval.every": 2}, None),
                                               ({"train.epochs": 4, "eval.every": 4}, 3)])
def test_a_run_compiles_nothing_that_was_compiled_for_it(small, tmp_path, fields, every):
  config = from_flat({"mf.dim": 4, "train.clients_per_round": 4, "attack": "label_flip", "eval.ks": [5],
                      "attacker.malicious_ratio": 0.2, "attacker.own_items": 6} | fields)
  assert compile_config(config, small, checkpoint_every=every) > 0
  known = dict(PROGRAMS)
  options = {} if every is None else {"checkpoint_dir": tmp_path, "checkpoint_every": every}
  assert simulate_config(config, small, **options).compile_s == 0
  assert known == PROGRAMS


def test_who_needs_a_program_that_is_being_compiled_waits_for_it():
  traced, go = [], threading.Event()

  @jax.jit
  def twice(number):
    traced.append(number)
    go.wait(10)
    return 2 * number

  found = []
  threads = [threading.Thread(target=lambda: found.append(compiled_program(twice, 1.0))) for _ in range(3)]
  for thread in threads:
    thread.start()
  time.sleep(0.1)
  go.set()
  for thread in threads:
    thread.join()
  assert len(traced) == 1 and len({id(program) for program, _ in found}) == 1
  assert all(seconds >= 0.1 for _, seconds in found)
