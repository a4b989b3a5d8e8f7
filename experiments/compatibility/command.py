"""The command `python -m experiments.compatibility`: which models, attacks and defences run together.

Every combination in the registries is trained for two rounds on a small random set, and what the project refuses is
listed with its reason. A combination that fails otherwise is a bug.
"""

from __future__ import annotations

import itertools
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.atomic_files import new_file
from experiments.command_line import FlagGroup, command, read_group
from experiments.compatibility.stages import in_stages
from experiments.errors import UsageError
from experiments.memory import holds_many_programs
from fedrecjax.attacks import ATTACKS
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemImages, ItemLists
from fedrecjax.defenses import DEFENSES
from fedrecjax.methods.registry import Registry
from fedrecjax.models import MODELS
from fedrecjax.simulation.image_step import upload_images
from fedrecjax.simulation.planning import Run, plan, round_inputs
from fedrecjax.simulation.records import gathered
from fedrecjax.simulation.round import jitted_rounds, train_round
from fedrecjax.types import SimulationState
from fedrecjax.vision import Visuals
from fedrecjax.vision.extractors import FeatureExtractor

USERS, ITEMS, FEATURES, SIZE, ROUNDS = 12, 20, 3, 4, 2
PLACES = 2048
# Hyperparameters small enough for the small set; the defaults are those of real sets.
SMALL: dict[str, dict[str, Any]] = {
  "mf": {"dim": 4},
  "ncf": {"dim": 4, "hidden": (4,)},
  "lightgcn": {"dim": 4, "hidden": (4,)},
  "fedgnn": {"dim": 4, "num_neighbors": 2, "neighbors_from": 0},
  "sasrec": {"dim": 4, "length": 5, "blocks": 1},
  "vncf": {"dim": 4, "hidden": (4,)},
  "lightvgcn": {"dim": 4, "hidden": (4,)},
  "random": {"max_rows": 12},
  "bandwagon": {"max_rows": 12, "popular_share": 0.4},
  "popular": {"max_rows": 12},
  "pieck_ipe": {"num_popular": 5, "mining_differences": 1, "before_mined": "arbitrary"},
  "pieck_uea": {"num_popular": 5, "mining_differences": 1, "before_mined": "arbitrary"},
  "cluster": {"max_clusters": 8},
  "cluster_cl": {"max_clusters": 8, "num_contrastive": 5},
  "gaussian": {"pool": 3},
  "lie": {"pool": 3},
  "fang": {"pool": 3},
  "lie_targeted": {"pool": 3},
  "psmu": {"num_items": 5, "inner_steps": 3, "alternatives": 2},
  "fedrecattack": {"max_rows": 6, "list_length": 3, "batch": 4},
  "mf_poison": {"max_rows": 12, "dim": 2, "steps": 3},
  "dl_poison": {"max_rows": 12, "dim": 2, "first_steps": 3, "steps": 2},
  "psmu_v": {"num_items": 5, "inner_steps": 3, "steps": 2},
  "psmu_pp": {"num_items": 5, "inner_steps": 3, "steps": 2},
  "image_popularity": {"num_popular": 5, "steps": 2},
  "trimmed_mean": {"f": 0.25},
  "krum": {"f": 0.25},
  "multi_krum": {"f": 0.15},
  "bulyan": {"f": 0.15},
  "pieck_reg": {"num_popular": 5, "mining_differences": 1, "before_mined": "arbitrary"},
  "union": {"num_sampled": 6, "num_contrastive": 2, "num_references": 3},
  "gdmpd": {"respacing": 10},
  "gdmpd_unguided": {"respacing": 10},
}


class Triple(NamedTuple):
  """A combination by the names in the registries."""

  model: str
  attack: str
  defense: str


AXES: dict[str, Registry[Any]] = {"models": MODELS, "attacks": ATTACKS, "defenses": DEFENSES}


def every_triple(**chosen: Sequence[str]) -> list[Triple]:
  """All combinations of registered methods, or of those chosen.

  Args:
    **chosen: names by axis, of "models", "attacks" and "defenses"; all of an axis that is left out.

  Raises:
    UsageError: if a name is not registered.
  """
  for axis, names in chosen.items():
    for name in names:
      if name not in AXES[axis].names():
        raise UsageError(f"--{axis} must be of {', '.join(AXES[axis].names())}, got {name!r}")
  return [Triple(*names) for names in itertools.product(*(chosen.get(axis, AXES[axis].names()) for axis in AXES))]


def small_set() -> Dataset:
  """Twenty items, and twelve users with three to nine of them."""
  random = np.random.default_rng(0)
  lists = [random.choice(ITEMS, size, replace=False) for size in random.integers(4, 11, USERS)]
  train, test = ([one[:-1] for one in lists], [one[-1:] for one in lists])
  return Dataset("small", USERS, ITEMS, ItemLists.from_lists(train), ItemLists.from_lists(test))


def _mean_colors(weights: jax.Array, images: jax.Array) -> jax.Array:
  return jnp.tanh(images.mean(axis=(1, 2)) / 64 @ weights)


def _no_noise(images: jax.Array, timesteps: jax.Array) -> jax.Array:
  del timesteps
  return jnp.concatenate([jnp.zeros_like(images), jnp.zeros_like(images)], axis=-1)


def small_visuals() -> Visuals:
  """Random images of those items, for one instead of an extractor and one instead of a diffusion model."""
  random = np.random.default_rng(1)
  pixels = random.integers(0, 256, (ITEMS, SIZE, SIZE, 3)).astype(np.uint8)
  weights = jnp.asarray(random.normal(size=(3, FEATURES)), jnp.float32)
  extractor = FeatureExtractor(weights, _mean_colors, FEATURES, "mean_colors")
  return Visuals(ItemImages(pixels, np.ones(ITEMS, bool), "random"), extractor, Partial(_no_noise))


def planned(triple: Triple) -> Run:
  """The run of a combination on the small set.

  Raises:
    ConfigError: if it is refused.
  """
  return plan(
    small_set(),
    model=MODELS[triple.model].constructor(**SMALL.get(triple.model, {})),
    attack=ATTACKS[triple.attack].constructor(**SMALL.get(triple.attack, {})),
    defense=DEFENSES[triple.defense].constructor(**SMALL.get(triple.defense, {})),
    train=TrainConfig(epochs=1, clients_per_round=8, learning_rate=0.1),
    attacker=AttackerConfig(malicious_ratio=0.25, own_items=6),
    evaluation=EvalConfig(ks=(2,)),
    seed=0,
    visuals=small_visuals(),
  )


def try_out(triple: Triple, *, whole: bool = False) -> str | None:
  """Trains a combination for two rounds.

  Args:
    triple: which.
    whole: whether rounds are one program, as in a run, or stage by stage (:mod:`experiments.compatibility.stages`),
      which takes a tenth of the time, since most of it is compilation and stages are shared by many combinations.

  Returns:
    None if it ran, or the reason why it is refused.

  Raises:
    RuntimeError: if a number is not finite, or nothing has moved.
  """
  try:
    run = planned(triple)
  except ConfigError as error:
    return str(error)
  if run.images is not None:
    uploaded, _, _ = upload_images(
      run.images.structure, run.images.constants, run.constants.parts, run.state, run.images.state, jnp.int32(0)
    )
    run = run._replace(state=uploaded)
  before = jax.tree.map(np.asarray, run.state.server.public)
  state, loss = (together if whole else stage_by_stage)(run)
  numbers = jax.tree.leaves((state.server.public, state.server.features, state.private, loss))
  if not all(np.isfinite(one).all() for one in numbers):
    raise RuntimeError(f"{'/'.join(triple)}: a number is not finite after {ROUNDS} rounds")
  if all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (before, state.server.public)), strict=True)):
    raise RuntimeError(f"{'/'.join(triple)}: nothing has moved after {ROUNDS} rounds")
  return None


def together(run: Run) -> tuple[SimulationState, jax.Array]:
  """The state after two rounds as one program, and their mean loss; the run's initial state is used up."""
  state, reports = jitted_rounds(run.structure, run.constants, run.state, round_inputs(run.rounds, slice(0, ROUNDS)))
  return state, reports.loss


def stage_by_stage(run: Run) -> tuple[SimulationState, jax.Array]:
  """The same, stage by stage; the run's initial state stays."""
  state, constants, reports = run.state, in_stages(run.constants, places=PLACES, num_items=ITEMS), []
  for number in range(ROUNDS):
    inputs = jax.tree.map(lambda array: array[0], round_inputs(run.rounds, slice(number, number + 1)))
    state, report = train_round(run.structure, constants, state, inputs)
    reports.append(report)
  return state, gathered(jax.tree.map(lambda *leaves: jnp.stack(leaves), *reports)).loss


def document(refused: Iterable[tuple[Triple, str]], tried: Sequence[Triple]) -> str:
  """The page that lists what runs together.

  Args:
    refused: combinations with the reason.
    tried: all that were tried, a full product.
  """
  refused = list(refused)
  found: dict[tuple[str, str, str], set[str]] = {}
  for triple, reason in refused:
    found.setdefault((reason, triple.defense, triple.model), set()).add(triple.attack)
  # Rows that differ in the defence alone become one, then rows that differ in the model alone.
  by_model: dict[tuple[str, str, frozenset[str]], list[str]] = {}
  for (reason, defense, model), attacks in found.items():
    by_model.setdefault((reason, model, frozenset(attacks)), []).append(defense)
  rows: dict[tuple[str, frozenset[str], tuple[str, ...]], list[str]] = {}
  for (reason, model, of_model), defenses in by_model.items():
    rows.setdefault((reason, of_model, tuple(defenses)), []).append(model)
  count = len(refused)
  axes = {axis: list(dict.fromkeys(column)) for axis, column in zip(AXES, zip(*tried, strict=True), strict=True)}
  left_out = [name for axis, registry in AXES.items() for name in registry.names() if name not in axes[axis]]
  lines = [
    "# What runs together", "",
    f"{len(tried):,} combinations, each trained for {ROUNDS} rounds on {USERS} users by",
    "`python -m experiments.compatibility`, which writes this page. Nothing failed, and every run moved the model.", "",
    *(f"- {axis.replace('defenses', 'defences')}: {_code(names)}" for axis, names in axes.items()),
    *([f"- not tried: {_code(left_out)}"] if left_out else []),
    "", f"{len(tried) - count:,} run. {count:,} are refused:" if count else "All of them run.", "",
  ]
  if count:
    lines += ["| models | defences | attacks | reason |", "| --- | --- | --- | --- |"]
    for (reason, refused_attacks, refused_by), models in rows.items():
      shown = (
        "all" if set(names) == set(axes[axis]) else _code([name for name in axes[axis] if name in names])
        for axis, names in (("models", models), ("defenses", refused_by), ("attacks", refused_attacks))
      )
      lines.append(f"| {' | '.join(shown)} | {reason} |")
  return "\n".join(lines).rstrip() + "\n"


def _code(names: Iterable[str]) -> str:
  return " ".join(f"`{name}`" for name in names)


def _work(argv: Sequence[str]) -> None:
  value = read_group("compatibility", argv, _define_flags)
  refused, failed = [], 0
  triples = every_triple(**{axis: list(value(axis) or ()) for axis in AXES})
  for number, triple in enumerate(triples, 1):
    try:
      reason = try_out(triple)
    except Exception as error:
      failed += 1
      print(f"[{number}/{len(triples)}] {'/'.join(triple)} failed: {error}", file=sys.stderr)
      continue
    if reason is not None:
      refused.append((triple, reason))
    if number == len(triples) or triples[number].model != triple.model or holds_many_programs():
      print(f"[{number}/{len(triples)}] {triple.model} {triple.attack}", file=sys.stderr)
      jax.clear_caches()
  out = pathlib.Path(value("out"))
  out.parent.mkdir(parents=True, exist_ok=True)
  if not failed:
    with new_file(out) as file:
      file.write_text(document(refused, triples))
  print(f"{len(triples) - len(refused) - failed} run, {len(refused)} are refused, {failed} failed; {out}")
  if failed:
    raise OSError(f"{failed} combinations failed")


def _define_flags(group: FlagGroup) -> None:
  for axis, registry in AXES.items():
    group.texts(axis, registry.names(), f"{axis} to try; default: all.")
  group.text("out", "results/compatibility.md", "file of the table.")


main = command("compatibility", _work)
