"""P3 against its oracle: boosted, and beside an honest upload."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import boosted_targeted
from fedrecjax.attacks.targeted.explicit_boosting import own_boosting_loss
from fedrecjax.models import fedgnn, mf, ncf, sasrec
from fedrecjax.uploads.rows import no_uploads
from tests.attacks.malicious_round import (
  CLIENTS,
  MALICIOUS,
  RATE,
  SLOTS,
  C,
  M,
  assert_networks,
  assert_rows,
  by_slot,
  context_of,
  honest_of,
  networks_of,
  poison,
  public_of,
  view_of,
)
from tests.models import references
from tests.oracles import models_ncf, targeted

MODELS = {"mf": mf(dim=3), "ncf": ncf(dim=3, hidden=(5, 4))}
PRIVATE = np.random.default_rng(9).normal(size=(4, 3)).astype(np.float32)
ACTIVE = [place for place, client in enumerate(CLIENTS) if client < MALICIOUS]


def layers_of(network):
  """The network as the oracle of the interaction function has it."""
  output = (network.output[:, None], np.array([network.bias]))
  return [*network.hidden, output]


def as_network(layers):
  *hidden, (weights, bias) = layers
  return models_ncf.Network(hidden, weights[:, 0], float(bias[0]))


def oracle(model, public, targets):
  """The malicious gradients by place in the round: rows, and networks where there is one."""
  table = np.asarray(public.items, float)
  shared = None
  if public.shared:
    filled = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (C, *leaf.shape)), public.shared)
    sent = no_uploads(3)._replace(shared=filled, sent=jnp.arange(C) == 0)
    shared = layers_of(networks_of(sent._replace(sent=jnp.ones(C, bool)))[0])
  rows, networks = {}, {}
  for place in ACTIVE:
    one, layers = targeted.malicious_gradients(PRIVATE[place].astype(float), table, targets, shared)
    rows[SLOTS[place]] = one
    if layers:
      networks[SLOTS[place]] = as_network(layers)
  return rows, networks


@pytest.mark.parametrize("boost", [1.0, 2.5, None])
@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_boosted(name, targets, boost):
  model = MODELS[name]
  public = public_of(model, 1)
  attack = boosted_targeted(boost=boost)
  view = view_of(model, public, targets, private=PRIVATE)
  sent, state = poison(attack, (), honest_of(model, public, 2)[2], view)
  factor = C / 3 if boost is None else boost
  rows, networks = oracle(model, public, targets)
  assert state == ()
  assert_rows(
    by_slot(sent),
    {slot: {item: factor * row for item, row in one.items()} for slot, one in rows.items()},
    atol=2e-5,
  )
  assert_networks(
    networks_of(sent),
    {slot: models_ncf.scaled(one, factor) for slot, one in networks.items()},
    atol=2e-5,
  )


@pytest.mark.parametrize("distance", ["norm", "squared"])
@pytest.mark.parametrize("targets", [[5], [5, 0, 3]], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_stealthy(name, targets, distance):
  model = MODELS[name]
  attack = boosted_targeted(boost=2.0, stealth=0.7, rho=0.9, distance=distance)
  state = attack.init(jax.random.key(0), context_of(model, targets))
  before = None
  for number in (3, 7, 8):
    public = public_of(model, number)
    table = np.asarray(public.items, float)
    honest, own_networks, uploads = honest_of(model, public, number)
    view = view_of(model, public, targets, number=number, private=PRIVATE)
    sent, state = poison(attack, state, uploads, view)
    rows, networks = oracle(model, public, targets)
    change = None if before is None else (table - before[1]) / (number - before[0])
    expected = {
      slot: targeted.stealthy_rows(
        rows[slot], honest[slot], change,
        boost=2.0, stealth=0.7, rho=0.9, learning_rate=RATE, distance=distance,
      )
      for slot in rows
    }
    assert_rows(by_slot(sent), expected, atol=2e-5)
    assert_networks(
      networks_of(sent),
      {
        slot: models_ncf.add(
          models_ncf.scaled(one, 2.0), models_ncf.scaled(own_networks[slot], 0.7)
        )
        for slot, one in networks.items()
      },
      atol=2e-5,
    )
    before = number, table


def test_nobody_attacks_and_nothing_is_remembered():
  model, public = MODELS["ncf"], public_of(MODELS["ncf"], 1)
  uploads = honest_of(model, public, 2)[2]
  for attack in (boosted_targeted(), boosted_targeted(stealth=1.0)):
    state = attack.init(jax.random.key(0), context_of(model, [5]))
    view = view_of(model, public, [5], clients=(3, 3, 3, 3), private=PRIVATE)
    sent, after = poison(attack, state, uploads, view)
    assert (np.asarray(sent.item) == M).all() and not np.asarray(sent.sent).any()
    chex.assert_trees_all_equal(state, after)


def test_what_depends_on_others_colludes():
  assert not boosted_targeted().colludes
  assert boosted_targeted(boost=None).colludes and boosted_targeted(stealth=1.0).colludes


def test_a_lone_user_of_a_graph_and_an_empty_history():
  """Models without a vector of the client's own, or with more than that, against references."""
  random = np.random.default_rng(0)
  graph = fedgnn(dim=3)
  public, own, rows = public_of(graph, 3), PRIVATE[0], random.normal(size=(2, 3))
  user = references.fedgnn_user(own, jnp.zeros((0, 3)), jnp.zeros((0, 3)), public.shared)
  scores = (rows @ public.shared.kernel) @ user
  expected = np.mean(np.log1p(np.exp(-np.asarray(scores, float))))
  found = own_boosting_loss(graph, jnp.asarray(own), jnp.asarray(rows), public.shared)
  assert float(found) == pytest.approx(expected, rel=1e-5)
  history = sasrec(dim=4, length=3, blocks=1)
  public, rows = public_of(history, 4), jnp.asarray(random.normal(size=(2, 4)), jnp.float32)
  user = history.encode(jnp.zeros((3, 4)), jnp.zeros(3, bool), public.shared, None)[-1]
  found = own_boosting_loss(history, jnp.zeros(0), rows, public.shared)
  expected = np.mean(np.log1p(np.exp(-np.asarray(rows @ user, float))))
  assert float(found) == pytest.approx(expected, rel=1e-5) and np.abs(user).max() > 0.1


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"boost": 0.0}, "boosted_targeted.boost must be positive or none"),
    ({"stealth": -1.0}, "boosted_targeted.stealth must be positive or none"),
    ({"rho": -0.1}, "boosted_targeted.rho must not be negative"),
    ({"distance": "cosine"}, "boosted_targeted.distance must be one of norm, squared"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    boosted_targeted(**options)
