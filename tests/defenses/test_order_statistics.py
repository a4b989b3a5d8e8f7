"""Order statistics with zeros that are not laid out, numbers of rows that a trimmed mean drops, and
impossible hyperparameters.
"""

import functools
import itertools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.defenses.order_statistics import (
  mean_around_median,
  median_of_sorted,
  trim_count,
  trimmed_extremes,
)
from fedrecjax.uploads.rows import merge_rows
from tests.defenses.whole_rounds import D, M, random_round, stacked, view_of
from tests.oracles import aggregation, whole_uploads
from tests.support.views import defense_view

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


@pytest.mark.parametrize(
  ("rule", "f", "expected"),
  [("per_round", 0.05, 10), ("global", 0.05, 50), ("number", 0.05, 0), ("malicious", 1.5, 10)],
)
def test_what_f_is_a_share_of(rule, f, expected):
  shown = view(200, 1000)._replace(malicious=jnp.int32(7))
  assert trim_count(jnp.array([3, 700]), shown, rule, f).tolist() == [expected] * 2


@pytest.mark.parametrize(("rule", "expected"), [("per_round", 1), ("ratio_of_count", 0)])
def test_a_share_of_clients_counts_up_and_one_of_rows_down(rule, expected):
  """1 % of 50: the server of ClusterAttack's code expects one attacker, PIECK's rules none."""
  assert trim_count(jnp.array([50]), view(50, 1000), rule, 0.01).tolist() == [expected]


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"f": -0.1}, "trimmed_mean.f must not be negative"),
    ({"f": 0.5}, "trimmed_mean.f is a share and must be below 0.5"),
    ({"f": float("nan")}, "trimmed_mean.f"),
    ({"f": -1.0, "f_rule": "number"}, "trimmed_mean.f must not be negative"),
    ({"f_rule": "malicious"}, "trimmed_mean.f is a multiple of the number of malicious clients"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    defenses.trimmed_mean(**options)


def test_a_number_may_be_large():
  assert defenses.trimmed_mean(f=47.0, f_rule="number").aggregate is not None


K, GROUPS, DIM = 16, 400, 3


def groups(seed):
  """Sorted rows with +inf beyond each group's count, the counts, and numbers of further zeros."""
  random = np.random.default_rng(seed)
  count = random.integers(0, K + 1, GROUPS)
  zeros = random.choice([0, 0, 1, 2, 3, 5, 17, 100], GROUPS)
  zeros[count == 0] += 1
  values = random.integers(-4, 5, (K, GROUPS, DIM)) / 8 + random.integers(-1, 2, (GROUPS, DIM)) / 4
  values[np.arange(K)[:, None] >= count] = np.inf
  return np.sort(values, axis=0).astype(np.float32), count, zeros


STATISTICS = {
  "median": (lambda values, count, trimmed, **zeros: median_of_sorted(values, count, **zeros)),
  "extremes": trimmed_extremes,
  "around_median": mean_around_median,
}
statistic_of = jax.jit(
  lambda name, *args, **zeros: STATISTICS[name](*args, **zeros), static_argnames="name"
)


def by_hand(name, rows, trimmed):
  if name == "median":
    return aggregation.median(rows)
  return aggregation.trimmed_mean(rows, trimmed, name)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("seed", range(3))
def test_zeros_count_as_if_they_were_rows(name, seed):
  values, count, zeros = groups(seed)
  total = count + zeros
  most = (total - 1) // 2 if name == "extremes" else total - 1
  trimmed = np.random.default_rng(seed).integers(0, most + 1)
  found = statistic_of(name, *map(jnp.asarray, (values, count, trimmed)), zeros=jnp.asarray(zeros))
  for group in range(GROUPS):
    rows = np.concatenate([values[: count[group], group], np.zeros((zeros[group], DIM))])
    expected = by_hand(name, rows.astype(np.float64), int(trimmed[group]))
    np.testing.assert_allclose(found[group], expected, rtol=2e-6, err_msg=f"group {group}")


@pytest.mark.parametrize("name", STATISTICS)
def test_no_zeros_and_none_are_the_same(name):
  values, count, _ = groups(9)
  count = np.maximum(count, 1)
  values[0][np.isinf(values[0])] = 0.5
  trimmed = (count - 1) // 2
  args = tuple(map(jnp.asarray, (values, count, trimmed)))
  without = statistic_of(name, *args)
  np.testing.assert_array_equal(statistic_of(name, *args, zeros=jnp.zeros_like(args[1])), without)
  assert np.isfinite(without).all()


@pytest.mark.parametrize("zeros", [1, 2, 1_000_000])
def test_any_number_of_zeros(zeros):
  # -3 -2 [0 ...] 5: without the extremes, or without the two values furthest from the median (-1
  # for a single zero, else 0), -2 and the zeros are left.
  values, count = jnp.array([-3.0, -2.0, 5.0, np.inf])[:, None, None], jnp.array([3])
  more = jnp.array([zeros])
  assert float(median_of_sorted(values, count, zeros=more)[0, 0]) == (-1.0 if zeros == 1 else 0.0)
  left = pytest.approx(-2 / (1 + zeros))
  assert float(trimmed_extremes(values, count, jnp.array([1]), zeros=more)[0, 0]) == left
  assert float(mean_around_median(values, count, jnp.array([2]), zeros=more)[0, 0]) == left


WHOLE = {
  "median": (defenses.median, {}),
  "median mean": (defenses.median, {"scale": "mean"}),
  **{
    f"{reading} {f_rule}": (
      defenses.trimmed_mean,
      {"reading": reading, "f_rule": f_rule, "too_few": too_few, "scale": scale},
    )
    for reading, (f_rule, too_few, scale) in itertools.product(
      ("extremes", "around_median"),
      (
        ("ratio_of_count", "median", "sum"),
        ("number", "zero", "mean"),
        ("per_round", "median", "mean"),
        ("global", "median", "sum"),
      ),
    )
  },
}
SHARES = [0.0, 0.05, 0.25, 0.29, 0.45]
F_OF_RULE = {
  "ratio_of_count": SHARES,
  "per_round": SHARES,
  "global": [0.0, 0.001, 0.004, 0.049, 0.45],
  "number": [0.0, 1.0, 2.9, 40.0, 80.0],
}
BATCH = 100


@functools.cache
def aggregated(name, **scope):
  """A function from uploads, clients and f of several rounds to their updates `[rounds, M * D]`."""
  constructor, options = WHOLE[name]

  def one_round(argument):
    uploads, clients, f = argument
    numbers = {} if constructor is defenses.median else {"f": f}
    defense = constructor(**options, **numbers, **scope)
    rows = defense.aggregate((), merge_rows(uploads, M), view_of(clients))[0].items
    return jnp.zeros((M, D)).at[rows.item].add(rows.row, mode="drop").reshape(-1)

  return jax.jit(functools.partial(jax.lax.map, one_round))


def expected_update(name, one, f):
  """The oracle's update for one round."""
  options = WHOLE[name][1]
  scale = one.clients if options.get("scale", "sum") == "sum" else 1
  if "f_rule" not in options:
    return scale * whole_uploads.median(one.vectors)
  base = {"global": 1000, "number": 1}.get(options["f_rule"], one.clients)
  trimmed = aggregation.distrusted(f, base, options["f_rule"])
  reading, too_few = options["reading"], options["too_few"]
  return scale * whole_uploads.trimmed_mean(one.vectors, trimmed, reading, too_few=too_few)


# A thousand rounds for the median and for either reading of the trimmed mean.
BATCHES = {"median": 10, "median mean": 1, "ratio_of_count": 4, "number": 4}


@pytest.mark.parametrize(
  ("name", "batch"),
  [
    (name, batch)
    for name in WHOLE
    for batch in range(BATCHES.get(name, BATCHES.get(name.split()[-1], 1)))
  ],
)
def test_scope_client_is_the_rule_over_whole_uploads(name, batch):
  rounds = [
    random_round(seed) if seed % 50 else random_round(seed, clients=0)
    for seed in range(batch * BATCH, (batch + 1) * BATCH)
  ]
  choices = F_OF_RULE[WHOLE[name][1].get("f_rule", "number")]
  fs = [choices[number % len(choices)] for number in range(BATCH)]
  clients = jnp.array([one.clients for one in rounds], jnp.int32)
  found = aggregated(name, scope="client")((stacked(rounds), clients, jnp.array(fs)))
  for number, (one, f) in enumerate(zip(rounds, fs, strict=True)):
    expected = expected_update(name, one, f)
    np.testing.assert_allclose(
      found[number], expected, rtol=2e-6, atol=1e-6, err_msg=f"round {batch * BATCH + number}"
    )


@pytest.mark.parametrize("name", ["median", "extremes ratio_of_count"])
def test_dense_zeros_is_the_same_as_scope_client(name):
  rounds = [random_round(seed) for seed in range(BATCH)]
  clients = jnp.array([one.clients for one in rounds], jnp.int32)
  args = (stacked(rounds), clients, jnp.full(BATCH, 0.25))
  whole = np.asarray(aggregated(name, scope="client")(args))
  np.testing.assert_array_equal(aggregated(name, dense_zeros=True)(args), whole)
  # A check of the check: without the zeros the update is another one.
  assert (np.asarray(aggregated(name)(args)) != whole).any(axis=1).mean() > 0.3
