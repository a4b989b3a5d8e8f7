"""The command `python -m experiments.attack_costs`: CPU time of a round under each attack, beside one without.

Both runs live in one process and take turns, epoch by epoch, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from experiments.command_line import FlagGroup, command, output, read_group
from experiments.errors import UsageError
from experiments.memory import keep_freed_memory
from fedrecjax.attacks import ATTACKS
from fedrecjax.config import RunConfig, from_flat
from fedrecjax.datasets import Dataset, load
from fedrecjax.defenses import chain
from fedrecjax.simulation.planning import plan, round_inputs
from fedrecjax.simulation.round import jitted_rounds

_GROUP = "attack_costs"
WARM_EPOCHS = 4  # attackers that mine popular items have found them by then
_FEDERATION: dict[str, Any] = {"dataset": "ml-100k", "model": "mf", "mf.dim": 32, "train.loss": "bpr"}
# The federation that ClusterAttack and UNION are studied in.
_CLUSTER_UNION: dict[str, Any] = {
  "dataset": "ml-1m", "model": "mf", "mf.dim": 64, "train.loss": "bpr", "train.clients_per_round": 50,
  "train.participation": "uniform", "train.server_optimizer": "adam", "train.learning_rate": 0.002,
  "attacker.malicious_ratio": 0.01, "attacker.membership": "converted", "none.scale": "mean", "none.scope": "client",
}
# FedRecAttack's own: its recipe's, with 5 % of malicious clients.
_FEDRECATTACK: dict[str, Any] = {
  **_FEDERATION, "attack": "fedrecattack", "attacker.public_share": 0.01, "train.reduction": "sum",
  "train.learning_rate": 0.01, "train.l2": 0.1, "train.l2_rows": "uploaded", "train.l2_clients": "benign",
  "defense": "norm_bound", "norm_bound.max_norm": 1.0, "norm_bound.scope": "row",
}
# Attacks whose cost has to be seen in another setting than the common one, or with another option.
OTHERS: dict[str, dict[str, Any]] = {
  "boosted_targeted, stealth": {**_FEDERATION, "attack": "boosted_targeted", "boosted_targeted.stealth": 1.0},
  "explicit_boosting, client": {**_FEDERATION, "attack": "explicit_boosting", "explicit_boosting.reading": "client"},
  "fang, krum": {**_FEDERATION, "attack": "fang", "fang.version": "krum"},
  "fang, benign": {**_FEDERATION, "attack": "fang", "fang.knowledge": "benign"},
  "fang, krum, benign": {**_FEDERATION, "attack": "fang", "fang.version": "krum", "fang.knowledge": "benign"},
  "fedrecattack, steam-200k": {**_FEDERATION, "dataset": "steam-200k", "attack": "fedrecattack"},
  "fedrecattack, its federation, ml-100k": _FEDRECATTACK,
  "fedrecattack, its federation, steam-200k": {**_FEDRECATTACK, "dataset": "steam-200k"},
  "cluster, ml-1m": {**_CLUSTER_UNION, "attack": "cluster"},
  "cluster_cl, ml-1m": {**_CLUSTER_UNION, "attack": "cluster_cl"},
}
# Pictures are uploaded between rounds, which cost the same with and without.
IN_ROUNDS = [name for name in ATTACKS.names() if name != "none" and ATTACKS[name].constructor().images is None]
CASES = {name: {**_FEDERATION, "attack": name} for name in IN_ROUNDS} | OTHERS


def epochs_of(config: RunConfig, dataset: Dataset) -> tuple[Callable[[], None], np.ndarray]:
  """A function that trains one further epoch of a run, and how many malicious clients each of its rounds has."""
  run = plan(
    dataset, model=config.model.build(), attack=config.attack.build(),
    defense=chain(*(part.build() for part in config.defense)), train=config.train, attacker=config.attacker,
    evaluation=config.eval, seed=0,
  )

  def inputs(number: int) -> Any:
    return round_inputs(run.rounds, slice(number * run.rounds.per_epoch, (number + 1) * run.rounds.per_epoch))

  program = jitted_rounds.lower(run.structure, run.constants, run.state, inputs(0)).compile()
  states = [jax.tree.map(jnp.copy, run.state)]
  numbers = iter(range(config.train.epochs))

  def one_epoch() -> None:
    states[0] = jax.block_until_ready(program(run.constants, states[0], inputs(next(numbers)))[0])

  attackers = (run.rounds.malicious >= 0).sum(axis=1).reshape(-1, run.rounds.per_epoch)
  return one_epoch, attackers


def cpu_ms(call: Callable[[], None]) -> float:
  """CPU milliseconds of one call, all threads together."""
  started = time.process_time()
  call()
  return 1e3 * (time.process_time() - started)


def attacked_cost(without: float, under: float, share: float) -> float:
  """CPU time of an attacked round, from that of rounds without the attack and of those under it on average.

  Args:
    without: of a round without the attack.
    under: of a round of the attacked run.
    share: of its rounds that have an attacker; 0 leaves the average as it is.
  """
  return without + (under - without) / share if share > 0 else under


def measure(settings: dict[str, Any], data_dir: str | None, repeats: int) -> dict[str, float]:
  """Times one attack beside no attack.

  Args:
    settings: configuration of the attacked run by dotted name.
    data_dir: where data sets are.
    repeats: epochs of each that are timed.

  Returns:
    Medians over epochs: CPU milliseconds of a round without and with the attack, the ratio of both, and the smallest
    and largest ratio; and the share of rounds that had an attacker. Where some had none the ratio of an attacked
    round is what the attack adds to an epoch, spread over its attacked rounds alone.
  """
  epochs = WARM_EPOCHS + repeats
  attacked = from_flat({**settings, "train.epochs": epochs})
  dataset = load(attacked.dataset, data_dir=data_dir)
  dropped = {name for name in settings if name.partition(".")[0] == settings["attack"]}
  honest = from_flat({
    **{name: value for name, value in settings.items() if name not in dropped}, "attack": "none",
    "train.epochs": epochs,
  })
  without, rounds = epochs_of(honest, dataset)
  under, attackers = epochs_of(attacked, dataset)
  for _ in range(WARM_EPOCHS):
    without()
    under()
  pairs = []
  for number in range(WARM_EPOCHS, epochs):
    plain, more = cpu_ms(without) / rounds.shape[1], cpu_ms(under) / attackers.shape[1]
    share = float((attackers[number] > 0).mean())
    pairs.append((plain, attacked_cost(plain, more, share), share))
  ratios = [more / plain for plain, more, _ in pairs]
  plain, more, share = (statistics.median(values) for values in zip(*pairs, strict=True))
  return {
    "benign_ms": plain, "attacked_ms": more, "ratio": statistics.median(ratios), "least": min(ratios),
    "most": max(ratios), "attacked_share": share,
  }


def _work(argv: Sequence[str]) -> None:
  value = read_group(_GROUP, argv, _define_flags)
  names, repeats = value("cases") or list(CASES), value("repeats")
  for name in names:
    if name not in CASES:
      raise UsageError(f"--cases must be one of {'; '.join(CASES)}; got {name!r}")
  keep_freed_memory()
  table = Table(title=f"CPU time of a round, medians of {repeats} epochs")
  for title in ("attack", "benign ms", "attacked ms", "ratio", "least", "most", "rounds attacked"):
    table.add_column(title, justify="left" if title == "attack" else "right")
  for name in names:
    found = measure(CASES[name], value("data_dir"), repeats)
    jax.clear_caches()
    table.add_row(
      name, f"{found['benign_ms']:.2f}", f"{found['attacked_ms']:.2f}",
      *(f"{found[column]:.2f}" for column in ("ratio", "least", "most")), f"{100 * found['attacked_share']:.0f} %",
    )
  output(width=120).print(table)


def _define_flags(group: FlagGroup) -> None:
  group.repeated("cases", f"attacks to time, one flag each; all by default. One of: {'; '.join(CASES)}.")
  group.integer("repeats", 9, "epochs timed in each case; at least 5.", least=5)
  group.data_dir()


main = command(_GROUP, _work)
