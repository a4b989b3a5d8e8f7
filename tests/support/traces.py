"""Whether jitted functions are traced again.

`chex.assert_max_traces` counts how often JAX calls a plain function, so it must stand between that
function and `jax.jit`. Functions that the package offers plain and jitted are jitted here again,
around the counter. What a decorator has jitted inside the package cannot be counted so; there the
cache of programs must not have grown.
"""

import contextlib

import chex
import jax

from fedrecjax.simulation import evaluation_points, runner
from fedrecjax.simulation.evaluation import evaluate
from fedrecjax.simulation.round import train_rounds


def at_most_one_trace(monkeypatch):
  """Makes runs fail that trace training or evaluation a second time in this test."""
  chex.clear_trace_counter()
  rounds, measure = (chex.assert_max_traces(function, n=1) for function in (train_rounds, evaluate))
  monkeypatch.setattr(
    runner, "jitted_rounds", jax.jit(rounds, static_argnames="structure", donate_argnames="state")
  )
  monkeypatch.setattr(
    evaluation_points, "jitted_evaluation", jax.jit(measure, static_argnames=("config", "num_users"))
  )


@contextlib.contextmanager
def no_new_trace(jitted):
  """Fails if what is called within traces a jitted function again."""
  before = jitted._cache_size()
  assert before > 0
  yield
  assert jitted._cache_size() == before
