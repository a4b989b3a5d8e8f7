"""The Gaussian attack, LIE, Fang's attacks and the targeted LIE against the oracle, on rounds by hand."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import gaussian, lie
from fedrecjax.attacks.untargeted.gaussian import gaussian_row
from fedrecjax.attacks.untargeted.lie import largest_z
from fedrecjax.attacks.untargeted.row_statistics import item_statistics
from tests.attacks.untargeted.crafted import POOL, assert_rows, assert_shared, knowledge_of, many, own_rows, sent_by
from tests.attacks.untargeted.crafted_views import (
  ATTACKERS,
  C,
  D,
  M,
  as_uploads,
  flat,
  view_of,
)
from tests.oracles import crafted


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



