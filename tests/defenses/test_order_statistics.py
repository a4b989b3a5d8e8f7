"""Numbers of rows that a trimmed mean drops, and impossible hyperparameters."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.defenses.order_statistics import trim_count
from tests.views import defense_view

# Beyond, float32 cannot tell 0.499 * 33501 from the integer above it.
LARGEST_FEDERATION = 33_000


def view(clients, federation):
  return defense_view(
    num_items=5, num_clients=8, clients=clients, federation=jnp.int32(federation)
  )


@pytest.mark.parametrize(
  "share", ["0.01", "0.05", "0.07", "0.1", "0.14", "0.29", "0.3", "0.45", "0.499"]
)
def test_trim_count_is_exact_for_every_count(share):
  counts = np.arange(LARGEST_FEDERATION + 1)
  count = jax.jit(lambda count, f: trim_count(count, view(1, 1), "ratio_of_count", f))
  expected = [math.floor(Fraction(share) * int(one)) for one in counts]
  found = np.asarray(count(jnp.asarray(counts), float(share)))
  wrong = np.flatnonzero(found != expected)
  assert wrong.size == 0, (
    f"{wrong.size} counts, first {wrong[0]}: {found[wrong[0]]}, not {expected[wrong[0]]}"
  )


@pytest.mark.parametrize(("rule", "expected"), [("per_round", 10), ("global", 50), ("number", 0)])
def test_what_f_is_a_share_of(rule, expected):
  assert trim_count(jnp.array([3, 700]), view(200, 1000), rule, 0.05).tolist() == [expected] * 2


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"f": -0.1}, "trimmed_mean.f must not be negative"),
    ({"f": 0.5}, "trimmed_mean.f is a share and must be below 0.5"),
    ({"f": float("nan")}, "trimmed_mean.f"),
    ({"f": -1.0, "f_rule": "number"}, "trimmed_mean.f must not be negative"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    defenses.trimmed_mean(**options)


def test_a_number_may_be_large():
  assert defenses.trimmed_mean(f=47.0, f_rule="number").aggregate is not None
