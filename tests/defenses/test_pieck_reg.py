"""PIECK's defence: its two terms and whole rounds, against the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import AttackerConfig, ConfigError, TrainConfig
from fedrecjax.defenses import pieck_reg
from fedrecjax.defenses.pieck_reg import (
  popular_direction,
  rank_weights,
  similarity_to_popular,
  user_separation,
)
from fedrecjax.popularity.mining import popular_items
from fedrecjax.simulation.round_clients import client_view
from tests.oracles import aggregation, pieck
from tests.oracles import pieck_reg as oracle
from tests.support.lockstep import assert_rounds_match, final_state, make_run, simulated, total

PAPER = {"weighting": "exponential", "kl": "item_to_user", "kl_scale": "sum"}
PUBLISHED = {"weighting": "quadratic", "kl": "user_to_item", "kl_scale": "mean"}
DEFAULT = {"weighting": "exponential", "kl": "item_to_user", "kl_scale": "mean"}
D, N = 5, 6


def vectors(seed):
  random = np.random.default_rng(seed)
  return random.normal(size=D).astype(np.float32), random.normal(size=(N, D)).astype(np.float32)


@pytest.mark.parametrize("weighting", ["exponential", "quadratic"])
@pytest.mark.parametrize("num_popular", [1, 2, 10])
def test_rank_weights(weighting, num_popular):
  found = rank_weights(num_popular, weighting)
  np.testing.assert_allclose(found, oracle.rank_weights(num_popular, weighting))
  assert sum(found) == pytest.approx(1.0)


def test_rank_weights_of_a_long_list():
  # exp(1000) is not a number that a computer has.
  assert rank_weights(1000, "exponential")[:2] == pytest.approx(
    [1 - np.exp(-1), np.exp(-1) - np.exp(-2)]
  )


@pytest.mark.parametrize("kl", ["user_to_item", "item_to_user"])
@pytest.mark.parametrize("kl_scale", ["sum", "mean"])
def test_divergence_and_its_gradient(kl, kl_scale):
  weights = rank_weights(N, "quadratic")
  value = jax.jit(jax.value_and_grad(functools.partial(user_separation, kl=kl, kl_scale=kl_scale)))
  for seed in range(10):
    user, popular = vectors(seed)
    user *= 3.0**seed / 100  # from nearly equal to nearly all on one dimension
    found, gradient = value(jnp.asarray(user), jnp.asarray(popular), jnp.asarray(weights))
    expected, slope = oracle.divergence(
      user.astype(float), popular.astype(float), weights, kl, kl_scale
    )
    assert float(found) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("zero", ["nothing", "row", "popular", "one popular"])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e4])
def test_similarity_and_its_gradient(zero, scale):
  weights = rank_weights(N, "exponential")
  row, popular = vectors(3)
  row = row * scale * (zero != "row")
  popular = popular * (zero != "popular")
  popular[1] *= zero != "one popular"
  with jax.debug_nans(True):
    towards = popular_direction(jnp.asarray(popular), jnp.asarray(weights))
    value, gradient = jax.value_and_grad(similarity_to_popular)(jnp.asarray(row), towards)
  expected, (slope,) = oracle.similarity([row.astype(float)], popular.astype(float), weights)
  assert float(value) == pytest.approx(expected, abs=1e-6)
  np.testing.assert_allclose(scale * gradient, scale * slope, atol=2e-6)


class Oracle:
  """What the defence's clients add to their loss in each round, with mining of its own."""

  def __init__(
    self,
    run,
    *,
    num_popular,
    mining_differences,
    before_mined="wait",
    beta=1.0,
    gamma=1.0,
    **readings,
  ):
    # Malicious clients that only poison their data run the software that every client runs.
    by_data_alone = run.constants.parts.poison is None
    self.following = run.structure.num_clients if by_data_alone else run.structure.num_benign
    self.num_popular, self.differences = num_popular, mining_differences
    self.before_mined, self.beta, self.gamma = before_mined, beta, gamma
    self.readings = {**DEFAULT, **readings}
    self.arbitrary = np.asarray(run.state.server.defense[0].arbitrary)
    self.received = {}
    self.regularised = 0

  def __call__(self, number):
    return functools.partial(self.term, number)

  def term(self, number, client, user, table, entries):
    nothing = 0.0, np.zeros_like(user), [np.zeros_like(user) for _ in entries]
    if client >= self.following:
      return nothing
    received = self.received.setdefault(client, {})
    received[number] = table
    first = list(received.values())[: self.differences + 1]
    beta = self.beta
    if len(first) > self.differences:
      popular = pieck.delta_norm_mining(first, self.num_popular, [])
    elif self.before_mined == "arbitrary":
      popular, beta = self.arbitrary[client].tolist(), 0.0
    else:
      return nothing
    self.regularised += 1
    return oracle.regularisers(
      user, table, entries, popular, beta=beta, gamma=self.gamma, **self.readings
    )


def assert_matches(
  small,
  train=None,
  attack=None,
  attacker=None,
  rule=None,
  aggregate=total,
  change=lambda run: run,
  **options,
):
  """Whole rounds beside the oracle; returns the number of times that a client was regularised."""
  options = {"num_popular": 4, "mining_differences": 1} | options
  train = TrainConfig(
    **({"epochs": 4, "clients_per_round": 5, "learning_rate": 0.3} | (train or {}))
  )
  defense = defenses.chain(pieck_reg(**options), rule or defenses.none())
  run = change(make_run(small, train=train, attack=attack, attacker=attacker, defense=defense))
  beside = Oracle(run, **options)
  assert_rounds_match(run, train, term=beside, aggregate=aggregate)
  return beside.regularised


@pytest.mark.parametrize("before_mined", ["wait", "arbitrary"])
@pytest.mark.parametrize("readings", [PAPER, PUBLISHED], ids=["paper", "published"])
@pytest.mark.parametrize("differences", [1, 2])
def test_rounds_match_the_oracle(small, readings, before_mined, differences):
  # The engine's data set has a repeated positive, and negatives that are drawn twice.
  often = assert_matches(
    small,
    before_mined=before_mined,
    mining_differences=differences,
    beta=0.7,
    gamma=1.3,
    **readings,
  )
  assert often == 2 * 12 * (4 if before_mined == "arbitrary" else 4 - differences)


@pytest.mark.parametrize(
  "changes",
  [
    {"duplicates": "first"},
    {"duplicates": "first", "loss": "bpr", "num_negatives": 3},
    {"reduction": "sum", "learning_rate": 0.05},
    {"negatives": "every_round", "num_negatives": 2},
    {"participation": "uniform", "epochs": 6},
    {"clients_per_round": 1, "epochs": 3},
    {"clients_per_round": 100},
    {"client_learning_rate": 0.1},
  ],
  ids=str,
)
def test_rounds_match_under_other_training(small, changes):
  assert assert_matches(small, changes) > 0


@pytest.mark.parametrize(
  "attack",
  [attacks.pieck_uea(num_popular=5, mining_differences=1), attacks.random(max_rows=12)],
  ids=["rows alone", "data"],
)
@pytest.mark.parametrize("membership", ["added", "converted"])
def test_malicious_clients_take_part_where_they_only_poison_their_data(small, attack, membership):
  attacker = AttackerConfig(malicious_ratio=0.25, membership=membership)
  assert assert_matches(small, attack=attack, attacker=attacker) > 0


def test_rounds_match_before_another_rule(small):
  def median(client_rows):
    return aggregation.median(np.array([row for _, row in client_rows]), scale="sum")

  assert assert_matches(small, rule=defenses.median(), aggregate=median) > 0


def test_rounds_match_where_every_item_is_popular(small):
  assert assert_matches(small, num_popular=30) > 0


@pytest.mark.parametrize(
  ("options", "epochs"), [({"beta": 0.0, "gamma": 0.0}, 4), ({"mining_differences": 4}, 4)]
)
def test_without_weights_or_before_anybody_has_mined_nothing_changes(small, options, epochs):
  train = TrainConfig(epochs=epochs, clients_per_round=5, learning_rate=0.3)
  options = {"num_popular": 4, "mining_differences": 1} | options
  with_terms = final_state(make_run(small, train=train, defense=pieck_reg(**options)))
  without = final_state(make_run(small, train=train))
  np.testing.assert_array_equal(with_terms.private, without.private)
  np.testing.assert_array_equal(with_terms.server.public.items, without.server.public.items)


def test_arbitrary_items_move_users_and_no_item(small):
  train = TrainConfig(epochs=1, clients_per_round=12, learning_rate=0.3)
  run = make_run(small, train=train, defense=pieck_reg(num_popular=4, before_mined="arbitrary"))
  plain = final_state(make_run(small, train=train))
  regularised = final_state(run)
  assert (np.asarray(regularised.private) != np.asarray(plain.private)).any(axis=1).all()
  np.testing.assert_array_equal(regularised.server.public.items, plain.server.public.items)


def last_round(small, num_popular):
  """The state of mining before a run's last round, long after everybody has mined, and the view."""
  train = TrainConfig(epochs=3, clients_per_round=8, learning_rate=0.3)
  defense = pieck_reg(num_popular=num_popular, mining_differences=1)
  run = make_run(small, train=train, defense=defense)
  *_, last = simulated(run)
  view = client_view(run.structure, run.constants, last.before, last.inputs)
  return last.before.server.defense[0], view


@functools.partial(jax.jit, static_argnames="num_popular")
def term_of(state, view, num_popular):
  return pieck_reg(num_popular=num_popular, mining_differences=1).client_term(state, view)[0]


@pytest.mark.parametrize("num_popular", [6, 30])
@pytest.mark.parametrize("zero", ["nothing", "users", "a third of the items", "all"])
def test_one_term_with_zero_vectors(small, num_popular, zero):
  state, view = last_round(small, num_popular)
  public = view.public
  if zero in ("users", "all"):
    view = view._replace(private=jnp.zeros_like(view.private))
  if zero == "a third of the items":
    public = public._replace(items=public.items.at[::3].set(0.0))
  elif zero == "all":
    public = public._replace(items=jnp.zeros_like(public.items))
  view = view._replace(public=public)
  with jax.debug_nans(True):
    term = term_of(state, view, num_popular)
  popular, mined = (np.asarray(part) for part in popular_items(state, view.clients))
  samples = view.samples
  items = np.concatenate([np.asarray(samples.positive)[:, None], samples.negatives], axis=1)
  places = np.where(samples.valid, samples.client, -1)
  present = np.asarray(view.clients) < 12
  assert present.any() and not present.all() and mined[present].all()
  assert (places == -1).any()
  np.testing.assert_array_equal(np.asarray(term.rows)[places == -1], 0.0)
  for place in np.flatnonzero(present):
    value, gradient, rows = oracle.regularisers(
      np.asarray(view.private[place], float),
      np.asarray(public.items, float),
      items[places == place].reshape(-1).tolist(),
      popular[place].tolist(),
      beta=1.0,
      gamma=1.0,
      **DEFAULT,
    )
    assert float(term.loss[place]) == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(term.private[place], gradient, atol=1e-6)
    found = np.asarray(term.rows)[places == place].reshape(len(rows), -1)
    np.testing.assert_allclose(found, rows, rtol=1e-5, atol=1e-6)
    # Popular items are constants, also where they stand in the client's own list.
    is_popular = np.isin(items[places == place].reshape(-1), popular[place])
    np.testing.assert_array_equal(found[is_popular], 0.0)


def test_targets_can_be_mined(small):
  attacker = AttackerConfig(malicious_ratio=0.25, targets="given", target_items=(3,))
  defense = pieck_reg(num_popular=5, mining_differences=1)
  run = make_run(
    small,
    train=TrainConfig(epochs=3, clients_per_round=15, learning_rate=0.3),
    attack=attacks.explicit_boosting(init_std=50.0),
    attacker=attacker,
    defense=defense,
  )
  mined = final_state(run).server.defense[0]
  lists, finished = popular_items(mined, jnp.arange(12))
  assert np.asarray(finished).all()
  assert (np.asarray(lists)[:, 0] == 3).all()  # the boosted target moved most


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"beta": -0.1}, "pieck_reg.beta must not be negative"),
    ({"gamma": -0.1}, "pieck_reg.gamma must not be negative"),
    ({"num_popular": 0}, "pieck_reg.num_popular must be positive"),
    ({"mining_differences": 0}, "pieck_reg.mining_differences must be positive"),
    ({"kl": "both"}, "pieck_reg.kl must be"),
  ],
)
def test_impossible_numbers_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    pieck_reg(**options)


def test_more_popular_items_than_there_are(small):
  with pytest.raises(ConfigError, match=r"num_popular=31 items asked for, 30 to choose from"):
    make_run(small, defense=pieck_reg(num_popular=31))
