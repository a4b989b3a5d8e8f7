"""Compiled programs, each made once per process, and how long that took."""

from __future__ import annotations

import collections
import threading
import time
from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.simulation.image_step import ImageStructure
from fedrecjax.simulation.memory import check_program
from fedrecjax.simulation.records import Structure

PROGRAMS: dict[Any, Any] = {}
# Programs may be compiled ahead, in a thread of their own: who needs one that is being compiled waits for it.
_MAKING: collections.defaultdict[Any, threading.Lock] = collections.defaultdict(threading.Lock)
_WORK = {"train_rounds": "training", "evaluate": "evaluation", "upload_images": "the upload of images"}


def compiled_program(function: Any, *arguments: Any, **static: Any) -> tuple[Any, float]:
  """A jitted function compiled for arguments of these shapes, once per process, and the seconds that this took.

  Calling the jitted function would do the same, but could not tell compile time from run time.

  Args:
    function: jitted; arguments that are structures are static in it.
    *arguments: as for a call.
    **static: likewise, hashable.

  Returns:
    The program, called with the arguments that are no structures, and seconds, also those of waiting for another
    thread that compiles it; 0 if it was there.

  Raises:
    ConfigError: if the program would need more memory than there is.
  """
  structure = [one for one in arguments if isinstance(one, (Structure, ImageStructure))]
  leaves, tree = jax.tree.flatten([one for one in arguments if not isinstance(one, (Structure, ImageStructure))])
  types = tuple(jax.typeof(leaf) for leaf in leaves)
  # Functions that somebody brings along may compute in other types where 64-bit numbers are enabled.
  key = (function, *structure, tree, types, tuple(static.items()), jnp.result_type(float))
  if key in PROGRAMS:
    return PROGRAMS[key], 0.0
  started = time.perf_counter()
  with _MAKING[key]:
    program = PROGRAMS.get(key)
    try:
      if program is None:
        program = function.lower(*arguments, **static).compile()
        check_program(_WORK.get(function.__name__, function.__name__), program)
        PROGRAMS[key] = program
    finally:
      # A key holds what methods close over; it goes where its program goes.
      _MAKING.pop(key, None)
  return program, time.perf_counter() - started
