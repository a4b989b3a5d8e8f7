"""PSMU against its oracle on shared draws, its parts, and what it draws."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fedrecjax.attacks import psmu
from fedrecjax.attacks.targeted.invented_clients import outside, user_of_items
from fedrecjax.attacks.targeted.promotion_loss import competitors
from fedrecjax.attacks.targeted.synthetic_users import draw_synthetic
from fedrecjax.clients.losses import bce, bpr
from fedrecjax.models import fedgnn, lightgcn, mf, ncf, sasrec
from fedrecjax.uploads.rows import no_uploads
from tests.attacks.malicious_round import (
  CLIENTS,
  MALICIOUS,
  SLOTS,
  M,
  assert_networks,
  assert_rows,
  by_slot,
  context_of,
  networks_of,
  poison,
  public_of,
  view_of,
)
from tests.models import references
from tests.models.clients import network_of
from tests.oracles import psmu as oracle

MODELS = {
  "mf": (mf(dim=3), "none"),
  "ncf": (ncf(dim=3, hidden=(5, 4)), "none"),
  "lightgcn": (lightgcn(dim=3, hidden=(4,)), "star"),
}
SIZES = {"num_positives": 4, "num_negatives": 2, "num_items": M, "init_std": 0.5}
ACTIVE = [place for place, client in enumerate(CLIENTS) if client < MALICIOUS]


def drawn_by(state, key, client, dim):
  drawn = draw_synthetic(jax.random.fold_in(key, client), state, dim=dim, **SIZES)
  return [np.asarray(one) for one in drawn]


def init(attack, model, targets):
  return attack.init(jax.random.key(4), context_of(model, targets))


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"margin_on": "logit", "alternatives": 3},
    {"inner_optimizer": "sgd", "inner_lr": 0.4, "top_k": 2},
    {"loss": "bpr", "alternatives": 1, "upload_shared": False},
  ],
  ids=str,
)
@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_uploads(name, targets, options):
  model, graph = MODELS[name]
  loss = options.get("loss", "bce")
  settings = {"inner_lr": 0.1, "top_k": 5, "alternatives": 0, "margin_on": "prob"} | options
  settings.pop("loss", None)
  attack = psmu(num_items=4, num_negatives=2, init_std=0.5, inner_steps=6, **settings)
  public, key = public_of(model, 7), jax.random.key(11)
  state = init(attack, model, targets)
  view = view_of(model, public, targets, loss=bpr() if loss == "bpr" else bce())
  sent, after = poison(attack, state, no_uploads(3), view, key)
  np.testing.assert_array_equal(state, after)
  table, network = np.asarray(public.items, float), network_of(public.shared)
  rows, networks = {}, {}
  for place in ACTIVE:
    items, negatives, own = drawn_by(state, key, CLIENTS[place], 3)
    own = oracle.trained_user(
      own.astype(float), table, network, items, negatives, steps=6, rate=settings["inner_lr"],
      optimizer=settings.get("inner_optimizer", "adam"), loss=loss, graph=graph,
    )
    user = oracle.final_user(own, table, items, graph)
    listed = oracle.recommended(oracle.scores(user, table, network), items, settings["top_k"])
    above = [
      listed + oracle.similar(table, target, targets, items, settings["alternatives"])
      for target in targets
    ]
    _, of_rows, of_network = oracle.attack_gradients(
      user, table, network, targets, items, above, margin_on=settings["margin_on"]
    )
    rows[SLOTS[place]] = dict(zip(targets, of_rows, strict=True))
    networks[SLOTS[place]] = of_network
  assert max(np.abs(row).max() for one in rows.values() for row in one.values()) > 1e-3
  assert_rows(by_slot(sent), rows, atol=2e-5)
  if network is None or not settings.get("upload_shared", True):
    assert sent.shared == () and sent.sent is None
  else:
    assert_networks(networks_of(sent), networks, atol=2e-5)


def test_fedgnn_and_sasrec_against_references():
  targets, key = [5, 0], jax.random.key(3)
  attack = psmu(
    num_items=4, num_negatives=2, init_std=0.5, inner_steps=4, inner_lr=0.1, top_k=3
  )
  graph, history = fedgnn(dim=4), sasrec(dim=4, length=6, blocks=1)
  for model in (graph, history):
    public = public_of(model, 6)
    state = init(attack, model, targets)
    view = view_of(model, public, targets, clients=(2,))
    sent, _ = poison(attack, state, no_uploads(4), view, key)
    items, negatives, own = drawn_by(state, key, 2, 4)
    table, shared = public.items, public.shared

    def vector(own, shared, model=model, table=table, items=items):
      if model is history:
        return references.sasrec_users(table[items], shared, 1)[-1]
      return references.fedgnn_user(own, table[items], jnp.zeros((0, 4)), shared)

    def scored(user, rows, shared, model=model):
      return rows @ user if model is history else (rows @ shared.kernel) @ user

    own = jnp.asarray(own)
    first = second = jnp.zeros(4)
    for step in range(4 if model is graph else 0):
      slope = jax.grad(references.fedgnn_loss)(
        own, table, shared, items, negatives, jnp.zeros((0, 4)), "bce", "mean"
      )
      first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
      unbiased = second / (1 - 0.999 ** (step + 1))
      own = own - 0.1 * first / (1 - 0.9 ** (step + 1)) / (jnp.sqrt(unbiased) + 1e-8)
    logits = np.asarray(scored(vector(own, shared), table, shared), float)
    above = [item for item in oracle.recommended(logits, items, 3) if item not in targets]

    def loss(rows, shared, own=own, above=above, table=table, vector=vector, scored=scored):
      user = vector(own, shared)
      ahead = jax.nn.sigmoid(scored(user, table[np.array(above)], shared))
      behind = jax.nn.sigmoid(scored(user, rows, shared))
      return jnp.sum(jax.nn.sigmoid(ahead[None] - behind[:, None]))

    for_rows, for_shared = jax.grad(loss, argnums=(0, 1))(table[np.array(targets)], shared)
    wanted = dict(zip(targets, np.asarray(for_rows), strict=True))
    assert_rows(by_slot(sent), {SLOTS[0]: wanted}, 2e-5)
    found = jax.tree.map(lambda leaf: leaf[SLOTS[0]], sent.shared)
    chex.assert_trees_all_close(found, for_shared, rtol=1e-7, atol=5e-5)


def test_nobody_attacks_and_users_change_from_round_to_round():
  model, targets = MODELS["ncf"][0], [5]
  public, attack = public_of(model, 1), psmu(num_items=4, inner_steps=2)
  state = init(attack, model, targets)
  nothing, _ = poison(
    attack, state, no_uploads(3), view_of(model, public, targets, clients=(3, 3, 3, 3))
  )
  assert by_slot(nothing) == {} and not np.asarray(nothing.sent).any()
  view = view_of(model, public, targets)
  first, second = (
    by_slot(poison(attack, state, no_uploads(3), view, jax.random.key(key))[0]) for key in (0, 1)
  )
  for slot in first:
    assert not np.allclose(first[slot][5], second[slot][5])
  assert not np.allclose(first[SLOTS[0]][5], first[SLOTS[2]][5])


@pytest.mark.parametrize("seed", range(20))
def test_lists_with_ties_and_targets_on_them(seed):
  random = np.random.default_rng(seed)
  logits = random.integers(0, 4, M).astype(np.float32)
  table = random.normal(size=(M, 2)).astype(np.float32)
  order = random.permutation(M)
  held, targets = order[:4], order[3:6]  # one target is held
  found = competitors(
    jnp.asarray(logits), jnp.asarray(held), jnp.asarray(targets), jnp.asarray(table),
    top_k=4, alternatives=3,
  )
  listed = oracle.recommended(logits, held, 4)
  for number, target in enumerate(targets):
    items = np.asarray(found.items[number])[np.asarray(found.counted[number])]
    wanted = set(listed + oracle.similar(table, target, targets, held, 3)) - set(targets)
    assert len(items) == len(set(items.tolist()))
    assert set(items.tolist()) == (set() if target in held else wanted)


def test_draws_are_uniform_and_outside():
  allowed = jnp.asarray(np.setdiff1d(np.arange(M), [5, 0]), jnp.int32)
  keys = jax.random.split(jax.random.key(0), 4000)
  drawn = jax.vmap(lambda key: draw_synthetic(key, allowed, dim=3, **SIZES))(keys)
  items, negatives = np.asarray(drawn.items), np.asarray(drawn.negatives)
  assert all(len(set(one)) == 4 for one in items.tolist())
  counts = np.bincount(items.reshape(-1), minlength=M)
  assert counts[[0, 5]].tolist() == [0, 0]
  # Drawn without replacement, counts vary less than chi-square has it.
  assert stats.chisquare(np.delete(counts, [0, 5])).pvalue > 1e-3
  assert not (negatives[:, :, :, None] == items[:, None, None, :]).any()
  of_first = negatives[(items == allowed[3]).any(axis=1)].reshape(-1)
  counts = np.bincount(of_first, minlength=M)
  assert counts[int(allowed[3])] == 0
  # A target is never held, so that it is a negative more often than others: 1 / 10, not 8 / 110.
  share = np.bincount(negatives.reshape(-1), minlength=M) / negatives.size
  np.testing.assert_allclose(share[[0, 5]], 0.1, atol=0.01)
  np.testing.assert_allclose(np.delete(share, [0, 5]), 0.8 / 12, atol=0.01)
  assert float(jnp.std(drawn.private)) == pytest.approx(0.5, rel=0.05)


def test_every_item_outside_is_drawn_equally_often():
  bits = jax.random.bits(jax.random.key(1), (20000,))
  held = jnp.array([9, 0, 4, 5])
  counts = np.bincount(np.asarray(outside(bits, held, 10)), minlength=10)
  assert (counts[[0, 4, 5, 9]] == 0).all()
  assert stats.chisquare(np.delete(counts, [0, 4, 5, 9])).pvalue > 1e-3


@pytest.mark.parametrize("count", [0, 2, 6, 9])
def test_histories_longer_and_shorter_than_the_model_reads(count):
  model = sasrec(dim=4, length=6, blocks=1)
  public = public_of(model, 2)
  rows = public.items[:count]
  found = user_of_items(model, jnp.zeros(0), rows, public.shared)
  if count == 0:
    expected = model.encode(jnp.zeros((6, 4)), jnp.zeros(6, bool), public.shared, None)[-1]
  else:
    expected = references.sasrec_users(rows[-6:], public.shared, 1)[-1]
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_too_few_items():
  for options in (
    {"num_items": 9}, {"num_items": 4, "top_k": 10}, {"num_items": 4, "alternatives": 10},
  ):
    with pytest.raises(ValueError, match=r"need 1\d items that are no targets, there are 13"):
      init(psmu(**options), mf(dim=3), [5])
  init(psmu(num_items=8), mf(dim=3), [5])


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_items": 0}, "psmu.num_items must be positive"),
    ({"num_negatives": 0}, "psmu.num_negatives must be positive"),
    ({"inner_steps": 0}, "psmu.inner_steps must be positive"),
    ({"inner_lr": 0.0}, "psmu.inner_lr must be positive"),
    ({"init_std": 0.0}, "psmu.init_std must be positive"),
    ({"top_k": 0}, "psmu.top_k must be positive"),
    ({"alternatives": -1}, "psmu.alternatives must not be negative"),
    ({"margin_on": "rank"}, "psmu.margin_on must be one of prob, logit"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    psmu(**options)
