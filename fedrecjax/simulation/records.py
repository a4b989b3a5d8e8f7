"""What a run is made of: static structure, functions, data, numbers and keys; and a round's input and report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedrecjax.clients.local_training import TrainingData
from fedrecjax.numerics.optimizers import DESCENT
from fedrecjax.simulation.evaluation import EvaluationData
from fedrecjax.types import Array, Loss, Model


class Structure(NamedTuple):
  """Everything static: what distinguishes one compiled program from another, besides the shapes of arrays.

  Attributes:
    num_items: M.
    num_benign: benign clients N.
    num_clients: all clients.
    capacity: training samples planned for a round, P.
    num_negatives: q.
    mean: whether a client's loss is a mean.
    unique_rows: whether the defence's rule needs one row per client and item.
    own_rows: rows planned for what a round's malicious clients would upload from their data if they behaved; 0 where
      the attack does not replace such uploads.
    omniscient: whether the attack has been granted all benign uploads.
    num_tiles: tiles planned for the samples of a round (:mod:`fedrecjax.clients.tiles`).
    own_shared: whether clients' gradients of shared parameters are told apart, and not only added up.
    history: L of models that read a user's items in order; 0 for others.
    local_steps: steps of gradient descent that a client takes before it uploads.
    l2_rows: which item rows the L2 penalty is on.
    l2_benign: whether it is part of benign clients' losses alone.
    dropout: whether looked-up vectors are dropped.
    pseudo_items: items that each client adds to hide its own.
    pool_capacity: training samples planned for the pool of an attack (`Attack.pool`); 0 without one.
    pool_tiles: tiles planned for them.
    server_optimizer: gradient to direction, see :mod:`fedrecjax.numerics.optimizers`.
    client_optimizer: likewise, of the clients' own vectors.
    client_table: whether that is one optimiser over the table of all of them.
  """

  num_items: int
  num_benign: int
  num_clients: int
  capacity: int
  num_negatives: int
  mean: bool
  unique_rows: bool
  own_rows: int
  omniscient: bool
  num_tiles: int = 0
  own_shared: bool = False
  history: int = 0
  local_steps: int = 1
  l2_rows: str = "none"
  l2_benign: bool = False
  dropout: bool = False
  pseudo_items: int = 0
  pool_capacity: int = 0
  pool_tiles: int = 0
  server_optimizer: optax.GradientTransformationExtraArgs = DESCENT
  client_optimizer: optax.GradientTransformationExtraArgs = DESCENT
  client_table: bool = False


class Parts(NamedTuple):
  """The functions of the run's methods, as arguments: their numbers are traced. Absent ones are None.

  Attributes:
    model: base recommender.
    loss: of one sample.
    poison: of the attack.
    samples: of the attack.
    tells: of the attack.
    client_term: of the defence.
    client_transform: of the defence.
    filter: of the defence.
    aggregate: of the defence; never absent.
  """

  model: Model
  loss: Loss
  poison: Any
  samples: Any
  tells: Any
  client_term: Any
  client_transform: Any
  filter: Any
  aggregate: Any


class RunData(NamedTuple):
  """All data of a run on the device.

  Attributes:
    training: what clients train on.
    evaluation: what is evaluated, with the targets.
  """

  training: TrainingData
  evaluation: EvaluationData


class Numbers(NamedTuple):
  """Numbers of training, traced; float32 whatever `jax_enable_x64` says.

  Attributes:
    learning_rate: step size of the server.
    client_learning_rate: step size of each client, float32 `[clients]`, or of all.
    l2: weight of the squared norms, half of which is added to each client's loss.
    dropout: share of looked-up numbers that are left out.
    neighbors_from: first round in which neighbours are used, int32 scalar.
  """

  learning_rate: Array
  client_learning_rate: Array
  l2: Array
  dropout: Array
  neighbors_from: Array | np.int32


class Keys(NamedTuple):
  """One key per purpose, all from the run's key."""

  public: Array
  private: Array
  negatives: Array
  attack: Array
  defense: Array
  clients: Array
  evaluation: Array
  images: Array


def split_key(key: Array) -> Keys:
  """Derives the keys of all purposes from the run's key."""
  return Keys(*(jax.random.fold_in(key, purpose) for purpose in range(len(Keys._fields))))


class Constants(NamedTuple):
  """What does not change during a run, as arguments of the compiled program.

  Attributes:
    parts: functions of the methods.
    data: on the device.
    numbers: step sizes.
    keys: of all purposes.
  """

  parts: Parts
  data: RunData
  numbers: Numbers
  keys: Keys


class RoundInput(NamedTuple):
  """One round's place in the run; see :class:`fedrecjax.federation.participation.Rounds`.

  Attributes:
    number: round from 0, int32 scalar.
    clients: int32 `[C]`.
    malicious: int32 `[A]`.
    slot: int32 `[A]`.
    pool: malicious clients of the attack's pool, int32 `[pool]`; None without one.
  """

  number: Array
  clients: Array
  malicious: Array
  slot: Array
  pool: Array | None = None


class RoundReport(NamedTuple):
  """What a round tells about itself, for the researcher and not for the server.

  Attributes:
    loss: sum of the benign clients' losses.
    benign: number of benign clients.
    verdicts: of each stage of a defence that rejects or rescales uploads, int32 `[S, 2, 4]`, see
      :func:`fedrecjax.metrics.detection.verdicts`; None without such a stage.
    stealth: of malicious uploads, see :func:`fedrecjax.metrics.stealth.measure_stealth`; None if nobody is malicious.
    outside: rows for items that do not exist, of the attack and of the server's rule, int32 `[2]`.
    fault: the first stage that made a number that is not finite, see :class:`fedrecjax.simulation.faults.Stage`.
    idle: of a rule that needs rows enough, see :class:`fedrecjax.types.Update`; else None.
    told: by the attack, see :class:`fedrecjax.types.Attack`; means nothing in a round without an attacker. None of an
      attack that tells nothing.
    penalty: sum of the benign clients' L2 terms, which `loss` leaves out; None without.
  """

  loss: Array
  benign: Array
  verdicts: Array | None
  stealth: Array | None
  outside: Array
  fault: Array
  idle: Array | None = None
  told: dict[str, Array] | None = None
  penalty: Array | None = None


class Reports(NamedTuple):
  """What several rounds tell about themselves.

  Attributes:
    loss: sum of the benign clients' losses in each round, float32 `[rounds]`.
    benign: number of benign clients in each round, int32 `[rounds]`.
    verdicts: of each round, `[rounds, S, 2, 4]`, or None.
    stealth: of each round, `[rounds, 6]`, or None.
    outside: rows for items that do not exist, of the attack and of the server's rule, int32 `[2]`.
    faults: of each round, int32 `[rounds]`.
    idle: of each round, `[rounds, 2]`, or None.
    told: by the attack in each round, `[rounds]` by name, or None.
    penalty: sum of the benign clients' L2 terms in each round, float32 `[rounds]`, or None.
  """

  loss: Array
  benign: Array
  verdicts: Array | None
  stealth: Array | None
  outside: Array
  faults: Array
  idle: Array | None
  told: dict[str, Array] | None = None
  penalty: Array | None = None


def gathered(reports: RoundReport) -> Reports:
  """Reports of rounds one behind another, `[rounds, ...]`, as one."""
  return Reports(
    reports.loss, reports.benign, reports.verdicts, reports.stealth,
    jnp.sum(reports.outside, axis=0, dtype=jnp.int32), reports.fault, reports.idle, reports.told, reports.penalty,
  )


def joined(reports: Sequence[Reports]) -> Reports:
  """Reports of stretches of rounds, one behind another, as one on the host; the same wherever the rounds are cut."""
  fetched = jax.device_get(list(reports))

  def along(name: str) -> Any:
    parts = [getattr(one, name) for one in fetched]
    return None if parts[0] is None else jax.tree.map(lambda *each: np.concatenate(each), *parts)

  outside: Any = np.sum([one.outside for one in fetched], axis=0, dtype=np.int32)
  fields: dict[str, Any] = {name: outside if name == "outside" else along(name) for name in Reports._fields}
  return Reports(**fields)


@jax.jit
def mean_loss(loss: Array, benign: Array) -> Array:
  """The mean loss of the benign clients of rounds, float32 scalar.

  Args:
    loss: of :class:`Reports`.
    benign: likewise.
  """
  return jnp.sum(loss) / jnp.sum(benign, dtype=jnp.int32)
