"""What attacks are given: data of their own, pools, interactions, and the epochs in which they act."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig
from fedrecjax.datasets import ItemLists
from fedrecjax.federation.participation import attacking_from_to, draw_pool, draw_rounds
from fedrecjax.federation.population import make_population, own_lists, public_part
from fedrecjax.metrics.stealth import foreign_rows, measure_stealth, stealth_columns
from fedrecjax.simulation.independent_attackers import each_alone
from fedrecjax.simulation.results import AttackError
from fedrecjax.simulation.round_attack import pool_uploads
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack, ClientUpdates
from fedrecjax.uploads.rows import item_rows, merge_rows, no_uploads
from tests.attacks.malicious_round import by_slot, public_of, view_of
from tests.support.lockstep import final_state, honest_uploads, make_run, simulated, step

TRAIN = TrainConfig(epochs=4, clients_per_round=6, learning_rate=0.5)
CONVERTED = AttackerConfig(malicious_ratio=0.35, membership="converted")


def rounds_of(**changes):
  settings = {"num_clients": 12, "num_benign": 9, "clients_per_round": 5, "epochs": 4}
  return draw_rounds(0, **(settings | {"participation": "shuffled"} | changes))


@pytest.mark.parametrize(("start", "stop"), [(0, None), (2, None), (1, 3), (4, None), (0, 1)])
@pytest.mark.parametrize("absent", [12, None])
def test_outside_its_epochs_nobody_attacks(start, stop, absent):
  before = rounds_of()
  after = attacking_from_to(before, start, stop, absent=absent)
  for number, (clients, malicious) in enumerate(zip(after.clients, after.malicious, strict=True)):
    epoch = number // before.per_epoch
    if start <= epoch < (99 if stop is None else stop):
      assert clients.tolist() == before.clients[number].tolist()
      assert malicious.tolist() == before.malicious[number].tolist()
      continue
    assert (malicious == -1).all() and (after.slot[number] == 0).all()
    honest = [one if absent is None or one < 9 else 12 for one in before.clients[number]]
    assert clients.tolist() == honest
  assert (after.malicious >= 0).sum() == 3 * len(range(start, 4 if stop is None else stop))


def sends_ones(**requires):
  """An attack that uploads a row of ones for every target."""

  def poison(state, uploads, view, key):
    del uploads, key
    rows = jnp.ones((view.slot.shape[0], view.targets.shape[0], view.public.items.shape[1]))
    return item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0]), state

  return Attack(poison, **requires)


@pytest.mark.parametrize("own_data", [False, True])
def test_before_it_starts_an_attack_is_not_there(small, own_data):
  """Clients with data behave, as if they were users; others are absent."""
  attack = sends_ones(requires=frozenset({"own_data"} if own_data else ()))
  late = AttackerConfig(malicious_ratio=0.35, membership="converted", start_epoch=2)
  run = make_run(small, attack=attack, attacker=late, train=TRAIN)
  honest = make_run(
    small,
    attack=Attack(samples=lambda state, samples, *_: samples, requires=attack.requires),
    attacker=CONVERTED,
    train=TRAIN,
  )
  first = 2 * run.rounds.per_epoch
  np.testing.assert_array_equal(
    final_state(run, first).server.public.items, final_state(honest, first).server.public.items
  )
  moved = final_state(run, first + run.rounds.per_epoch).server.public.items
  assert not np.array_equal(
    moved, final_state(honest, first + run.rounds.per_epoch).server.public.items
  )
  sizes = np.asarray(run.constants.data.training.length)[run.population.num_benign :]
  assert (sizes > 0).all() == own_data


def test_converted_clients_keep_their_items_and_added_ones_draw_them(small):
  converted = make_population(small, CONVERTED, 0)
  lists = own_lists(small, converted, CONVERTED, np.random.default_rng(0))
  taken = sorted(set(range(12)) - set(converted.users.tolist()))
  assert sorted(map(tuple, lists)) == sorted(tuple(small.train.of(user)) for user in taken)
  added = AttackerConfig(malicious_ratio=0.35, own_items=7)
  drawn = own_lists(small, make_population(small, added, 0), added, np.random.default_rng(0))
  assert [len(set(one.tolist())) for one in drawn] == [7] * 4
  with pytest.raises(ConfigError, match=r"attacker.own_items must be below the 30 items of small"):
    bad = AttackerConfig(malicious_ratio=0.35, own_items=30)
    own_lists(small, make_population(small, bad, 0), bad, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_public_part_is_rounded_up_for_each_user(small, share):
  public = public_part(small.train, share, np.random.default_rng(1))
  for user in range(12):
    own, seen = small.train.of(user).tolist(), public.of(user).tolist()
    assert len(seen) == int(np.ceil(share * len(own) - 1e-9))
    assert all(seen.count(item) <= own.count(item) for item in seen)


@pytest.mark.parametrize(
  ("requires", "lists"), [({"interactions"}, "all"), ({"public_interactions"}, "some"), (set(), None)]
)
def test_interactions_are_given_as_asked(small, requires, lists):
  seen = []

  def init(key, context):
    seen.append(context.interactions)
    return ()

  attack = Attack(sends_ones().poison, init, requires=frozenset(requires))
  make_run(small, attack=attack, attacker=AttackerConfig(malicious_ratio=0.3, public_share=0.2))
  if lists is None:
    assert seen == [None]
  else:
    assert isinstance(seen[0], ItemLists) and len(seen[0]) == 12
    assert (len(seen[0].items) == len(small.train.items)) == (lists == "all")


def test_a_pool_has_different_members_and_is_drawn_anew():
  rounds = draw_pool(rounds_of(), 3, size=2, num_malicious=3)
  assert rounds.pool.shape == (len(rounds.clients), 2)
  assert all(len(set(one)) == 2 and max(one) < 3 for one in rounds.pool.tolist())
  assert len({tuple(sorted(one)) for one in rounds.pool.tolist()}) == 3
  assert draw_pool(rounds_of(), 3, size=50, num_malicious=3).pool.shape[1] == 3


@pytest.mark.parametrize("model", [models.mf(dim=4, init_std=0.7), models.ncf(dim=4, hidden=(4,))])
def test_a_pool_holds_what_its_members_would_upload(small, model):
  attack = sends_ones(requires=frozenset({"own_data"}), pool=3)
  run = make_run(small, model=model, attack=attack, attacker=CONVERTED, train=TRAIN)
  for one in simulated(run, 3):
    pool = pool_uploads(run.structure, run.constants, one.before, one.inputs)
    clients = one.inputs._replace(
      clients=jnp.pad(run.population.num_benign + one.inputs.pool, (0, 3), constant_values=10**6)
    )
    alone = run._replace(structure=run.structure._replace(capacity=80))
    expected = merge_rows(
      honest_uploads(alone, one.before, clients._replace(clients=jnp.minimum(clients.clients, 12))), 30
    )
    used = np.asarray(expected.item) < 30
    assert used.sum() == (np.asarray(pool.item) < 30).sum() > 0
    for ours, theirs in zip(pool[:3], expected[:3], strict=True):
      np.testing.assert_allclose(
        np.asarray(ours)[np.asarray(pool.item) < 30], np.asarray(theirs)[used], atol=1e-6
      )


def test_a_pool_is_given_only_in_rounds_with_an_attacker(small):
  """An attack without anybody to upload for has no reason to compute."""

  def poison(state, uploads, view, key):
    del uploads, key
    rows = jnp.sum(view.pool.item < 30)
    return sends_ones().poison((), None, view, None)[0], state.at[view.round].set(rows)

  attack = Attack(
    poison,
    lambda key, context: jnp.full(len(context.rounds), -1),
    requires=frozenset({"own_data"}),
    pool=2,
  )
  late = AttackerConfig(malicious_ratio=0.35, membership="converted", start_epoch=2)
  run = make_run(small, attack=attack, attacker=late, train=TRAIN)
  pooled = np.asarray(final_state(run).attack)
  anybody = (run.rounds.malicious >= 0).any(axis=1)
  assert ((pooled > 0) == anybody).all() and anybody.any() and not anybody.all()


def counting():
  """Uploads how many attackers there are, how often they have been there, and what they share."""

  def poison(state, uploads, view, key):
    del key
    num_items = view.public.items.shape[0]
    held = jnp.sum((uploads.item < num_items).astype(jnp.float32))
    pooled = jnp.sum((view.pool.item < num_items).astype(jnp.float32))
    here = jnp.sum(view.active.astype(jnp.float32))
    rows = jnp.broadcast_to(jnp.stack([state, here, held, pooled]), (view.slot.shape[0], 1, 4))
    sent = item_rows(view.slot, view.active, view.targets, rows, num_items)
    return sent, state + here

  return Attack(
    poison,
    lambda key, context: jnp.float32(10 * context.num_malicious),
    requires=frozenset({"own_data"}),
    pool=2,
    colludes=True,
  )


def test_clients_that_do_not_collude_attack_as_if_alone(small):
  alone = AttackerConfig(
    malicious_ratio=0.35, membership="converted", targets="given", target_items=(7,),
    colluding=False,
  )
  run = make_run(small, attack=counting(), attacker=alone, train=TRAIN)
  assert run.state.attack.tolist() == [10.0] * 4 and run.rounds.pool is None
  received = []
  for one in simulated(run):
    malicious = [int(client) for client in one.inputs.malicious if client >= 0]
    before = np.asarray(one.before.attack)
    expected = np.zeros(4)
    for client in malicious:
      own = run.structure.num_benign + client
      held = 2 * int(run.constants.data.training.length[own])
      different = len({item for item in rows_of(run, own)})
      expected += [before[client], 1, held, different]
    np.testing.assert_allclose(sent_for_target(run, one), expected, rtol=1e-5)
    after = before.copy()
    after[malicious] += 1
    assert one.after.attack.tolist() == after.tolist()
    received.append(len(malicious))
  assert max(received) > 1


def test_attackers_that_act_alone_draw_numbers_of_their_own():
  def send_noise(state, uploads, view, key):
    del uploads
    noise = jnp.broadcast_to(jax.random.normal(key, (4,)), (view.slot.shape[0], 1, 4))
    return item_rows(view.slot, view.active, view.targets, noise, 14), state

  model = models.mf(dim=4)
  view = view_of(model, public_of(model, 0), [7])
  sent, _ = each_alone(Attack(send_noise, colludes=True)).poison((), no_uploads(4), view, jax.random.key(0))
  rows = by_slot(sent)
  assert rows.keys() == {4, 9, 6}
  assert len({rows[slot][7].tobytes() for slot in rows}) == 3


def rows_of(run, client):
  """The items that a client's samples are over."""
  data = run.constants.data.training
  start, length = int(data.start[client]), int(data.length[client])
  positive, negatives = (np.asarray(one)[start : start + length] for one in (data.positive, data.negatives))
  return [*positive.tolist(), *negatives.reshape(-1).tolist()]


def sent_for_target(run, one):
  """What the attack sent for its one target, added up."""
  constants = run.constants
  silent = constants._replace(
    parts=constants.parts._replace(
      poison=jax.tree_util.Partial(lambda state, uploads, view, key: (
        item_rows(view.slot, view.active & False, view.targets, jnp.zeros((view.slot.shape[0], 1, 4)), 30),
        state,
      ))
    )
  )
  without = step(run.structure, silent, one.before, one.inputs)[0].server.public.items
  change = np.asarray(without - one.after.server.public.items)[7]
  return change / float(constants.numbers.learning_rate)


def test_attacks_that_do_not_collude_are_the_same_either_way():
  attack = attacks.explicit_boosting()
  assert each_alone(attack) is attack


def test_stealth_by_hand():
  """Client 1 attacks with rows of length 2 and 5 among benign rows of length 1, 3 and 4."""
  row = jnp.array([1.0, 3.0, 4.0, 2.0, 5.0, 9.0])[:, None]
  uploads = ClientUpdates(jnp.array([0, 0, 2, 1, 1, 0]), jnp.array([0, 1, 0, 3, 3, 8]), row)
  hostile = jnp.array([False, True, False, False])
  sums = np.asarray(measure_stealth(uploads, hostile, ~hostile, jnp.int32(0), 8))
  np.testing.assert_allclose(sums, [1, 2, 3, 3, 1 / 3 + 1, 0], rtol=1e-6)
  columns = stealth_columns(sums[None])
  assert columns["malicious_rows"] == [2] and columns["benign_rows"] == [1]
  np.testing.assert_allclose(columns["norm_percentile"], [2 / 3])


def test_of_rows_of_one_length_each_is_half_behind_the_other():
  row = jnp.array([1.0, 2.0, 2.0, 2.0])[:, None]
  uploads = ClientUpdates(jnp.array([0, 0, 0, 1]), jnp.arange(4), row)
  hostile = jnp.array([False, True])
  sums = measure_stealth(uploads, hostile, ~hostile, jnp.int32(0), 4)
  np.testing.assert_allclose(stealth_columns(np.asarray(sums)[None])["norm_percentile"], [2 / 3])


@pytest.mark.parametrize("seed", range(5))
def test_norm_percentile_is_that_of_all_pairs(seed):
  random = np.random.default_rng(seed)
  norm = np.exp(random.normal(size=300) * 3)
  client = random.integers(0, 5, 300)
  item = np.where(random.random(300) < 0.1, 9, 0)
  hostile = np.array([False, True, False, True, False])
  uploads = ClientUpdates(*map(jnp.asarray, (client, item, norm[:, None].astype(np.float32))))
  columns = stealth_columns(
    np.asarray(
      measure_stealth(uploads, jnp.asarray(hostile), jnp.asarray(~hostile), jnp.int32(0), 9)
    )[None]
  )
  bad, good = norm[hostile[client] & (item == 0)], norm[~hostile[client] & (item == 0)]
  expected = np.mean([np.mean(good < one) for one in bad])
  np.testing.assert_allclose(columns["norm_percentile"], [expected], atol=0.01)


def test_what_uploads_look_like_is_reported_per_round_and_per_point(small):
  attacker = AttackerConfig(malicious_ratio=0.35, num_targets=2, start_epoch=1)
  result = simulate(
    small, model=models.mf(dim=4), attack=sends_ones(), train=TRAIN, attacker=attacker,
    evaluation=EvalConfig(ks=(3,)),
  )
  per_round = result.stealth["malicious_clients"]
  assert per_round.sum() == 4 * 3
  assert result.metrics["malicious_clients"].tolist() == [0, 4, 4, 4]
  assert np.isnan(result.metrics["norm_percentile"][0])
  assert (result.metrics["malicious_rows"][1:] == 2).all()
  assert (result.metrics["norm_percentile"][1:] > 0.99).all()
  nobody = simulate(small, model=models.mf(dim=4), train=TRAIN, evaluation=EvalConfig(ks=(3,)))
  assert nobody.stealth == {} and "malicious_rows" not in nobody.metrics


def test_a_negative_place_is_nobodys():
  """Places -1 and -2 are not those of the last two clients, of whom one attacks; nor is 3, of three clients."""
  hostile = jnp.array([False, False, True])
  client = jnp.array([-1, -2, 2, 3, -1, 0])
  uploads = ClientUpdates(client, jnp.array([0, 1, 2, 0, 4, -3]), jnp.ones((6, 1)))
  assert int(foreign_rows(uploads, hostile, 4)) == 3


def test_nobody_uploads_in_the_name_of_others(small):
  def poison(state, uploads, view, key):
    sent, state = sends_ones().poison(state, uploads, view, key)
    return sent._replace(client=(sent.client + 1) % view.num_clients), state

  with pytest.raises(AttackError, match="in the name of clients that are not its own"):
    simulate(
      small, model=models.mf(dim=4), attack=Attack(poison), train=TRAIN, defense=defenses.none(),
      attacker=AttackerConfig(malicious_ratio=0.35), evaluation=EvalConfig(ks=(3,)),
    )
