"""FL-WBC: whole runs beside the oracle on the same noise, the noise, and what is left alone."""

import collections
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, ConfigError, TrainConfig
from fedrecjax.defenses.fl_wbc import FlWbcState
from fedrecjax.numerics.noise import laplace_noise, shared_noise
from fedrecjax.types import Attack, ClientUpdates, ClientView, DefenseContext, Public
from tests.oracles import aggregation, fl_wbc, training
from tests.support.lockstep import assert_defended_rounds_match, final_state, make_run, simulated

# Noise of the size of the gradients' changes, so that some coordinates are perturbed and some not;
# much smaller noise would leave it to rounding which.
SCALE = 0.02
FOUR_EPOCHS = {"epochs": 4, "clients_per_round": 5, "learning_rate": 0.5}
THREE_MALICIOUS = AttackerConfig(malicious_ratio=0.25, num_targets=2)


class Clients:
  """The oracle's clients, which draw the simulator's noise, and a count of what they did."""

  def __init__(self, run):
    self.run = run
    self.clients = collections.defaultdict(fl_wbc.Client)
    self.perturbed = self.untouched = 0

  def noise(self, number, client, items):
    key = jax.random.fold_in(self.run.constants.keys.clients, number)
    key = jax.random.fold_in(key, zlib.crc32(b"fl_wbc"))
    clients = jnp.full(len(items), client, jnp.int32)
    drawn = laplace_noise(key, clients, jnp.array(items, jnp.int32), 4)
    return dict(zip(items, SCALE * np.asarray(drawn, np.float64), strict=True))

  def sent(self, number, client, rows):
    first = client not in self.clients
    noisy = self.clients[client].participate(rows, self.noise(number, client, list(rows)))
    if not first:
      changed = sum(int((noisy[item] != row).sum()) for item, row in rows.items())
      self.perturbed += changed
      self.untouched += sum(row.size for row in rows.values()) - changed
    return noisy


def assert_matches(run, train, before=lambda row: row, **options):
  """Runs beside the oracle; `before` is done to each row before the clients add noise."""
  clients = Clients(run)

  def sent(number, client, rows):
    return clients.sent(number, client, {item: before(row) for item, row in rows.items()})

  poisoned = assert_defended_rounds_match(run, train, sent=sent, **options)
  assert clients.perturbed > 50 and clients.untouched > 50
  return poisoned


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"duplicates": "first"},
    {"num_negatives": 3, "loss": "bpr"},
    {"clients_per_round": 1},
    {"clients_per_round": 100},
    {"participation": "uniform", "epochs": 6},
  ],
  ids=["sum", "first", "bpr", "one client", "all clients", "uniform"],
)
def test_rounds_match_the_oracle(small, options):
  train = TrainConfig(**(FOUR_EPOCHS | options))
  run = make_run(small, train=train, defense=defenses.fl_wbc(scale=SCALE))
  assert_matches(run, train)


def median_of(uploads):
  return {
    item: aggregation.median(np.array([row for _, row in rows]), scale="sum")
    for item, rows in aggregation.group_by_item(uploads).items()
  }


def test_rounds_match_before_a_median_under_attack(small):
  train = TrainConfig(**FOUR_EPOCHS)
  run = make_run(
    small,
    train=train,
    attack=attacks.explicit_boosting(),
    attacker=THREE_MALICIOUS,
    defense=defenses.chain(defenses.fl_wbc(scale=SCALE), defenses.median()),
  )
  assert assert_matches(run, train, update=median_of) > 0


def bounded_sum(uploads):
  return {
    item: sum(aggregation.norm_bound(row, 0.05) for _, row in rows)
    for item, rows in aggregation.group_by_item(uploads).items()
  }


def test_rounds_match_beside_norm_bound(small):
  train = TrainConfig(**FOUR_EPOCHS)
  defense = defenses.chain(defenses.norm_bound(max_norm=0.05), defenses.fl_wbc(scale=SCALE))
  run = make_run(small, train=train, defense=defense)
  # The inner chain is part 0 of the one with the plain sum.
  assert_matches(run, train, update=bounded_sum)


def test_clipped_rows_are_what_is_compared(small):
  train = TrainConfig(row_clip=0.05, **FOUR_EPOCHS)
  run = make_run(small, train=train, defense=defenses.fl_wbc(scale=SCALE))
  assert_matches(run, train, before=lambda row: training.clip_row(row, 0.05))


def test_malicious_clients_that_only_poison_their_data_follow(small):
  train = TrainConfig(**FOUR_EPOCHS)
  run = make_run(
    small,
    train=train,
    attack=attacks.random(max_rows=12),
    attacker=THREE_MALICIOUS,
    defense=defenses.fl_wbc(scale=SCALE),
  )
  assert_matches(run, train)
  assert np.isfinite(remembered(run)[run.structure.num_benign :].sum())


def remembered(run):
  """Each client's remembered rows added up, after all rounds; infinite or NaN where none are."""
  state = final_state(run).server.defense[0]
  return np.add.reduceat(np.asarray(state.previous).sum(axis=1), np.asarray(state.indptr)[:-1])


def test_rows_that_an_attack_makes_are_left_alone(small):
  # The attack sends what its clients' data give, as it is.
  honest = Attack(
    poison=lambda state, uploads, view, key: (uploads, uploads.row),
    profiles=lambda rng, context: [np.array([0, 1, 2])] * context.num_malicious,
  )
  train = TrainConfig(**(FOUR_EPOCHS | {"clients_per_round": 100}))
  run = make_run(
    small,
    train=train,
    attack=honest,
    attacker=THREE_MALICIOUS,
    defense=defenses.fl_wbc(scale=SCALE),
  )
  finite = np.isfinite(remembered(run))
  assert finite[: run.structure.num_benign].all()
  assert not finite[run.structure.num_benign :].any()


def test_memory_holds_the_last_rows_before_noise(small):
  train = TrainConfig(**(FOUR_EPOCHS | {"epochs": 2}))
  run = make_run(small, train=train, defense=defenses.fl_wbc(scale=SCALE))
  clients = Clients(run)
  assert_defended_rounds_match(run, train, sent=clients.sent)
  state = final_state(run).server.defense[0]
  for client in range(12):
    part = slice(int(state.indptr[client]), int(state.indptr[client + 1]))
    last = clients.clients[client].previous
    assert state.held[part].tolist() == sorted(last)
    np.testing.assert_allclose(
      state.previous[part], [last[item] for item in sorted(last)], atol=1e-5
    )


def test_nobody_remembers_before_the_first_participation(small):
  train = TrainConfig(**FOUR_EPOCHS)
  run = make_run(small, train=train, defense=defenses.fl_wbc(scale=SCALE))
  seen = set()
  for one in simulated(run, 3):
    state = one.before.server.defense[0]
    for client in range(12):
      part = np.asarray(state.previous)[int(state.indptr[client]) : int(state.indptr[client + 1])]
      assert np.isfinite(part).all() == (client in seen)
    seen |= set(one.inputs.clients.tolist())


# Two clients of three hold items; client 1 holds none.
CONTEXT = DefenseContext(
  num_items=10,
  dim=2,
  num_clients=4,
  federation=3,
  rounds=np.zeros((1, 4), np.int32),
  indptr=np.array([0, 2, 2, 5]),
  held=np.array([3, 8, 0, 3, 9]),
)


def transformed(state, client, item, row, key=0, clients=(2, 3, 1, 0)):
  """One call of the stage; place 1 of the round is empty."""
  uploads = ClientUpdates(jnp.array(client), jnp.array(item), jnp.array(row, jnp.float32))
  view = ClientView(
    None, None, jnp.array(clients), jnp.int32(0), None, None, jax.random.key(key), 10
  )
  sent, state = defenses.fl_wbc(scale=1.0).client_transform(state, uploads, view)
  return np.asarray(sent.row), state


def started():
  return defenses.fl_wbc(scale=1.0).init(jax.random.key(0), CONTEXT)


def test_unknown_items_and_unused_places_are_left_alone():
  # Client 2 sends its items 0, 3 and 9, and item 5, which it does not hold; client 1 sends item 8,
  # the last one of the client before it; the last places are unused, one in the name of nobody.
  client, item = [0, 0, 0, 2, 0, 0, 1], [0, 3, 5, 8, 9, 10, 10]
  row = np.ones((7, 2))
  first, state = transformed(started(), client, item, row)
  np.testing.assert_array_equal(first, row)
  second, state = transformed(state, client, item, row)
  # Rows that did not change let all noise through.
  assert (second[[0, 1, 4]] != row[[0, 1, 4]]).all()
  np.testing.assert_array_equal(second[[2, 3, 5, 6]], row[[2, 3, 5, 6]])
  np.testing.assert_array_equal(
    np.isfinite(state.previous).all(axis=1), [False, False, True, True, True]
  )
  assert (np.asarray(state.previous)[2:] == 1).all()


def test_rounds_in_which_nobody_sends():
  _, state = transformed(started(), [0, 0], [0, 9], np.ones((2, 2)))
  sent, after = transformed(state, [0, 0], [10, 10], np.zeros((2, 2)))
  np.testing.assert_array_equal(sent, 0)
  for one, two in zip(state, after, strict=True):
    np.testing.assert_array_equal(one, two)


def test_a_client_that_skips_rounds_is_compared_with_its_last_one():
  _, state = transformed(started(), [0], [9], [[1.0, 1.0]])
  _, state = transformed(state, [3], [3], [[50.0, 50.0]])
  _, state = transformed(state, [0], [9], [[7.0, 7.0]])
  assert state.previous[0].tolist() == [50.0, 50.0] and state.previous[4].tolist() == [7.0, 7.0]


def test_noise_follows_the_client_and_the_item_and_not_the_place():
  _, state = transformed(started(), [0, 0], [0, 9], np.ones((2, 2)))
  _, state = transformed(state, [3], [3], np.ones((1, 2)))
  client, item = [0, 3, 0], [0, 3, 9]
  row = np.ones((3, 2))
  together, _ = transformed(state, client, item, row, key=4)
  # Client 2 now stands last; nobody else is there.
  alone, _ = transformed(state, [3, 3], [0, 9], np.ones((2, 2)), key=4, clients=(3, 3, 1, 2))
  np.testing.assert_array_equal(alone, together[[0, 2]])
  other, _ = transformed(state, client, item, row, key=5)
  assert (other != together).all()
  assert len(np.unique(together)) == together.size


SHAPES = {"bias": (3,), "filters": (2, 2, 3), "weights": (4, 3)}
SHAPE_STRUCTS = {
  name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in SHAPES.items()
}


def test_shared_parameters_match_the_oracle():
  federation, places = 7, 4
  defense = defenses.fl_wbc(scale=0.5)
  context = CONTEXT._replace(
    federation=federation, indptr=np.array([0, 5] + [5] * 6), shared=SHAPE_STRUCTS
  )
  state = defense.init(jax.random.key(0), context)
  # Biases are not remembered.
  assert [None if one is None else one.shape for one in state.shared] == [None, (7, 12), (7, 12)]

  @jax.jit
  def transform(state, shared, sent, clients, key):
    nothing = jnp.zeros(1, jnp.int32), jnp.full(1, 10, jnp.int32), jnp.zeros((1, 2))
    view = ClientView(None, None, clients, jnp.int32(0), None, None, key, 10)
    after, state = defense.client_transform(state, ClientUpdates(*nothing, shared, sent), view)
    return after.shared, state

  random = np.random.default_rng(0)
  oracle = [fl_wbc.Client() for _ in range(federation)]
  last = {name: random.normal(size=(federation, *shape)) for name, shape in SHAPES.items()}
  noisy = plain = 0
  for number in range(12):
    # The last place is empty, and client 6 sends nothing that all items share.
    clients = np.append(random.choice(federation, places - 1, replace=False), federation)
    sent = clients < 6
    for array in last.values():
      array += random.normal(size=array.shape) * 0.5
    padded = {name: np.append(array, array[:1], axis=0)[clients] for name, array in last.items()}
    shared = {
      name: jnp.asarray((array.T * sent).T, jnp.float32) for name, array in padded.items()
    }
    key = jax.random.key(number)
    found, state = transform(state, shared, jnp.asarray(sent), jnp.asarray(clients), key)
    drawn = [
      0.5 * np.asarray(shared_noise(key, jnp.asarray(clients), one, shape_size), np.float64)
      for one, shape_size in enumerate((3, 12, 12))
    ]
    for place, client in enumerate(clients):
      arrays = [np.asarray(shared[name][place], np.float64) for name in SHAPES]
      noise = [one[place].reshape(array.shape) for one, array in zip(drawn, arrays, strict=True)]
      expected = oracle[client].share(arrays, noise) if sent[place] else arrays
      for name, before, after in zip(SHAPES, arrays, expected, strict=True):
        np.testing.assert_allclose(found[name][place], after, atol=1e-5, err_msg=f"{number} {name}")
        noisy += (before != after).sum()
        plain += (before == after).sum()
  assert noisy > 100 and plain > 100


def test_arrays_have_noise_of_their_own():
  key, clients = jax.random.key(0), jnp.arange(3)
  drawn = [np.asarray(shared_noise(key, clients, one, 6)) for one in (0, 1)]
  drawn.append(np.asarray(laplace_noise(key, clients, jnp.zeros(3, jnp.int32), 6)))
  assert len(np.unique(drawn)) == 3 * 3 * 6


def test_a_plan_has_room_for_the_shared_parameters_of_the_model(small):
  model = models.mf(dim=4)
  shared = {"weights": jnp.ones((2, 5)), "bias": jnp.ones(5)}
  with_shared = model._replace(
    init_public=lambda key, num_items: Public(model.init_public(key, num_items).items, shared)
  )
  states = [
    make_run(small, model=one, defense=defenses.fl_wbc()).state.server.defense[0]
    for one in (model, with_shared)
  ]
  assert states[0].shared == () and states[1].shared[0] is None
  assert states[1].shared[1].shape == (12, 10) and np.isinf(states[1].shared[1]).all()


noise = jax.jit(laplace_noise, static_argnames="dim")


def test_noise_is_laplace_distributed():
  clients, items = (grid.reshape(-1) for grid in jnp.meshgrid(jnp.arange(50), jnp.arange(60)))
  drawn = np.asarray(noise(jax.random.key(3), clients, items, dim=8), np.float64)
  assert np.isfinite(drawn).all() and len(np.unique(drawn)) > 0.99 * drawn.size
  assert stats.kstest(drawn.reshape(-1), stats.laplace.cdf).pvalue > 0.01
  # Signs and magnitudes, the latter as uniform numbers, of different coordinates, clients and items
  # have nothing to do with each other: correlations are below 4.5 standard deviations.
  parts = np.concatenate([np.sign(drawn), np.exp(-np.abs(drawn))], axis=1)
  assert np.abs(np.corrcoef(parts.T) - np.eye(16)).max() < 4.5 / np.sqrt(len(parts))
  grid = parts.reshape(60, 50, 2, 8)
  for first, second in ((grid[1:], grid[:-1]), (grid[:, 1:], grid[:, :-1])):
    for part in (0, 1):
      pair = first[:, :, part].reshape(-1), second[:, :, part].reshape(-1)
      assert abs(np.corrcoef(*pair)[0, 1]) < 4.5 / np.sqrt(pair[0].size)


@pytest.mark.parametrize("dim", [1, 2, 5, 32])
def test_noise_of_any_dimension(dim):
  drawn = np.asarray(noise(jax.random.key(1), jnp.arange(40), jnp.arange(40), dim=dim))
  assert drawn.shape == (40, dim) and len(np.unique(drawn)) == drawn.size
  assert not np.isin(
    np.asarray(noise(jax.random.key(2), jnp.arange(40), jnp.arange(40), dim=dim)), drawn
  ).any()


def test_remembered_rows_are_not_copied():
  """A copy of them in every round would take most of its time on large data sets."""
  pairs = 200_000
  state = FlWbcState(
    jnp.array([0, pairs], jnp.int32), jnp.arange(pairs, dtype=jnp.int32), jnp.zeros((pairs, 8))
  )
  item = jnp.arange(0, pairs, 100, dtype=jnp.int32)

  def rounds(state):
    def one(state, number):
      view = ClientView(
        None, None, jnp.array([0]), number, None, None, jax.random.key(number), pairs
      )
      uploads = ClientUpdates(jnp.zeros_like(item), item, jnp.full((len(item), 8), 1.0 + number))
      sent, state = defenses.fl_wbc().client_transform(state, uploads, view)
      return state, sent.row.sum()

    return jax.lax.scan(one, state, jnp.arange(3))

  compiled = jax.jit(rounds, donate_argnums=0).lower(state).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < state.previous.nbytes / 2
  after, _ = compiled(state)
  assert (np.asarray(after.previous)[::100] == 3).all() and float(after.previous[1, 0]) == 0


def test_negatives_drawn_anew_are_refused(small):
  with pytest.raises(ConfigError, match=r"train\.negatives must be once") as caught:
    make_run(
      small, train=TrainConfig(negatives="every_round"), defense=defenses.fl_wbc(scale=SCALE)
    )
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_impossible_scales(scale):
  with pytest.raises(ValueError, match=r"fl_wbc\.scale must be positive"):
    defenses.fl_wbc(scale=scale)
