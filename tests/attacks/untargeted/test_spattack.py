"""Spattack: what malicious clients upload, against the oracle, and how their lists are drawn."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.attacks import spattack_ld, spattack_ls, spattack_od, spattack_os
from fedrecjax.attacks.untargeted.spattack_uploads import most_items, sampled_items
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.datasets import ItemLists
from fedrecjax.models import mf
from fedrecjax.types import AttackContext, AttackView, ClientUpdates, Public
from fedrecjax.uploads.rows import no_uploads
from tests.oracles import spattack as oracle
from tests.support.lockstep import make_run, simulated

M, D, C, MALICIOUS = 9, 2, 12, 3
# Clients 0, 2 and 1 in the round; the second place is empty.
CLIENTS = np.array([0, MALICIOUS, 2, 1])
SLOTS = np.array([4, 0, 9, 6])
POPULARITY = np.array([5, 1, 0, 9, 2, 2, 7, 1, 4])
INTERACTIONS = ItemLists.from_lists([[3, 0, 6], [3, 6, 8, 0, 4], [1]])
NOBODY = np.full(4, MALICIOUS)


@jax.jit
def run_poison(poison, state, uploads, view, key):
  # The number of clients is static.
  return poison(state, uploads, view._replace(num_clients=C), key)


def records_of(seed, clients=(1, 2, 3, 5), shared=False, capacity=50):
  """Uploads with repeats of a client's items and unused places, and as the oracle has them."""
  random = np.random.default_rng(seed)
  records = [
    (client, int(item), random.normal(size=D).astype(np.float32))
    for client in clients
    for item in random.choice(M, random.integers(2, 12))
  ]
  client, item = np.full(capacity, clients[-1], np.int32), np.full(capacity, M, np.int32)
  row = np.full((capacity, D), 77.0, np.float32)
  # The first places are unused: what is used must not be counted on.
  for place, (by, one, value) in enumerate(records, 2):
    client[place], item[place], row[place] = by, one, value
  uploads = ClientUpdates(jnp.asarray(client), jnp.asarray(item), jnp.asarray(row))
  if shared:
    taking_part = np.isin(np.arange(C), clients)
    kernel = np.where(taking_part[:, None, None], random.normal(size=(C, 2, 3)), 0.0)
    uploads = uploads._replace(
      shared={"kernel": jnp.asarray(kernel, jnp.float32)}, sent=jnp.asarray(taking_part)
    )
  return uploads, records


def view_of(benign, clients=CLIENTS, shared=()):
  return AttackView(
    Public(jnp.zeros((M, D)), shared), jnp.int32(0), jnp.asarray(clients),
    jnp.asarray(clients < MALICIOUS), jnp.asarray(SLOTS), jnp.array([0]), jnp.float32(0.1), benign,
    mf(dim=D), C,
  )


def context_of(malicious=MALICIOUS, popularity=POPULARITY):
  rounds = np.tile(np.arange(malicious), (2, 1))
  return AttackContext(M, malicious, np.array([0]), D, rounds, popularity, INTERACTIONS)


def sent_rows(uploads):
  """The rows of each client of the round by its place, one for each item."""
  found: dict[int, dict[int, np.ndarray]] = {}
  for client, item, row in zip(*(np.asarray(part) for part in uploads[:3]), strict=True):
    if item < M:
      assert int(item) not in found.setdefault(int(client), {})
      found[int(client)][int(item)] = row
  return found


def assert_sent(uploads, expected):
  """`expected` has a client's rows by its place in the round."""
  found = sent_rows(uploads)
  assert sorted(found) == sorted(expected)
  for slot, rows in expected.items():
    assert sorted(found[slot]) == sorted(rows)
    for item, row in rows.items():
      np.testing.assert_allclose(found[slot][item], row, atol=2e-6)


@pytest.mark.parametrize("clip", [None, 0.8])
@pytest.mark.parametrize("copies", ["sum", "last"])
@pytest.mark.parametrize("sparse", [False, True])
def test_opposite_uploads(sparse, copies, clip):
  build = spattack_os if sparse else spattack_od
  attack = build(copies=copies, seen_clip=clip, **({"max_items": 4} if sparse else {}))
  state = attack.init(jax.random.key(1), context_of())
  for seed in range(3):
    benign, records = records_of(seed)
    sums = oracle.benign_sums(
      oracle.clipped(records, clip) if clip else records, M, D, copies == "last"
    )
    uploads, after = run_poison(
      attack.poison, state, no_uploads(D), view_of(benign), jax.random.key(seed)
    )
    lists = [
      np.asarray(state.items)[client].tolist() if sparse else list(range(M)) for client in (0, 2, 1)
    ]
    expected = oracle.opposite(sums, lists)
    assert_sent(uploads, dict(zip((4, 9, 6), expected, strict=True)))
    chex.assert_trees_all_equal(state, after)
    # With everybody's uploads added up, nothing is left of an item that any of them holds.
    total = sums.copy()
    for rows in expected:
      for item, row in rows.items():
        total[item] += row
    np.testing.assert_allclose(total[sorted(set().union(*lists))], 0, atol=1e-12)


def test_sharing_by_hand():
  """Popularity decides the lists: with nothing but items 3 and 6 popular, two holders share."""
  popularity = np.where(np.isin(np.arange(M), [3, 6]), 1, 0)
  attack = spattack_os(max_items=2)
  state = attack.init(jax.random.key(0), context_of(popularity=popularity))
  assert np.sort(state.items, axis=1).tolist() == [[3, 6]] * 3
  benign = ClientUpdates(
    jnp.array([0, 1, 0]), jnp.array([3, 3, 5]), jnp.array([[2.0, 0.0], [4.0, 6.0], [9.0, 9.0]])
  )
  two = np.array([1, MALICIOUS, MALICIOUS, 2])
  uploads, _ = run_poison(
    attack.poison, state, no_uploads(D), view_of(benign, two), jax.random.key(0)
  )
  rows = {3: [-3.0, -3.0], 6: [0.0, 0.0]}
  assert_sent(uploads, {4: rows, 6: rows})


@pytest.mark.parametrize(
  "attack",
  [spattack_od(), spattack_os(max_items=4), spattack_ld(), spattack_ls(max_items=4)],
  ids=["od", "os", "ld", "ls"],
)
def test_nobody_sends_nothing_and_changes_nothing(attack):
  state = attack.init(jax.random.key(0), context_of())
  shared = {"kernel": jnp.ones((2, 3))}
  benign, _ = records_of(0, shared=True)
  uploads, after = run_poison(
    attack.poison, state, no_uploads(D), view_of(benign, NOBODY, shared), jax.random.key(0)
  )
  assert (np.asarray(uploads.item) == M).all() and not np.asarray(uploads.sent).any()
  assert not np.asarray(uploads.shared["kernel"]).any()
  chex.assert_trees_all_equal(state, after)


@pytest.mark.parametrize("added_up", [False, True])
@pytest.mark.parametrize("attack", [spattack_od(), spattack_os(max_items=2)], ids=["od", "os"])
def test_shared_parameters_are_cancelled(attack, added_up):
  state = attack.init(jax.random.key(0), context_of())
  benign, _ = records_of(4, shared=True)
  kernel = np.asarray(benign.shared["kernel"], float)
  if added_up:
    total = jnp.sum(benign.shared["kernel"], axis=0, keepdims=True)
    benign = benign._replace(shared={"kernel": total})
  view = view_of(benign, shared={"kernel": jnp.ones((2, 3))})
  uploads, _ = run_poison(attack.poison, state, no_uploads(D), view, jax.random.key(0))
  assert np.flatnonzero(uploads.sent).tolist() == [4, 6, 9]
  expected = oracle.opposite_shared(kernel.sum(axis=0), 3)
  for client in range(C):
    wanted = expected if client in (4, 6, 9) else np.zeros((2, 3))
    np.testing.assert_allclose(uploads.shared["kernel"][client], wanted, atol=2e-6)


@pytest.mark.parametrize(
  "attack",
  [
    spattack_od(upload_shared=False), spattack_os(max_items=2, upload_shared=False),
    spattack_ld(upload_shared=False), spattack_ls(max_items=2, upload_shared=False),
  ],
  ids=["od", "os", "ld", "ls"],
)
def test_shared_parameters_may_be_left_alone(attack):
  state = attack.init(jax.random.key(0), context_of())
  benign, _ = records_of(4, shared=True)
  view = view_of(benign, shared={"kernel": jnp.ones((2, 3))})
  uploads, _ = run_poison(attack.poison, state, no_uploads(D), view, jax.random.key(0))
  assert uploads.shared == () and uploads.sent is None
  assert len(sent_rows(uploads)) == 3


def test_own_knowledge_stands_for_all_others():
  """Three malicious clients stand for the nine others of a round of twelve."""
  attack = spattack_od(knowledge="own")
  assert attack.requires == {"own_data"}
  own, records = records_of(6, clients=(4, 6, 9), shared=True)
  view = view_of(None, shared={"kernel": jnp.ones((2, 3))})
  uploads, _ = run_poison(attack.poison, (), own, view, jax.random.key(0))
  sums = 3.0 * oracle.benign_sums(records, M, D)
  expected = oracle.opposite(sums, [range(M)] * 3)
  assert_sent(uploads, dict(zip((4, 9, 6), expected, strict=True)))
  total = 3.0 * np.asarray(own.shared["kernel"], float).sum(axis=0)
  np.testing.assert_allclose(uploads.shared["kernel"][9], -total / 3, atol=5e-6)


def noise_sent(attack, state, key=0, shared=()):
  benign, _ = records_of(0)
  return run_poison(
    attack.poison, state, no_uploads(D), view_of(benign, shared=shared), jax.random.key(key)
  )[0]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("per_client", [False, True])
@pytest.mark.parametrize("redraw", ["never", "every_round"])
def test_noise(redraw, per_client, sparse):
  options = {"redraw": redraw, "per_client": per_client, "scale": 2.0}
  attack = spattack_ls(max_items=5, **options) if sparse else spattack_ld(**options)
  state = attack.init(jax.random.key(3), context_of())
  shared = {"kernel": jnp.ones((2, 3))}
  first, again = (noise_sent(attack, state, key, shared) for key in (0, 1))
  rows, later = sent_rows(first), sent_rows(again)
  assert sorted(rows) == [4, 6, 9]
  if sparse:
    assert [sorted(rows[slot]) for slot in (4, 9, 6)] == [
      sorted(np.asarray(state.held.items)[client].tolist()) for client in (0, 2, 1)
    ]
  else:
    assert all(sorted(one) == list(range(M)) for one in rows.values())
  for slot, one in rows.items():
    for item, row in one.items():
      assert np.array_equal(row, later[slot][item]) == (redraw == "never")
      for other in rows.values():
        if other is not one and item in other:
          assert np.array_equal(row, other[item]) != per_client
  assert np.flatnonzero(first.sent).tolist() == [4, 6, 9]
  kernel = np.asarray(first.shared["kernel"])
  assert np.array_equal(kernel[4], kernel[6]) != per_client
  assert np.array_equal(kernel[4], np.asarray(again.shared["kernel"])[4]) == (redraw == "never")
  assert not kernel[5].any()


def test_size_of_the_noise():
  context = context_of()._replace(num_items=4000, dim=8)
  view = view_of(None)._replace(public=Public(jnp.zeros((4000, 8)), ()))
  for scale in (1.0, 0.3):
    attack = spattack_ld(scale=scale)
    state = attack.init(jax.random.key(0), context)
    uploads, _ = run_poison(attack.poison, state, no_uploads(8), view, jax.random.key(0))
    noise = np.asarray(uploads.row)[:4000]
    # 32,000 numbers: mean and deviation are known to a few thousandths of the latter.
    assert abs(noise.mean()) < 0.03 * scale
    assert noise.std() == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_lists_are_drawn_in_proportion_to_popularity(count):
  """Inclusion of three items, over 6,000 clients: five standard deviations are at most 0.033."""
  drawn = np.asarray(sampled_items(jax.random.key(5), np.array([1, 2, 3]), count, 6000))
  assert all(len(set(one)) == count for one in drawn[:200].tolist())
  found = np.bincount(drawn.reshape(-1), minlength=3) / 6000
  expected = oracle.inclusion_probabilities([1, 2, 3], count)
  np.testing.assert_allclose(found, expected, atol=0.033)


def test_items_nobody_knows_are_not_drawn_and_lists_stay():
  first = np.asarray(sampled_items(jax.random.key(0), POPULARITY, M, 50))
  assert first.shape == (50, M)
  for one in first:
    assert sorted(one.tolist()) == [item for item in range(M) if item != 2] + [M]
  # A client's list depends on the key and the client alone.
  fewer = np.asarray(sampled_items(jax.random.key(0), POPULARITY, M, 3))
  np.testing.assert_array_equal(fewer, first[:3])
  assert len({tuple(one) for one in first[:, :4].tolist()}) > 10


def test_length_of_the_lists():
  for build in (spattack_os, spattack_ls):
    asked, longest = build(max_items=3), build(limit="interactions")
    assert asked.requires - {"benign_uploads"} == {"popularity"}
    assert longest.requires - {"benign_uploads"} == {"popularity", "interactions"}
    many = build(max_items=100)
    # Five of nine items, and of the four others 4 * (1 - (3 / 4)^5) = 3.05.
    for attack, length in ((asked, 3), (longest, 5), (build(), 8), (many, M)):
      state = attack.init(jax.random.key(0), context_of())
      held = state.items if build is spattack_os else state.held.items
      assert held.shape == (MALICIOUS, length)


@pytest.mark.parametrize("size", [1, 40, 90, 99, 100])
def test_expected_uploads_of_the_longest_list(size):
  """A client with `size` of 100 items draws as many negatives among the others; seen 2,000 times."""
  random = np.random.default_rng(size)
  drawn = [
    size + len(set(random.integers(0, 100 - size, size).tolist())) if size < 100 else size
    for _ in range(2000)
  ]
  found = most_items(np.array([1, size]), 100, "uploads")
  assert found <= np.mean(drawn) + 0.3 and found >= np.mean(drawn) - 1.3
  assert most_items(np.array([1, size]), 100, "interactions") == size


def test_a_mean_over_uploads_does_not_move_under_the_dense_attack(small):
  """Section "Spattack-O-D": without defence the aggregate is zero."""
  train = TrainConfig(epochs=3, clients_per_round=100, learning_rate=0.5)
  run = make_run(
    small, attack=spattack_od(), defense=defenses.none(scale="mean"), train=train,
    attacker=AttackerConfig(malicious_ratio=0.25),
  )
  honest = make_run(small, defense=defenses.none(scale="mean"), train=train)
  for poisoned, plain in zip(simulated(run), simulated(honest), strict=True):
    np.testing.assert_allclose(
      poisoned.after.server.public.items, run.state.server.public.items, atol=1e-6
    )
    moved = np.asarray(plain.after.server.public.items - honest.state.server.public.items)
    assert np.abs(moved).max() > 0.01
    # Users learn all the same.
    assert np.abs(np.asarray(poisoned.after.private - poisoned.before.private)).max() > 1e-3


@pytest.mark.parametrize(
  ("build", "options", "message"),
  [
    (spattack_od, {"seen_clip": 0.0}, "spattack_od.seen_clip must be positive or none"),
    (spattack_os, {"seen_clip": -1.0}, "spattack_os.seen_clip must be positive or none"),
    (spattack_os, {"max_items": 0}, "spattack_os.max_items must be positive or none"),
    (spattack_ls, {"max_items": -2}, "spattack_ls.max_items must be positive or none"),
    (spattack_ld, {"scale": 0.0}, "spattack_ld.scale must be positive"),
    (spattack_ls, {"scale": -1.0}, "spattack_ls.scale must be positive"),
  ],
)
def test_impossible_numbers_are_named(build, options, message):
  with pytest.raises(ValueError, match=message):
    build(**options)
