"""Runs the simulator's rounds beside the oracle's, on the same draws."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax import attacks, defenses, models
from fedrecjax.clients.sampling import draw_negatives
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset
from fedrecjax.simulation.planning import Run, plan, round_inputs
from fedrecjax.simulation.records import RoundInput
from fedrecjax.simulation.round import train_round
from fedrecjax.simulation.round_clients import client_view, train
from fedrecjax.types import AttackView, ClientUpdates, SimulationState
from fedrecjax.vision import Visuals
from tests.oracles import aggregation, training

step = jax.jit(train_round, static_argnames="structure")
EVALUATION = EvalConfig(ks=(1, 3, 10))

Row = tuple[int, int, np.ndarray]
"""A client, an item and the row that the client sends for it."""
Sent = tuple[int, np.ndarray, dict[int, np.ndarray]]
"""A client, the gradient of its vector and the rows that it sends, by item."""


def make_run(
  dataset: Dataset,
  *,
  model: Any = None,
  attack: Any = None,
  defense: Any = None,
  train: TrainConfig | None = None,
  attacker: AttackerConfig | None = None,
  evaluation: EvalConfig = EVALUATION,
  seed: int = 0,
  visuals: Visuals | None = None,
  **optimizers: Any,
) -> Run:
  """A planned run, by default MF with vectors large enough for every term to count."""
  return plan(
    dataset,
    model=model or models.mf(dim=4, init_std=0.7),
    attack=attack or attacks.none(),
    defense=defense or defenses.none(),
    train=train or TrainConfig(epochs=2, clients_per_round=5),
    attacker=attacker or AttackerConfig(malicious_ratio=0.0),
    evaluation=evaluation,
    seed=seed,
    visuals=visuals,
    **optimizers,
  )


def round_input(run: Run, number: int) -> RoundInput:
  """The input of one round of a planned run."""
  inputs = round_inputs(run.rounds, slice(number, number + 1))
  return jax.tree.map(lambda array: array[0], inputs)


def permuted(inputs: RoundInput, number: int) -> RoundInput:
  """The same clients in other places of the round, malicious ones in another order too; empty places move as well."""
  random = np.random.default_rng(number)
  order = random.permutation(len(inputs.clients))
  place = np.argsort(order)
  among = random.permutation(len(inputs.malicious))
  malicious = np.asarray(inputs.malicious)[among]
  slot = np.where(malicious >= 0, place[np.asarray(inputs.slot)[among]], 0)
  return inputs._replace(
    clients=inputs.clients[order],
    malicious=jnp.asarray(malicious),
    slot=jnp.asarray(slot, jnp.int32),
  )


class Step(NamedTuple):
  """One round as simulated: the states around it, its input, the loss and the number of benign
  clients, and their L2 terms where there are some.
  """

  before: SimulationState
  after: SimulationState
  inputs: RoundInput
  loss: float
  benign: int
  penalty: float | None = None


def simulated(run: Run, rounds: int | None = None) -> Iterator[Step]:
  """The first rounds of a run, all by default, each with the state that the one before has left."""
  state = run.state
  for number in range(len(run.rounds.clients) if rounds is None else rounds):
    inputs = round_input(run, number)
    after, report = step(run.structure, run.constants, state, inputs)
    penalty = None if report.penalty is None else float(report.penalty)
    yield Step(state, after, inputs, float(report.loss), int(report.benign), penalty)
    state = after


def final_state(run: Run, rounds: int | None = None) -> SimulationState:
  """The state after the given number of rounds, all by default."""
  state = run.state
  for one in simulated(run, rounds):
    state = one.after
  return state


def honest_uploads(run: Run, before: SimulationState, inputs: RoundInput) -> ClientUpdates:
  """What all clients of a round send if nobody attacks and nothing is transformed."""
  view = client_view(run.structure, run.constants, before, inputs)
  is_benign = inputs.clients < run.structure.num_benign
  return train(run.structure, run.constants, before, view, ~is_benign).uploads


def pairs_of(run: Run, number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """Positives and negatives of every client in a round, as the simulator draws them."""
  data = run.constants.data.training
  start, length = np.asarray(data.start), np.asarray(data.length)
  positive = np.asarray(data.positive)
  if data.negatives is None:
    users = np.repeat(np.arange(len(length)), length)
    offset = np.concatenate([np.arange(one) for one in length])
    key = jax.random.fold_in(run.constants.keys.negatives, number)
    negative = np.asarray(
      draw_negatives(
        key,
        data.for_negatives,
        jnp.asarray(users),
        jnp.asarray(offset),
        count=run.structure.num_negatives,
        num_items=run.structure.num_items,
      )
    )
  else:
    negative = np.asarray(data.negatives)
  slices = [slice(first, first + size) for first, size in zip(start, length, strict=True)]
  return [positive[one] for one in slices], [negative[one] for one in slices]


def poisoned_rows(
  run: Run, before: SimulationState, inputs: RoundInput
) -> list[Row]:
  """What the attack uploads in a round: (client, item, row), clients by number."""
  if run.constants.parts.poison is None:
    return []
  active = inputs.malicious >= 0
  view = AttackView(
    public=before.server.public,
    round=inputs.number,
    client=jnp.where(active, inputs.malicious, run.population.num_malicious),
    active=active,
    slot=inputs.slot,
    targets=run.constants.data.evaluation.targets,
    learning_rate=run.constants.numbers.learning_rate,
    benign=None,
    model=run.constants.parts.model,
    num_clients=inputs.clients.shape[0],
  )

  def sent(poison, state, view, key):
    # Jitted arguments are traced, and this number is a shape.
    return poison(state, None, view._replace(num_clients=inputs.clients.shape[0]), key)

  uploads, _ = jax.jit(sent)(run.constants.parts.poison, before.attack, view, jax.random.key(0))
  clients = np.asarray(inputs.clients)
  return [
    (int(clients[client]), int(item), np.asarray(row, np.float64))
    for client, item, row in zip(*(np.asarray(part) for part in uploads[:3]), strict=True)
    if item < run.structure.num_items
  ]


def total(client_rows: list[training.ClientRow]) -> np.ndarray:
  """The oracle's plain sum."""
  return aggregation.sum_(np.array([row for _, row in client_rows]))


def assert_rounds_match(
  run: Run,
  train: TrainConfig,
  *,
  aggregate: Callable[[list[training.ClientRow]], np.ndarray] = total,
  term: Callable[[int], training.Term] | None = None,
  tolerance: float = 1e-5,
) -> int:
  """Runs all rounds of a run beside the oracle, which carries its own state; returns the rows that
  attacks sent. `term` gives what clients add to their loss in a round.
  """
  users = np.asarray(run.state.private, np.float64)
  table = np.asarray(run.state.server.public.items, np.float64)
  poisoned = 0
  for number, one in enumerate(simulated(run)):
    extra = poisoned_rows(run, one.before, one.inputs)
    poisoned += len(extra)
    positives, negatives = pairs_of(run, number)
    present = present_clients(run, one)
    benign = [client for client in present if client < run.structure.num_benign]
    options = {
      "loss": train.loss,
      "reduction": train.reduction,
      "duplicates": train.duplicates,
      "client_learning_rate": float(run.constants.numbers.client_learning_rate),
      "server_learning_rate": float(run.constants.numbers.learning_rate),
      "aggregate": aggregate,
      "extra_uploads": extra,
      "row_clip": None,
      "term": None if term is None else term(number),
    }
    loss = training.federated_round(users, table, benign, positives, negatives, **options)[2]
    trained = benign if run.constants.parts.poison is not None else present
    users, table, _ = training.federated_round(
      users, table, trained, positives, negatives, **options
    )
    np.testing.assert_allclose(
      one.after.private, users, atol=tolerance, err_msg=f"users, round {number}"
    )
    np.testing.assert_allclose(
      one.after.server.public.items, table, atol=tolerance, err_msg=f"items, round {number}"
    )
    assert one.benign == len(benign)
    np.testing.assert_allclose(one.loss, loss * len(benign), rtol=1e-5, atol=1e-6)
  return poisoned


def assert_rounds_follow(
  run: Run,
  trained: Callable[[int, Step, np.ndarray, np.ndarray], Iterable[Sent]],
  *,
  update: Callable[[list[Row]], dict[int, np.ndarray]] | None = None,
  extra: Callable[[Step], list[Row]] = lambda one: [],
  tolerance: float = 1e-5,
) -> None:
  """Runs all rounds of a run beside a loop over clients, which carries its own state.

  Args:
    run: the run.
    trained: (round, the round as simulated, users, table) -> each client that trains.
    update: (client, item, row) of a round -> what the server subtracts, by item, before it multiplies by the step
      size; the plain sum by default.
    extra: further rows of a round, which come last.
    tolerance: of vectors, absolute.
  """
  users = np.asarray(run.state.private, np.float64)
  table = np.asarray(run.state.server.public.items, np.float64)
  numbers = run.constants.numbers
  client_rate, server_rate = float(numbers.client_learning_rate), float(numbers.learning_rate)
  for number, one in enumerate(simulated(run)):
    uploads: list[Row] = []
    moved = users.copy()
    for client, gradient, rows in trained(number, one, users, table):
      moved[client] -= client_rate * gradient
      uploads += [(client, item, row) for item, row in rows.items()]
    users, table = moved, table.copy()
    for item, row in (update or as_summed)(uploads + extra(one)).items():
      table[item] -= server_rate * row
    np.testing.assert_allclose(
      one.after.private, users, atol=tolerance, err_msg=f"users, round {number}"
    )
    np.testing.assert_allclose(
      one.after.server.public.items, table, atol=tolerance, err_msg=f"items, round {number}"
    )


def present_clients(run: Run, one: Step) -> list[int]:
  """The clients of a round, by number."""
  return [int(client) for client in one.inputs.clients if client < run.structure.num_clients]


def as_summed(uploads: list[Row]) -> dict[int, np.ndarray]:
  """The plain sum of a round's uploads, by item."""
  return {
    item: total(client_rows) for item, client_rows in aggregation.group_by_item(uploads).items()
  }


def assert_defended_rounds_match(
  run: Run,
  train: TrainConfig,
  *,
  sent: Callable[[int, int, dict[int, np.ndarray]], dict[int, np.ndarray]] | None = None,
  update: Callable[[list[Row]], dict[int, np.ndarray]] = as_summed,
  tolerance: float = 1e-5,
) -> int:
  """Like `assert_rounds_match`, for defences that look at all rows of a client or of a round.

  Args:
    run: the run.
    train: its training.
    sent: (round, client, its gradients by item) -> what it sends, for clients that train on data.
    update: (client, item, row) of a round, the attack's last -> what the server subtracts, by item,
      before it multiplies by the step size.
    tolerance: of vectors, absolute.

  Returns:
    The number of rows that attacks sent.
  """
  poisoned: list[Row] = []

  def trained(number: int, one: Step, users: np.ndarray, table: np.ndarray) -> Iterator[Sent]:
    positives, negatives = pairs_of(run, number)
    for client in present_clients(run, one):
      if client >= run.structure.num_benign and run.constants.parts.poison is not None:
        continue
      _, gradient, rows = training.client_gradients(
        users[client],
        table,
        positives[client],
        negatives[client],
        loss=train.loss,
        reduction=train.reduction,
        duplicates=train.duplicates,
      )
      yield client, gradient, rows if sent is None else sent(number, client, rows)

  def extra(one: Step) -> list[Row]:
    rows = poisoned_rows(run, one.before, one.inputs)
    poisoned.extend(rows)
    return rows

  assert_rounds_follow(run, trained, update=update, extra=extra, tolerance=tolerance)
  return len(poisoned)
