"""The Gaussian attack, LIE, Fang's attacks and the targeted LIE against the oracle, on rounds by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import explicit_boosting, fang, gaussian, lie, lie_targeted
from fedrecjax.attacks.fang import deviation_interval, extreme_interval
from fedrecjax.attacks.fang_krum import farthest_selected
from fedrecjax.attacks.gaussian import gaussian_row
from fedrecjax.attacks.lie import largest_z
from fedrecjax.attacks.row_statistics import item_statistics
from tests.attacks.crafted_views import (
  ATTACKERS,
  C,
  D,
  M,
  as_uploads,
  context_of,
  drawn_rows,
  flat,
  rows_sent,
  run_poison,
  shared_of,
  view_of,
)
from tests.oracles import crafted

POOL = [0, 1, 2, 3, 4]
BENIGN = [1, 2, 3, 5, 7, 8, 11, 13, 19]
KEY = jax.random.key(5)
CONSTRUCTORS = {"gaussian": gaussian, "lie": lie, "fang": fang, "lie_targeted": lie_targeted}


def knowledge_of(knowledge, seed=0, *, clients=None, network=False):
  """What is known, for `view_of` and for the oracle, whose shared rows are vectors."""
  clients = clients if clients is not None else POOL if knowledge == "own" else BENIGN
  rows = drawn_rows(seed, clients)
  places = len(POOL) if knowledge == "own" else C
  shared, sent = (), None
  vectors = None
  if network:
    sent = np.isin(np.arange(places), clients)
    shared = shared_of(seed + 1, places, sent)
    vectors, sent = flat(shared)[sent], jnp.asarray(sent)
  uploads = as_uploads(rows, shared=shared, sent=sent)
  return {"pool" if knowledge == "own" else "benign": uploads}, rows, vectors


def own_rows(seed=30):
  """What the three attackers would send; item M - 1, which nobody else sends, among it."""
  rows = drawn_rows(seed, sorted(ATTACKERS), size=4)
  return [*rows, (9, M - 1, np.array([1.0, 2.0, 3.0], np.float32))]


def sent_by(attack, view, own=(), key=KEY):
  uploads, state = run_poison(attack.poison, (), as_uploads(list(own)), view, key)
  assert state == ()
  return rows_sent(uploads), uploads


def assert_rows(found, expected):
  assert {slot: sorted(rows) for slot, rows in found.items()} == {
    slot: sorted(rows) for slot, rows in expected.items() if rows
  }
  for slot, rows in expected.items():
    for item, row in rows.items():
      np.testing.assert_allclose(found[slot][item], row, atol=2e-5, err_msg=f"{slot}, {item}")


def assert_shared(uploads, expected):
  """All attackers send `expected`, a vector; nobody else sends anything."""
  assert np.flatnonzero(uploads.sent).tolist() == sorted(ATTACKERS)
  found = flat(uploads.shared)
  for slot in range(C):
    wanted = expected if slot in ATTACKERS else 0.0
    np.testing.assert_allclose(found[slot], wanted, atol=2e-5)


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("direction", ["minus", "plus", "against"])
@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_lie(knowledge, direction, zeros, sample):
  network = not zeros
  known, rows, vectors = knowledge_of(knowledge, network=network)
  attack = lie(
    z=0.7, direction=direction, knowledge=knowledge, pool=5, absent="zeros" if zeros else "skipped",
    spread="sample" if sample else "population",
  )
  found, uploads = sent_by(attack, view_of(**known, network=network))
  expected = {
    item: crafted.lie_row(of_item, 0.7, direction, sample=sample)
    for item, of_item in crafted.rows_by_item(rows, zeros=zeros).items()
  }
  assert M - 1 not in expected and len(expected) > 5
  assert_rows(found, {slot: expected for slot in ATTACKERS})
  if network:
    assert_shared(uploads, crafted.lie_row(vectors, 0.7, direction, sample=sample))
  else:
    assert uploads.sent is None and uploads.shared == ()


@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_lie_sends_own_items_or_what_it_would_send_where_nothing_is_known(knowledge):
  known, rows, _ = knowledge_of(knowledge)
  own = own_rows()
  found, _ = sent_by(lie(z=0.7, items="own", knowledge=knowledge, pool=5), view_of(**known), own)
  statistics = crafted.rows_by_item(rows)
  expected = {slot: {} for slot in ATTACKERS}
  for item, slot in {(item, slot) for slot, item, _ in own}:
    honest = crafted.rows_by_item([one for one in own if one[0] == slot])[item][0]
    of_item = statistics.get(item)
    expected[slot][item] = honest if of_item is None else crafted.lie_row(of_item, 0.7, "minus")
  np.testing.assert_array_equal(expected[9][M - 1], [1, 2, 3])
  assert_rows(found, expected)


@pytest.mark.parametrize("counted", ["item", "round"])
@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_lie_with_the_largest_z(knowledge, counted):
  known, rows, _ = knowledge_of(knowledge)
  attack = lie(z=0.4, z_rule="max", counted=counted, knowledge=knowledge, pool=5, direction="plus")
  found, _ = sent_by(attack, view_of(**known))
  expected, used = {}, set()
  for item, of_item in crafted.rows_by_item(rows).items():
    honest = len(of_item)
    if knowledge == "own":
      # Of the 17 places that do not attack, as large a share as of the pool.
      honest = round(len(of_item) / len(POOL) * (C - 3))
    z = crafted.largest_z(C if counted == "round" else honest + 3, 3, 0.4)
    used.add(z)
    expected[item] = crafted.lie_row(of_item, z, "plus")
  assert len(used) == 1 if counted == "round" else len(used) > 2
  assert_rows(found, {slot: expected for slot in ATTACKERS})


@pytest.mark.parametrize("malicious", range(8))
def test_largest_z(malicious):
  for clients in range(malicious, 60):
    expected = crafted.largest_z(clients, malicious, 2.5)
    found = largest_z(jnp.float32(clients), jnp.float32(malicious), 2.5)
    assert float(found) == pytest.approx(expected, abs=1e-4)


def test_the_side_of_lie_does_not_matter_in_matrix_factorization():
  # With all vectors' signs turned, gradients turn, and "minus" sends what "plus" sent, turned.
  known, rows, _ = knowledge_of("own")
  turned = as_uploads([(client, item, -row) for client, item, row in rows])
  minus, _ = sent_by(lie(pool=5), view_of(**known))
  plus, _ = sent_by(lie(pool=5, direction="plus"), view_of(pool=turned))
  assert_rows(minus, {slot: {item: -row for item, row in of.items()} for slot, of in plus.items()})


def many(attack, view, own=(), times=4000):
  """Rows [times, A * items, d] of many rounds, with the uploads of the first."""
  uploads = as_uploads(list(own))
  keys = jax.random.split(KEY, times)

  @jax.jit
  def rounds(poison, view, keys):
    view = view._replace(num_clients=C)
    return jax.vmap(lambda key: poison((), uploads, view, key)[0].row)(keys)

  return np.asarray(rounds(attack.poison, view, keys), float), sent_by(attack, view, own)[1]


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("knowledge", ["own", "benign"])
@pytest.mark.parametrize("items", ["own", "known"])
def test_gaussian_draws_from_the_distribution(items, knowledge, zeros):
  known, rows, _ = knowledge_of(knowledge)
  own = own_rows()
  attack = gaussian(
    items=items, knowledge=knowledge, pool=5, absent="zeros" if zeros else "skipped"
  )
  drawn, uploads = many(attack, view_of(**known), own)
  statistics = crafted.rows_by_item(rows, zeros=zeros)
  used = np.flatnonzero(np.asarray(uploads.item) < M)
  pairs = {(int(uploads.client[place]), int(uploads.item[place])): place for place in used}
  wanted = {(slot, item) for slot, item, _ in own}
  if items == "known":
    wanted = {(slot, item) for slot in ATTACKERS for item in statistics}
  assert set(pairs) == wanted and len(used) == len(wanted)
  some = 0
  for (_, item), place in pairs.items():
    if item == M - 1:
      np.testing.assert_array_equal(drawn[:, place], np.tile([1, 2, 3], (4000, 1)))
      continue
    mean, deviation = crafted.mean_and_deviation(statistics[item])
    error = np.abs(drawn[:, place].mean(axis=0) - mean)
    assert (error <= 6 * deviation / 4000**0.5 + 1e-5).all()
    np.testing.assert_allclose(drawn[:, place].std(axis=0), deviation, rtol=0.08, atol=1e-5)
    if (deviation > 1e-3).all():
      some += 1
      normal = (drawn[:, place] - mean) / deviation
      # Kurtosis of a normal distribution, and no two coordinates alike.
      assert np.abs((normal**4).mean(axis=0) - 3).max() < 0.8
      assert np.abs(np.corrcoef(normal.T) - np.eye(D)).max() < 0.1
  assert some > 3
  if items == "known":
    first, second = (drawn[:, pairs[slot, 1]] for slot in (4, 9))
    correlation = np.corrcoef(first[:, 0], second[:, 0])[0, 1]
    assert abs(correlation) < 0.1


def test_gaussian_rows_and_shared_gradients():
  known, rows, vectors = knowledge_of("own", network=True)
  view = view_of(**known, network=True)
  found = [sent_by(gaussian(pool=5, items="known"), view, key=jax.random.key(n))[1] for n in range(2)]
  assert np.flatnonzero(found[0].sent).tolist() == sorted(ATTACKERS)
  mean, deviation = crafted.mean_and_deviation(vectors)
  normal = [(flat(one.shared)[sorted(ATTACKERS)] - mean) / deviation for one in found]
  # Three attackers and two rounds, all different.
  correlation = np.corrcoef(np.concatenate(normal))
  assert np.abs(correlation - np.eye(6)).max() < 0.6 and normal[0].size > 100
  assert abs(np.mean(normal)) < 0.3 and abs(np.std(normal) - 1) < 0.2
  statistics = item_statistics(view.pool, M)
  draws = np.random.default_rng(0).normal(size=(M, D))
  made = gaussian_row(statistics, draws)
  for item, of_item in crafted.rows_by_item(rows).items():
    mean, deviation = crafted.mean_and_deviation(of_item)
    np.testing.assert_allclose(made[item], mean + deviation * draws[item], atol=1e-5)


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


@pytest.mark.parametrize("knowledge", ["own", "benign"])
@pytest.mark.parametrize(("name", "options"), CASES + OTHER_ITEMS, ids=str)
def test_nobody_attacks(name, options, knowledge):
  attack = CONSTRUCTORS[name](knowledge=knowledge, pool=5, **options)
  known, _, _ = knowledge_of(knowledge, network=True)
  state = attack.init(KEY, context_of())
  view = view_of(**known, network=True, active=np.zeros(4, bool))
  uploads, after = run_poison(attack.poison, state, as_uploads([]), view, KEY)
  assert (np.asarray(uploads.item) == M).all() and not np.asarray(uploads.sent).any()
  assert not flat(uploads.shared).any()
  for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
    np.testing.assert_array_equal(one, two)


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
