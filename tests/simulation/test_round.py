"""Whole rounds against the oracle, and what must not change a round's result."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.defenses.presence import without_rejected
from fedrecjax.simulation.round_server import claimed_samples
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack, ClientUpdates, Defense
from fedrecjax.uploads.rows import item_rows, keep_clients
from tests.oracles import aggregation, training
from tests.support.lockstep import (
  EVALUATION,
  assert_rounds_match,
  final_state,
  honest_uploads,
  make_run,
  permuted,
  round_input,
  simulated,
  step,
)
from tests.support.views import defense_view

FIVE_PER_ROUND = {
  "epochs": 2,
  "clients_per_round": 5,
  "learning_rate": 0.5,
}  # 12 clients: rounds of 5, 5 and 2
THREE_MALICIOUS = AttackerConfig(malicious_ratio=0.25)


@pytest.mark.parametrize(
  ("loss", "reduction", "num_negatives", "duplicates"),
  list(itertools.product(("bce", "bpr"), ("mean", "sum"), (1, 3), ("sum", "first"))),
)
def test_rounds_match_the_oracle(small, loss, reduction, num_negatives, duplicates):
  train = TrainConfig(
    loss=loss,
    reduction=reduction,
    num_negatives=num_negatives,
    duplicates=duplicates,
    client_learning_rate=0.25,
    **FIVE_PER_ROUND,
  )
  assert_rounds_match(make_run(small, train=train), train)


def test_rounds_match_with_negatives_drawn_every_round(small):
  train = TrainConfig(negatives="every_round", num_negatives=3, **FIVE_PER_ROUND)
  run = make_run(small, train=train)
  assert run.constants.data.training.negatives is None
  assert_rounds_match(run, train)


@pytest.mark.parametrize(
  "sizes",
  [
    {"clients_per_round": 1},
    {"clients_per_round": 100},
    {"clients_per_round": 7, "participation": "uniform"},
  ],
  ids=["one client", "all clients", "uniform"],
)
def test_rounds_of_other_sizes_match(small, sizes):
  train = TrainConfig(epochs=1, learning_rate=0.5, **sizes)
  assert_rounds_match(make_run(small, train=train), train)


@pytest.mark.parametrize(
  "attack",
  [
    attacks.explicit_boosting(),
    attacks.pieck_uea(num_popular=5, mining_differences=1),
    attacks.pieck_uea(num_popular=6, num_batches=3, reading="batches", before_mined="arbitrary"),
    attacks.pieck_ipe(num_popular=5, mining_differences=1, scale=3.0),
  ],
  ids=["explicit_boosting", "uea", "uea batches", "ipe"],
)
def test_rounds_match_under_model_poisoning(small, attack):
  train = TrainConfig(epochs=4, clients_per_round=4, learning_rate=0.5)
  attacker = AttackerConfig(malicious_ratio=0.25, num_targets=2)
  run = make_run(small, train=train, attack=attack, attacker=attacker)
  # Malicious clients have no data, and a round has room for more of them than there are.
  assert (np.asarray(run.constants.data.training.length)[run.structure.num_benign :] == 0).all()
  assert (run.rounds.malicious < 0).any()
  assert assert_rounds_match(run, train) > 0


@pytest.mark.parametrize("membership", ["added", "converted"])
def test_rounds_match_under_data_poisoning(small, membership):
  train = TrainConfig(**FIVE_PER_ROUND)
  attacker = AttackerConfig(malicious_ratio=0.25, membership=membership, num_targets=2)
  run = make_run(small, train=train, attack=attacks.random(max_rows=12), attacker=attacker)
  assert np.asarray(run.constants.data.training.length)[run.structure.num_benign :].tolist() == [6, 6, 6]
  assert_rounds_match(run, train)


@pytest.mark.parametrize(
  ("defense", "rule"),
  [
    (defenses.none(scale="mean"), aggregation.mean),
    (defenses.median(), lambda rows: aggregation.median(rows, scale="sum")),
    (
      defenses.chain(defenses.norm_bound(max_norm=0.05), defenses.median(scale="mean")),
      lambda rows: aggregation.median(
        np.array([aggregation.norm_bound(row, 0.05) for row in rows])
      ),
    ),
    (
      defenses.norm_bound(max_norm=0.05),
      lambda rows: aggregation.sum_(np.array([aggregation.norm_bound(row, 0.05) for row in rows])),
    ),
    (
      defenses.trimmed_mean(f=0.3),
      lambda rows: aggregation.trimmed_mean(
        rows, aggregation.trim_count(len(rows), "ratio_of_count", 0.3), "extremes", scale="sum"
      ),
    ),
  ],
  ids=["mean", "median", "norm_bound+median", "norm_bound", "trimmed_mean"],
)
def test_rounds_match_under_a_defense(small, defense, rule):
  train = TrainConfig(epochs=2, clients_per_round=8, learning_rate=0.5)
  run = make_run(
    small,
    train=train,
    attack=attacks.explicit_boosting(),
    attacker=THREE_MALICIOUS,
    defense=defense,
  )
  assert (
    assert_rounds_match(run, train, aggregate=lambda rows: rule(np.array([row for _, row in rows])))
    > 0
  )


def test_row_clip_bounds_the_rows_of_benign_clients_alone(small):
  train = TrainConfig(row_clip=0.03, **FIVE_PER_ROUND)
  run = make_run(small, train=train, attack=attacks.explicit_boosting(), attacker=THREE_MALICIOUS)

  def clipped_sum(client_rows):
    benign = run.structure.num_benign
    return aggregation.sum_(
      np.array(
        [training.clip_row(row, 0.03) if client < benign else row for client, row in client_rows]
      )
    )

  assert assert_rounds_match(run, train, aggregate=clipped_sum) > 0


def test_upload_noise_has_the_stated_size(small):
  # One round in which everybody takes part; every touched item then moves by the sum of its
  # clients' noise.
  train = TrainConfig(
    epochs=1, clients_per_round=100, row_clip=0.1, upload_noise=5.0, learning_rate=1.0
  )
  noisy, clean = (
    np.asarray(final_state(make_run(small, train=one)).server.public.items)
    for one in (train, TrainConfig(epochs=1, clients_per_round=100, row_clip=0.1))
  )
  moved = noisy - clean
  run = make_run(small, train=train)
  data = run.constants.data.training
  users = np.repeat(np.arange(12), np.asarray(data.length))
  touched = np.concatenate(
    [
      np.stack([users, np.asarray(data.positive)], 1),
      np.stack([users, np.asarray(data.negatives)[:, 0]], 1),
    ]
  )
  counts = np.bincount(np.unique(touched, axis=0)[:, 1], minlength=30)
  assert (moved[counts == 0] == 0).all()
  # About 360 normal numbers of standard deviation 5 * 0.1: their sample deviation is within 15 % (4
  # sigma).
  scaled = moved[counts > 0] / np.sqrt(counts[counts > 0])[:, None]
  assert scaled.std() == pytest.approx(0.5, rel=0.2)


def test_sum_of_benign_uploads_is_the_centralised_gradient(small):
  # With plain sums, one round of everybody is one step of gradient descent on the sum of all
  # losses.
  train = TrainConfig(
    epochs=1, clients_per_round=100, reduction="sum", num_negatives=2, learning_rate=0.5
  )
  run = make_run(small, train=train)
  data = run.constants.data.training
  users = jnp.repeat(jnp.arange(12), data.length)

  def loss(private, items):
    own = private[users]
    positive = jnp.sum(own * items[data.positive], axis=1)
    negative = jnp.einsum("pd,pqd->pq", own, items[data.negatives])
    return jnp.sum(jax.nn.softplus(-positive)) + jnp.sum(jax.nn.softplus(negative))

  before = run.state
  for_private, for_items = jax.grad(loss, argnums=(0, 1))(
    before.private, before.server.public.items
  )
  after = final_state(run)
  np.testing.assert_allclose(after.private, before.private - 0.5 * for_private, atol=1e-5)
  np.testing.assert_allclose(
    after.server.public.items, before.server.public.items - 0.5 * for_items, atol=1e-5
  )


def tables_of(run, structure=None, inputs=None):
  """Items and users after all rounds, with another structure or altered inputs."""
  state = run.state
  for number in range(len(run.rounds.clients)):
    one = round_input(run, number)
    one = one if inputs is None else inputs(one, number)
    state, _ = step(structure or run.structure, run.constants, state, one)
  return np.asarray(state.server.public.items), np.asarray(state.private)


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"negatives": "every_round"},
    {"duplicates": "first"},
    {"row_clip": 0.1, "upload_noise": 0.1},
  ],
  ids=["once", "every_round", "first", "noise"],
)
def test_order_of_clients_does_not_matter(small, options):
  train = TrainConfig(**FIVE_PER_ROUND, **options)
  run = make_run(
    small,
    train=train,
    attack=attacks.explicit_boosting(),
    attacker=THREE_MALICIOUS,
    defense=defenses.median(),
  )
  for first, second in zip(tables_of(run), tables_of(run, inputs=permuted), strict=True):
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_other_seeds_give_other_results(small):
  first, second = (final_state(make_run(small, seed=seed)) for seed in (0, 1))
  assert not np.allclose(first.private, second.private)
  assert not np.allclose(first.server.public.items, second.server.public.items)


def test_a_client_that_is_absent_keeps_its_vector(small):
  run = make_run(small)
  for one in simulated(run, 3):
    absent = np.setdiff1d(np.arange(12), one.inputs.clients)
    present = np.intersect1d(np.arange(12), one.inputs.clients)
    before, after = np.asarray(one.before.private), np.asarray(one.after.private)
    assert (before[absent] == after[absent]).all()
    assert (before[present] != after[present]).any(axis=1).all()


def recording_attack(requires=frozenset()):
  """An undecorated attack that uploads ones for the targets and records what it was granted."""
  seen = {}

  def init(key, context):
    seen["popularity"] = context.popularity
    return jnp.zeros((), jnp.int32)

  def poison(state, uploads, view, key):
    seen["benign"] = view.benign
    seen["own"] = uploads
    rows = jnp.ones((*view.client.shape, len(view.targets), view.public.items.shape[1]))
    return item_rows(
      view.slot, view.active, view.targets, rows, view.public.items.shape[0]
    ), state + 1

  return Attack(poison=poison, init=init, requires=requires), seen


def test_a_custom_attack_works_undecorated(small):
  attack, seen = recording_attack()
  result = simulate(
    small,
    model=models.mf(dim=4),
    attack=attack,
    train=TrainConfig(**FIVE_PER_ROUND),
    attacker=THREE_MALICIOUS,
    evaluation=EVALUATION,
  )
  assert int(result.state.attack) == 6  # rounds: 15 clients in fives, twice
  assert seen["own"].item.shape == (0,)
  # Each of the three malicious clients subtracts half a unit from the target's row in each of two
  # epochs.
  honest = simulate(
    small, model=models.mf(dim=4), train=TrainConfig(**FIVE_PER_ROUND), evaluation=EVALUATION
  )
  assert not (np.asarray(honest.state.server.public.items)[result.targets] < -2).any()
  assert (np.asarray(result.state.server.public.items)[result.targets] < -2).all()


@pytest.mark.parametrize(
  "requires",
  [
    (),
    ("popularity",),
    ("benign_uploads",),
    ("popularity", "benign_uploads"),
  ],
  ids=str,
)
def test_an_attack_is_granted_what_it_requires_and_no_more(small, requires):
  attack, seen = recording_attack(frozenset(requires))
  final_state(make_run(small, attack=attack, attacker=THREE_MALICIOUS), 1)
  assert (seen["popularity"] is not None) == ("popularity" in requires)
  assert (seen["benign"] is not None) == ("benign_uploads" in requires)


def test_an_omniscient_attack_sees_the_benign_uploads_alone(small):
  # The attack returns what it has seen as its state.
  attack = Attack(
    poison=lambda state, uploads, view, key: (uploads, (view.benign, uploads)),
    requires=frozenset({"benign_uploads"}),
    profiles=lambda rng, context: [np.array([0, 1, 2])] * context.num_malicious,
  )
  train = TrainConfig(epochs=1, clients_per_round=100)
  run = make_run(small, attack=attack, attacker=THREE_MALICIOUS, train=train)
  clients = run.rounds.clients[0]
  for uploads, wanted in zip(final_state(run).attack, (range(12), range(12, 15)), strict=True):
    used = np.asarray(uploads.item) < 30
    assert set(clients[np.asarray(uploads.client)[used]]) == set(wanted)


def test_malicious_clients_without_data_claim_what_benign_ones_have_on_average():
  is_benign, present = jnp.array([True, True, False, False, False]), jnp.array([True, True, True, True, False])
  claimed = claimed_samples(is_benign, present, jnp.array([2, 6, 0, 5, 0]))
  assert claimed.tolist() == [2.0, 6.0, 4.0, 5.0, 0.0]


def test_clients_of_which_a_filter_leaves_nothing_take_no_part():
  # Client 0 loses everything, 1 one of its rows, 2 sent nothing at all; 3 is an empty place.
  before = ClientUpdates(jnp.array([0, 0, 1, 1]), jnp.array([2, 4, 1, 2]), jnp.ones((4, 2)))
  after = before._replace(item=jnp.array([5, 5, 5, 2]))
  view = defense_view(num_items=5, num_clients=4, clients=3)
  rows_alone = without_rejected(view, before, after)
  assert rows_alone.present.tolist() == [False, True, True, False] and int(rows_alone.clients) == 2
  # Shared gradients are something, too.
  sent = jnp.array([True, True, False, False])
  before = before._replace(sent=sent)
  for left, takes_part in ((sent, True), (sent.at[0].set(False), False)):
    present = without_rejected(view, before, after._replace(sent=left)).present
    assert present.tolist() == [takes_part, True, True, False]


def test_a_filter_may_drop_clients_before_a_rule(small):
  # The first place of every round is dropped; what remains is aggregated as if it had never been
  # there.
  def drop_first(state, uploads, view):
    return keep_clients(uploads, jnp.arange(view.num_clients) > 0, view.num_items), state

  train = TrainConfig(**FIVE_PER_ROUND)
  dropping = Defense(filter=drop_first, unique_rows=True)
  run = make_run(
    small, train=train, defense=defenses.chain(dropping, defenses.median(scale="mean"))
  )
  state, _ = step(run.structure, run.constants, run.state, round_input(run, 0))
  uploads = honest_uploads(run, run.state, round_input(run, 0))
  kept = [
    (int(client), int(item), np.asarray(row, np.float64))
    for client, item, row in zip(*(np.asarray(part) for part in uploads[:3]), strict=True)
    if item < 30 and client > 0
  ]
  merged = {}
  for client, item, row in kept:
    merged[client, item] = merged.get((client, item), 0.0) + row
  expected = np.asarray(run.state.server.public.items, np.float64)
  for item, rows in aggregation.group_by_item([(*key, row) for key, row in merged.items()]).items():
    expected[item] -= 0.5 * aggregation.median(np.array([row for _, row in rows]))
  np.testing.assert_allclose(state.server.public.items, expected, atol=1e-5)
