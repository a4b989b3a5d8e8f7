"""Krum, MultiKrum and Bulyan as defences, against the oracle: scopes, scales, fallbacks."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.server.shared_parameters import aggregate_shared
from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import merge_rows
from tests.defenses import item_rounds, whole_rounds
from tests.defenses.item_rounds import assert_matches
from tests.oracles import aggregation, krum, whole_uploads
from tests.support.views import dense, updated

RULE = "n-f-2"


def enough(name, count, f):
  """Whether a group is large enough for a rule."""
  return f == 0 or (count > 2 * f if name in ("krum", "drop") else count >= 4 * f + 3)


def of_rows(name, rows, f, *, scale, too_few="sum", squared=True, rule=RULE):
  """A rule's result for the rows [n, d] of one group."""
  count = len(rows)
  if count == 0:
    return np.zeros(rows.shape[1])
  if not enough(name, count, f):
    if too_few == "zero":
      return np.zeros(rows.shape[1])
    mean = aggregation.mean(rows) if too_few == "sum" else aggregation.median(rows)
    return mean if scale == "mean" else count * mean
  distances = krum.pairwise(rows, squared=squared)
  if name == "krum":
    weights = krum.krum(distances, f, rule=rule)
    average, selected = weights @ rows, 1
  else:
    select = krum.multi_krum_drop if name == "drop" else krum.multi_krum_iterative
    picked = select(distances, f, rule=rule)
    average = krum.bulyan(rows, picked, f) if name == "bulyan" else rows[picked].mean(axis=0)
    selected = len(picked)
  return average * {"mean": 1, "sum": count, "selected": selected}[scale]


def constructor(name, **options):
  if name in ("iterative", "drop"):
    return defenses.multi_krum(reading=name, **options)
  return {"krum": defenses.krum, "bulyan": defenses.bulyan}[name](**options)


NAMES = ("krum", "drop", "iterative", "bulyan")


# Every combination costs seconds of compilation; what does not meet in the code varies together.
@pytest.mark.parametrize(
  ("name", "scale", "too_few"),
  [
    ("krum", "sum", "median"),
    ("krum", "mean", "sum"),
    ("drop", "mean", "zero"),
    ("iterative", "sum", "sum"),
    ("bulyan", "mean", "median"),
  ],
)
def test_items(name, scale, too_few):
  for number, f in enumerate((0.05, 0.2, 0.45)):
    defense = constructor(name, f=f, scale=scale, too_few=too_few)
    assert_matches(
      defense,
      lambda rows, f=f: of_rows(
        name, rows, math.floor(f * len(rows) + 1e-6), scale=scale, too_few=too_few
      ),
      seeds=range(2 * number, 2 * number + 2),
    )


@pytest.mark.parametrize(
  ("f", "f_rule", "malicious"), [(3.0, "number", 0), (1.0, "malicious", 5), (2.0, "malicious", 4)]
)
def test_krum_selects_even_where_most_are_distrusted(f, f_rule, malicious):
  """Spattack's published rule: items of up to f, f + 1, f + 2 and more rows each have a score."""
  distrusted = int(f * malicious) if f_rule == "malicious" else int(f)
  assert_matches(
    defenses.krum(f=f, f_rule=f_rule, distance="plain", too_few="select", scale="mean"),
    lambda rows: krum.krum(krum.pairwise(rows, squared=False), distrusted, rule="spattack") @ rows,
    malicious=malicious,
  )


def test_krum_of_two_and_three_rows_by_hand():
  """Rows 0, 1, 10: with f = 1 the scores over two neighbours are 11, 10 and 19; f = 2 leaves one."""
  rows = np.array([[0.0], [1.0], [10.0]])
  two, one = (krum.krum(krum.pairwise(rows, squared=False), f, rule="spattack") for f in (1, 2))
  assert (two.tolist(), one.tolist()) == ([0, 1, 0], [0.5, 0.5, 0])


@pytest.mark.parametrize("name", ("iterative", "bulyan"))
def test_the_sum_of_the_selected(name):
  assert_matches(
    constructor(name, f=0.2, scale="selected"),
    lambda rows: of_rows(name, rows, math.floor(0.2 * len(rows) + 1e-6), scale="selected"),
    seeds=range(20, 23),
  )


@pytest.mark.parametrize(("name", "rule"), [("krum", "n-f"), ("drop", "n-f-1"), ("iterative", "n-f")])
def test_numbers_of_neighbors(name, rule):
  assert_matches(
    constructor(name, f=3.0, f_rule="number", neighbors=rule),
    lambda rows: of_rows(name, rows, 3, scale="sum", rule=rule),
    seeds=range(30, 32),
  )


def test_plain_distances():
  # Roots are not exact: rounds of rows on a line have plain distances that are.
  for seed in range(3):
    uploads, rows = item_rounds.random_round(seed)
    on_a_line = uploads._replace(row=uploads.row.at[:, 1].set(0.0))
    stages = [
      (one.filter, one.aggregate, one.init)
      for one in (defenses.krum(f=0.2, distance="plain"), defenses.multi_krum(f=0.2, distance="plain"))
    ]
    for name, stage in zip(("krum", "iterative"), stages, strict=True):
      found = item_rounds.aggregated(stage, on_a_line, jnp.int32(item_rounds.C), jnp.int32(1000))
      for item, group in rows.items():
        line = group * [1.0, 0.0]
        f = math.floor(0.2 * len(line) + 1e-6)
        expected = of_rows(name, line, f, scale="sum", squared=False)
        np.testing.assert_allclose(found[item], expected, rtol=2e-6, atol=1e-5, err_msg=f"{seed} {item}")


@pytest.mark.parametrize("name", NAMES)
def test_absent_clients_as_zero_rows(name):
  clients = 9
  random = np.random.default_rng(5)
  defense = constructor(name, f=0.2, dense_zeros=True)
  places = jnp.asarray(random.permutation(12)[:clients], jnp.int32)
  for _ in range(4):
    sent = random.random((clients, 4)) < 0.5
    rows = random.integers(-3, 4, (clients, 4, 2)) / 8 * sent[..., None]
    item, client = np.nonzero(sent.T)
    uploads = ClientUpdates(
      # Empty places of the round lie between those of clients.
      jnp.sort(places)[client], jnp.asarray(item, jnp.int32), jnp.asarray(rows[client, item], jnp.float32)
    )
    present = jnp.zeros(12, bool).at[places].set(True)
    padding = 4 * clients - len(item)
    uploads = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, padding)] + [(0, 0)] * (leaf.ndim - 1)), uploads)
    uploads = uploads._replace(item=uploads.item.at[len(item) :].set(4))
    found = dense(updated(defense.aggregate, uploads, present, num_items=4), 4)
    for one in range(4):
      expected = of_rows(name, rows[:, one], 1, scale="sum") if sent[:, one].any() else np.zeros(2)
      np.testing.assert_allclose(found[one], expected, atol=1e-5)


def of_clients(name, one, f, *, scale, too_few, samples=None):
  """A rule's update from whole uploads, and the clients that it selected."""
  count, vectors = one.clients, one.vectors
  if not enough(name, count, f):
    kept = set(range(count)) if too_few == "sum" else set()
    total = vectors.sum(axis=0) if too_few == "sum" else np.zeros(vectors.shape[1])
    return total * (1 / count if scale == "mean" else 1), kept
  distances = whole_uploads.distances(vectors, squared=True)
  if name == "krum":
    weights = krum.krum(distances, f, rule=RULE)
    average, picked = weights @ vectors, set(np.flatnonzero(weights).tolist())
  else:
    select = krum.multi_krum_drop if name == "drop" else krum.multi_krum_iterative
    picked = set(select(distances, f, rule=RULE))
    weights = np.zeros(count)
    weights[sorted(picked)] = 1 if samples is None else samples[sorted(picked)]
    average = weights @ vectors / weights.sum()
    if name == "bulyan":
      average = whole_uploads.trimmed_mean(vectors[sorted(picked)], 2 * f, "around_median")
  return average * {"mean": 1, "sum": count, "selected": len(picked)}[scale], picked


@functools.partial(jax.jit, static_argnames="num_items")
def merged_rows(uploads, num_items):
  return merge_rows(uploads, num_items)


@pytest.mark.parametrize(
  ("name", "scale", "too_few"),
  [("krum", "sum", "zero"), ("drop", "mean", "sum"), ("iterative", "selected", "zero"), ("bulyan", "sum", "sum")],
)
def test_whole_uploads(name, scale, too_few, f=0.2):
  defense = constructor(name, scope="client", f=f, scale=scale, too_few=too_few)
  for seed in range(1, 40):
    one = whole_rounds.random_round(seed)
    if one.clients > 30 and seed > 8:
      continue  # the oracle takes a second for each
    uploads = merged_rows(jax.tree.map(jnp.asarray, one.uploads), whole_rounds.M)
    present = jnp.arange(whole_rounds.C) < one.clients
    update = updated(defense.aggregate, uploads, present, num_items=whole_rounds.M)
    found = dense(update, whole_rounds.M)
    kept = np.zeros(whole_rounds.C, bool)
    np.logical_or.at(kept, np.asarray(uploads.client), np.asarray(update.kept))
    trimmed = math.floor(f * one.clients + 1e-6)
    expected, picked = of_clients(name, one, trimmed, scale=scale, too_few=too_few)
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-5, atol=1e-4, err_msg=f"{seed}")
    senders = {client for client in range(one.clients) if kept[client]}
    assert senders <= picked
    silent = {client for client in picked if not np.any(one.vectors[client])}
    assert picked - silent <= senders


def test_survivors_are_weighted_by_their_samples():
  one = whole_rounds.random_round(4)
  samples = np.random.default_rng(0).integers(1, 99, whole_rounds.C).astype(float)
  defense = defenses.multi_krum(scope="client", reading="drop", f=0.2, scale="mean", weights="samples")
  uploads = merged_rows(jax.tree.map(jnp.asarray, one.uploads), whole_rounds.M)
  present = jnp.arange(whole_rounds.C) < one.clients
  update = updated(
    defense.aggregate, uploads, present, jnp.asarray(samples, jnp.float32), num_items=whole_rounds.M
  )
  found = dense(update, whole_rounds.M)
  trimmed = math.floor(0.2 * one.clients + 1e-6)
  expected, picked = of_clients(
    "drop", one, trimmed, scale="mean", too_few="sum", samples=samples[: one.clients]
  )
  assert 1 < len(picked) < one.clients
  np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_one_item_that_everybody_uploads_is_the_same_in_both_scopes(name):
  random = np.random.default_rng(1)
  rows = jnp.asarray(random.integers(-9, 10, (20, 3)) / 8, jnp.float32)
  uploads = ClientUpdates(jnp.arange(20, dtype=jnp.int32), jnp.zeros(20, jnp.int32), rows)
  updates = [
    updated(constructor(name, scope=scope, f=0.15).aggregate, uploads, jnp.ones(20, bool), num_items=1)
    for scope in ("item", "client")
  ]
  one, two = (dense(each, 1) for each in updates)
  np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
  assert (updates[0].kept == updates[1].kept).all()


SHARED_OPTIONS = {
  "median": (defenses.median, lambda rows: aggregation.median(rows, scale="sum")),
  "trimmed_mean": (
    lambda **options: defenses.trimmed_mean(f=0.2, **options),
    lambda rows: aggregation.trimmed_mean(rows, math.floor(0.2 * len(rows)), "extremes", scale="sum"),
  ),
  **{
    name: (
      lambda name=name, **options: constructor(name, f=0.2, **options),
      lambda rows, name=name: of_rows(name, rows, math.floor(0.2 * len(rows)), scale="sum"),
    )
    for name in NAMES
  },
}


def with_shared(random, clients, senders):
  """A round in which clients send an item row each and some of them two shared arrays."""
  sent = np.isin(np.arange(clients), senders)
  kernel = random.integers(-9, 10, (clients, 3, 2)) / 8 * sent[:, None, None]
  bias = random.integers(-9, 10, (clients, 4)) / 8 * sent[:, None]
  shared = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
  uploads = ClientUpdates(
    jnp.arange(clients, dtype=jnp.int32), jnp.zeros(clients, jnp.int32), jnp.ones((clients, 2)), shared,
    jnp.asarray(sent),
  )
  return uploads, {"kernel": kernel, "bias": bias}


@pytest.mark.parametrize("name", SHARED_OPTIONS)
def test_shared_parameters_are_treated_like_an_item_or_added_up(name):
  make, rule = SHARED_OPTIONS[name]
  present = jnp.ones(12, bool)
  for seed, senders in enumerate(([], [3], [2, 5, 7], range(11))):
    uploads, arrays = with_shared(np.random.default_rng(seed), 12, senders)
    update = updated(make().aggregate, uploads, present, num_items=1)
    added = updated(make(shared="sum").aggregate, uploads, present, num_items=1)
    for key, array in arrays.items():
      np.testing.assert_allclose(added.shared[key], array.sum(axis=0), atol=1e-5)
      rows = array[list(senders)].reshape(len(senders), math.prod(array.shape[1:]))
      expected = rule(rows).reshape(array.shape[1:])
      np.testing.assert_allclose(update.shared[key], expected, rtol=1e-5, atol=1e-5, err_msg=f"{seed} {key}")


def test_shared_parameters_are_part_of_the_whole_upload():
  # Item rows are all alike; the shared arrays alone tell the outlier.
  uploads, arrays = with_shared(np.random.default_rng(0), 12, range(12))
  arrays["bias"][4] = 100.0
  uploads = uploads._replace(shared={**uploads.shared, "bias": jnp.asarray(arrays["bias"], jnp.float32)})
  present = jnp.ones(12, bool)
  options = {"scope": "client", "f": 1.0, "f_rule": "number"}
  update = updated(constructor("drop", **options).aggregate, uploads, present, num_items=1)
  assert update.kept.tolist() == [place != 4 for place in range(12)]
  expected = np.delete(arrays["bias"], 4, axis=0).mean(axis=0) * 12
  np.testing.assert_allclose(update.shared["bias"], expected, rtol=1e-5, atol=1e-5)
  alike = updated(
    constructor("drop", shared="sum", **options).aggregate, uploads, present, num_items=1
  )
  assert bool(alike.kept[4])
  vectors = np.concatenate(
    [np.ones((12, 2)), arrays["bias"], arrays["kernel"].reshape(12, -1)], axis=1
  )
  picked = krum.multi_krum_iterative(krum.pairwise(vectors, squared=True), 1, rule=RULE)
  update = updated(constructor("bulyan", **options).aggregate, uploads, present, num_items=1)
  expected = krum.bulyan(arrays["kernel"].reshape(12, -1), picked, 1) * 12
  np.testing.assert_allclose(update.shared["kernel"].reshape(-1), expected, rtol=1e-5, atol=1e-5)


def test_models_without_shared_parameters_have_nothing_to_aggregate():
  uploads = ClientUpdates(jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), jnp.ones((1, 2)))
  assert aggregate_shared(lambda rows, count: rows[0], uploads, treatment="rule") == ()


@pytest.mark.parametrize(
  ("options", "field"),
  [
    ({"scope": "client", "dense_zeros": True}, "dense_zeros"),
    ({"scope": "client", "too_few": "median"}, "too_few"),
    ({"weights": "samples"}, "weights"),
    ({"f": 0.5}, "f"),
    ({"f": -1.0, "f_rule": "number"}, "f"),
  ],
)
def test_contradictions_are_refused(options, field):
  with pytest.raises(ValueError, match=rf"multi_krum\.{field} (must|is a share)"):
    defenses.multi_krum(**options)
