"""Fang and the targeted lie: rows from statistics, against the oracle; and what all four attacks have in common."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import explicit_boosting, fang, gaussian, lie, lie_targeted
from fedrecjax.attacks.untargeted.fang import deviation_interval, extreme_interval
from fedrecjax.attacks.untargeted.fang_krum import farthest_selected
from fedrecjax.attacks.untargeted.row_statistics import item_statistics
from tests.attacks.untargeted.crafted import (
  CONSTRUCTORS,
  KEY,
  POOL,
  assert_rows,
  assert_shared,
  knowledge_of,
  many,
  own_rows,
  sent_by,
)
from tests.attacks.untargeted.crafted_views import (
  ATTACKERS,
  C,
  D,
  M,
  as_uploads,
  context_of,
  flat,
  rows_sent,
  run_poison,
  view_of,
)
from tests.oracles import crafted


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("sample", [False, True])
def test_intervals_of_fang(sample, zeros):
  _, rows, _ = knowledge_of("own")
  merged = view_of(pool=as_uploads(rows)).pool
  members = jnp.int32(len(POOL)) if zeros else None
  statistics = item_statistics(merged, M, members=members, spread="sample" if sample else "population")
  partial = np.sort(deviation_interval(statistics, nearest=3.0, farthest=4.0), axis=0)
  full = np.sort(extreme_interval(statistics, 2.0), axis=0)
  for item, of_item in crafted.rows_by_item(rows, zeros=zeros).items():
    np.testing.assert_allclose(
      partial[:, item], crafted.partial_interval(of_item, 3.0, 4.0, sample=sample), atol=5e-5
    )
    np.testing.assert_allclose(full[:, item], crafted.full_interval(of_item, 2.0), atol=1e-5)



@pytest.mark.parametrize(
  "column", [[1, 3], [-1, 3], [1, -3], [-1, -3], [0, 3], [0, -3], [-2, 2], [0, 0]], ids=str
)
def test_intervals_of_fang_at_every_sign(column):
  rows = [(client, 0, np.full(D, value, np.float32)) for client, value in enumerate(column)]
  statistics = item_statistics(view_of(pool=as_uploads(rows)).pool, M)
  of_item = np.array(column, float)[:, None]
  for found, expected in (
    (extreme_interval(statistics, 2.0), crafted.full_interval(of_item, 2.0)),
    (
      deviation_interval(statistics, nearest=3.0, farthest=4.0),
      crafted.partial_interval(of_item, 3.0, 4.0),
    ),
  ):
    np.testing.assert_allclose(np.sort(found, axis=0)[:, 0, 0], np.ravel(expected), atol=1e-6)



@pytest.mark.parametrize("draws", ["each", "together"])
@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_fang_draws_from_its_intervals(knowledge, draws):
  known, rows, vectors = knowledge_of(knowledge, network=True)
  view = view_of(**known, network=True)
  attack = fang(knowledge=knowledge, pool=5, draws=draws)
  drawn, uploads = many(attack, view, times=1000)
  shares = {}
  for place in np.flatnonzero(np.asarray(uploads.item) < M):
    of_item = crafted.rows_by_item(rows)[int(uploads.item[place])]
    if knowledge == "own":
      low, high = crafted.partial_interval(of_item, 3.0, 4.0)
    else:
      low, high = crafted.full_interval(of_item, 2.0)
    assert (drawn[:, place] >= low - 1e-4).all() and (drawn[:, place] <= high + 1e-4).all()
    if (high - low > 1e-3).all():
      share = (drawn[:, place] - low) / (high - low)
      assert np.abs(share.mean(axis=0) - 0.5).max() < 0.06
      assert share.min() < 0.05 and share.max() > 0.95
      shares[int(uploads.client[place]), int(uploads.item[place])] = share
  assert len(shares) > 6
  slots = sorted(ATTACKERS)
  item = next(item for slot, item in shares if slot == slots[0])
  same = np.abs(shares[slots[0], item] - shares[slots[1], item]).max()
  assert same == 0 if draws == "together" else same > 0.5
  interval = (
    crafted.partial_interval(vectors, 3.0, 4.0)
    if knowledge == "own" else crafted.full_interval(vectors, 2.0)
  )
  sent = flat(uploads.shared)[slots]
  assert (sent >= interval[0] - 1e-4).all() and (sent <= interval[1] + 1e-4).all()
  assert (np.ptp(sent, axis=0).max() == 0) == (draws == "together")



@pytest.mark.parametrize("center", ["received", "mean"])
@pytest.mark.parametrize("copies", [1, 2, 5])
@pytest.mark.parametrize("threshold", [1e-5, 0.4])
def test_the_farthest_row_that_krum_selects(threshold, copies, center):
  random = np.random.default_rng(copies)
  counts = np.array([0, 1, 2, 3, 4, 6, 9, 9])
  rows = random.normal(0.2, 1.0, (9, len(counts), 4)).astype(np.float32)
  # One item with equal rows, one with an outlier.
  rows[:, 5] = rows[0, 5]
  rows[8, 7] *= 30
  rows[np.arange(9)[:, None] >= counts] = np.inf
  found, lengths = jax.jit(farthest_selected, static_argnames="center")(
    rows, counts, copies, threshold=threshold, center=center
  )
  tried = set()
  for item, count in enumerate(counts):
    if count:
      row, length = crafted.against_krum(
        rows[:count, item].astype(float), copies, threshold=threshold, from_mean=center == "mean"
      )
      tried.add(length >= threshold)
      np.testing.assert_allclose(lengths[item], length, rtol=1e-5, atol=1e-6)
      np.testing.assert_allclose(found[item], row, atol=1e-5)
  # A lone copy is seldom nearer to its nearest row than that row is to it.
  assert copies == 1 or True in tried



@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_fang_against_krum(knowledge):
  known, rows, vectors = knowledge_of(knowledge, network=True)
  attack = fang(version="krum", knowledge=knowledge, pool=5)
  found, uploads = sent_by(attack, view_of(**known, network=True), own_rows())
  expected = {
    item: crafted.against_krum(of_item, 3, threshold=1e-5)[0]
    for item, of_item in crafted.rows_by_item(rows).items()
  }
  assert_rows(found, {slot: expected for slot in ATTACKERS})
  ends = np.cumsum([0, *(leaf[0].size for leaf in jax.tree.leaves(uploads.shared))])
  arrays = [
    crafted.against_krum(vectors[:, first:end], 3, threshold=1e-5)[0]
    for first, end in itertools.pairwise(ends)
  ]
  assert_shared(uploads, np.concatenate(arrays))



def test_fang_against_krum_sends_own_items():
  known, rows, _ = knowledge_of("own")
  own = own_rows()
  found, _ = sent_by(fang(version="krum", items="own", pool=5), view_of(**known), own)
  assert {(slot, item) for slot, of in found.items() for item in of} == {one[:2] for one in own}
  np.testing.assert_array_equal(found[9][M - 1], [1, 2, 3])
  of_item = crafted.rows_by_item(rows)
  for slot, of in found.items():
    for item in set(of) - {M - 1}:
      expected = crafted.against_krum(of_item[item], 3, threshold=1e-5)[0]
      np.testing.assert_allclose(of[item], expected, atol=1e-5, err_msg=f"{slot}, {item}")



TARGETS = [4, M - 1, 2]
@pytest.mark.parametrize("untouched", ["overall", "free", "silent"])
@pytest.mark.parametrize("items", ["targets", "known"])
@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_targeted_lie(knowledge, items, untouched):
  known, rows, vectors = knowledge_of(knowledge, network=True)
  attack = lie_targeted(
    z=0.2, init_std=0.9, items=items, untouched=untouched, knowledge=knowledge, pool=5
  )
  free = explicit_boosting(init_std=0.9)
  key = jax.random.key(3)
  state = attack.init(key, context_of(TARGETS))
  view = view_of(**known, network=True, targets=TARGETS)
  wanted, moved = run_poison(free.poison, free.init(key, context_of(TARGETS)), None, view, key)
  uploads, after = run_poison(attack.poison, state, as_uploads(own_rows()), view, key)
  np.testing.assert_array_equal(after.users, moved.users)
  assert (np.asarray(after.users) != np.asarray(state.users)).any()
  statistics = crafted.rows_by_item(rows)
  # A client's rows for one item count once.
  everything = np.concatenate(list(statistics.values()))
  expected, changed = {}, 0
  for slot, of in rows_sent(wanted).items():
    expected[slot] = {}
    for item, row in of.items():
      if item in statistics:
        expected[slot][item] = crafted.clipped(row, statistics[item], 0.2)
        changed += (expected[slot][item] != row).any()
      elif untouched != "silent":
        expected[slot][item] = (
          row if untouched == "free" else crafted.clipped(row, everything, 0.2)
        )
    if items == "known":
      for item in set(statistics) - set(TARGETS):
        expected[slot][item] = crafted.clipped(np.zeros(D), statistics[item], 0.2)
  assert changed > 0 and len(expected) == 3
  assert_rows(rows_sent(uploads), expected)
  assert np.flatnonzero(uploads.sent).tolist() == sorted(ATTACKERS)
  for slot in range(C):
    sent = 0.0
    if slot in ATTACKERS:
      sent = crafted.clipped(flat(wanted.shared)[slot], vectors, 0.2)
    np.testing.assert_allclose(flat(uploads.shared)[slot], sent, atol=2e-5)



CASES = [(name, {}) for name in CONSTRUCTORS] + [("fang", {"version": "krum"})]
OTHER_ITEMS = [("gaussian", {"items": "known"}), ("lie", {"items": "own"}), ("fang", {"items": "own"})]
# Each version with one kind of knowledge, the plain ones with both.
NOBODY = [
  *((name, {}, knowledge) for name in CONSTRUCTORS for knowledge in ("own", "benign")),
  ("fang", {"version": "krum"}, "benign"), *((name, options, "own") for name, options in OTHER_ITEMS),
]


@pytest.mark.parametrize(("name", "options", "knowledge"), NOBODY, ids=str)
def test_nobody_attacks(name, options, knowledge):
  attack = CONSTRUCTORS[name](knowledge=knowledge, pool=5, **options)
  known, _, _ = knowledge_of(knowledge, network=True)
  state = attack.init(KEY, context_of())
  view = view_of(**known, network=True, active=np.zeros(4, bool))
  uploads, after = run_poison(attack.poison, state, as_uploads([]), view, KEY)
  assert (np.asarray(uploads.item) == M).all() and not np.asarray(uploads.sent).any()
  assert not flat(uploads.shared).any()
  chex.assert_trees_all_equal(state, after)



@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.parametrize("clients", [[], [2]], ids=str)
def test_little_or_nothing_is_known(clients, name, options):
  known, rows, _ = knowledge_of("own", clients=clients)
  attack = CONSTRUCTORS[name](pool=5, **options)
  state = attack.init(KEY, context_of())
  uploads, _ = run_poison(attack.poison, state, as_uploads(own_rows()), view_of(**known), KEY)
  assert np.isfinite(uploads.row).all()
  if name in ("lie", "fang") and not options:
    # The mean of one row is that row, without deviation.
    expected = {item: of_item[0] for item, of_item in crafted.rows_by_item(rows).items()}
    assert_rows(rows_sent(uploads), {slot: expected for slot in ATTACKERS})



@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_what_is_granted(name):
  own, benign = (CONSTRUCTORS[name](knowledge=one) for one in ("own", "benign"))
  assert (own.requires, own.pool) == ({"own_data"}, 50)
  assert (benign.requires, benign.pool) == ({"own_data", "benign_uploads"}, 0)



@pytest.mark.parametrize(
  ("build", "options", "message"),
  [
    (gaussian, {"pool": 0}, "gaussian.pool must be positive"),
    (lie, {"pool": -1}, "lie.pool must be positive"),
    (lie, {"z": -0.1}, "lie.z must not be negative"),
    (fang, {"nearest": -1.0}, "fang.nearest must not be negative"),
    (fang, {"farthest": 2.0}, "fang.farthest must be at least fang.nearest"),
    (fang, {"factor": 1.0}, "fang.factor must be above 1"),
    (fang, {"threshold": 0.0}, "fang.threshold must be positive"),
    (fang, {"version": "krum", "absent": "zeros"}, "fang.absent must be skipped"),
    (lie_targeted, {"z": -1.0}, "lie_targeted.z must not be negative"),
    (lie_targeted, {"init_std": 0.0}, "lie_targeted.init_std must be positive"),
  ],
)
def test_impossible_numbers_are_named(build, options, message):
  with pytest.raises(ValueError, match=message):
    build(**options)



