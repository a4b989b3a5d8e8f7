"""Every filter before every rule: a client that is rejected is a client that is not in the round."""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.defenses import DEFENSES, chain, none
from fedrecjax.defenses.presence import without_rejected
from fedrecjax.methods.hyperparameters import as_argument
from fedrecjax.numerics.optimizers import DESCENT
from fedrecjax.types import ClientUpdates, Defense, DefenseContext, Public
from fedrecjax.uploads.rows import keep_clients, merge_rows
from tests.support.views import defense_view

M, C, D = 9, 8, 3
REJECTED = np.array([0, 0, 1, 0, 1, 1, 0, 0], bool)
BUILT = {name: DEFENSES[name].constructor() for name in DEFENSES.names()}
RULES = {name: defense for name, defense in BUILT.items() if defense.aggregate is not None}
RULES |= {
  f"none {scale} {scope} {weights}": none(scale=scale, scope=scope, weights=weights)
  for scale in ("sum", "mean")
  for scope in ("item", "client")
  for weights in ("equal", "samples")
}
RULES |= {
  f"{name} client": DEFENSES[name].constructor(scope="client")
  for name in ("median", "trimmed_mean", "krum", "multi_krum", "bulyan")
}
SMALL = {"union": {"num_sampled": 12, "num_contrastive": 3}, "norm_bound": {"max_norm": 0.7}}
FILTERS = {name: DEFENSES[name].constructor(**SMALL[name]) for name in SMALL}
FILTERS["norm_bound client"] = DEFENSES["norm_bound"].constructor(max_norm=0.7, scope="client")


class Stages(NamedTuple):
  """The server's stages of a defence, as arguments of a compiled function."""

  filter: Any
  aggregate: Any


def rejecting() -> Defense:
  """A filter that leaves out the clients of `REJECTED`."""

  def leave_out(state, uploads, view):
    return keep_clients(uploads, ~jnp.asarray(REJECTED), view.num_items), state

  return Defense(filter=leave_out)


def random_round(seed):
  """Uploads of seven of eight places, with gradients of a shared parameter."""
  random = np.random.default_rng(seed)
  sent = random.random((C, M)) < 0.6
  sent[-1] = False
  client, item = np.nonzero(sent)
  pad = C * M - len(client)
  row = random.normal(size=(len(client), D))
  return ClientUpdates(
    client=jnp.asarray(np.pad(client, (0, pad)), jnp.int32),
    item=jnp.asarray(np.pad(item, (0, pad), constant_values=M), jnp.int32),
    row=jnp.asarray(np.pad(row, ((0, pad), (0, 0)), constant_values=7.0), jnp.float32),
    shared={"bias": jnp.asarray(random.normal(size=(C, 4)) * sent.any(axis=1)[:, None], jnp.float32)},
    sent=jnp.asarray(sent.any(axis=1)),
  )


@functools.partial(jax.jit, static_argnames="num_items")
def defended(defense, state, uploads, view, *, num_items):
  """What a round's uploads become: filters, then the rule as the simulation calls it."""
  view = view._replace(num_items=num_items, num_clients=C, transformation=DESCENT)
  uploads = merge_rows(uploads, num_items)
  if defense.filter is not None:
    before = uploads
    uploads, state = defense.filter(state, uploads, view)
    view = without_rejected(view, before, uploads)
    uploads = merge_rows(uploads, num_items)
  update, _ = defense.aggregate(state, uploads, view)
  table = jnp.zeros((num_items, D)).at[update.items.item].add(update.items.row, mode="drop")
  return table, update.shared


def outcome(defense, seed, *, present):
  """The update of a random round in which these clients are present; others send and claim nothing."""
  present &= np.arange(C) < C - 1
  random = np.random.default_rng(100 + seed)
  view = defense_view(num_items=M, num_clients=C)._replace(
    present=jnp.asarray(present),
    clients=jnp.int32(present.sum()),
    federation=jnp.int32(50),
    samples=jnp.asarray(np.where(present, random.integers(1, 90, C), 0.0), jnp.float32),
    public=Public(jnp.asarray(random.normal(size=(M, D)), jnp.float32), ()),
    transformation=None,
  )
  uploads = keep_clients(random_round(seed), jnp.asarray(present), M)
  context = DefenseContext(M, D, C, C, np.zeros((1, C), np.int32), None, None)
  state = defense.init(jax.random.key(0), context)
  stages = Stages(as_argument(defense.filter), as_argument(defense.aggregate))
  return defended(stages, state, uploads, view, num_items=M)


@pytest.mark.parametrize("name", RULES)
def test_a_rejected_client_is_not_in_the_round(name):
  rule = RULES[name]
  for seed in range(3):
    rejected = outcome(chain(rejecting(), rule), seed, present=np.ones(C, bool))
    absent = outcome(chain(Defense(filter=lambda state, uploads, view: (uploads, state)), rule), seed,
                     present=~REJECTED)
    chex.assert_trees_all_close(rejected, absent, atol=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_do_not_see_whom_an_earlier_one_has_rejected(name):
  idle = Defense(filter=lambda state, uploads, view: (uploads, state))
  for seed in range(4):
    rejected = outcome(chain(rejecting(), FILTERS[name], none(scale="mean", scope="client", weights="samples")), seed,
                       present=np.ones(C, bool))
    absent = outcome(chain(idle, FILTERS[name], none(scale="mean", scope="client", weights="samples")), seed,
                     present=~REJECTED)
    chex.assert_trees_all_close(rejected, absent, atol=1e-6)


def test_a_weighted_mean_divides_by_what_is_left_by_hand():
  """Three clients claim 10, 10 and 80 pairs and send ones; the third is rejected."""
  ones = ClientUpdates(jnp.arange(3, dtype=jnp.int32), jnp.zeros(3, jnp.int32), jnp.ones((3, 1)))
  view = defense_view(num_items=1, num_clients=3)._replace(samples=jnp.array([10.0, 10.0, 80.0]))
  kept = keep_clients(ones, jnp.array([True, True, False]), 1)
  view = without_rejected(view, ones, kept)
  for scale, expected in (("mean", 1.0), ("sum", 2.0)):
    update, _ = none(scale=scale, scope="client", weights="samples").aggregate((), merge_rows(kept, 1), view)
    table = jnp.zeros((1, 1)).at[update.items.item].add(update.items.row, mode="drop")
    assert float(table[0, 0]) == pytest.approx(expected)


def test_a_later_filter_is_told_who_is_left():
  seen = []

  def look(state, uploads, view):
    seen.append(view)
    return uploads, state

  uploads = ClientUpdates(jnp.arange(C, dtype=jnp.int32), jnp.zeros(C, jnp.int32), jnp.ones((C, D)))
  view = defense_view(num_items=M, num_clients=C)._replace(samples=jnp.arange(1.0, C + 1))
  both = chain(Defense(filter=look), rejecting(), Defense(filter=look))
  both.filter(((), (), ()), uploads, view)
  first, second = seen
  assert first.present.all() and int(first.clients) == C
  assert second.present.tolist() == (~REJECTED).tolist() and int(second.clients) == C - 3
  assert second.samples.tolist() == [1.0, 2.0, 0.0, 4.0, 0.0, 0.0, 7.0, 8.0]
