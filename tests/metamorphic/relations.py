"""What must hold of every configuration. Each relation asserts, and says whether it applied."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.simulation.evaluation import jitted_evaluation
from fedrecjax.simulation.evaluation_points import received
from fedrecjax.simulation.records import RoundInput
from fedrecjax.types import Attack, ClientUpdates, SimulationState
from fedrecjax.uploads.rows import no_uploads
from tests.metamorphic.configurations import Case
from tests.oracles import ranking
from tests.support.lockstep import permuted, round_input, step

Relation = Callable[[Case], bool]
# Of two rows that are each other's nearest their last picks take the one in the lower place.
_BREAK_TIES = ("multi_krum", "bulyan")
_TIMES = ("wall_s",)


def _close(found: Any, expected: Any, atol: float = 1e-5) -> None:
  chex.assert_trees_all_close(*map(_without_idle_numbers, (found, expected)), rtol=1e-4, atol=atol)


def _without_idle_numbers(tree: Any) -> Any:
  """A tree without the biases of attention's keys.

  No score depends on them, since a softmax does not see what all its entries have in common. Their gradients are what
  rounding leaves of zero, of which optimisers that divide by what they saw make steps of full length.
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: jnp.zeros_like(leaf) if "['key']['bias']" in jax.tree_util.keystr(path) else leaf, tree
  )


def _columns(metrics: dict[str, np.ndarray], points: slice = slice(None)) -> dict[str, np.ndarray]:
  return {name: column[points] for name, column in metrics.items() if name not in _TIMES}


def evaluating_more_often_changes_nothing(case: Case) -> bool:
  """State and last metrics are those of a run that is evaluated once."""
  often, once = case.result(every=1), case.result(every=case.train.epochs)
  _close(often.state, once.state)
  names = [name for name in once.per_user if not name.startswith("target")]
  _close({name: often.per_user[name] for name in names}, {name: once.per_user[name] for name in names}, 1e-3)
  return True


def a_shorter_run_is_a_prefix(case: Case) -> bool:
  """The first evaluation point of a longer run is the last of a run that ends there."""
  longer, shorter = case.result(), case.result(epochs=1)
  _close(_columns(longer.metrics, slice(0, 1)), _columns(shorter.metrics), 1e-3)
  return True


def a_never_starting_attack_is_no_attack(case: Case) -> bool:
  """An attack that starts after the end leaves what one leaves that does nothing."""
  stages = (case.attack.poison, case.attack.samples, case.attack.profiles)
  if all(stage is None for stage in stages) or case.attack.images is not None:
    return False
  never = dataclasses.replace(case.attacker, start_epoch=case.train.epochs)
  own = case.attack.requires & {"own_data"}
  idle = Attack(lambda state, uploads, view, key: (uploads, state), requires=frozenset(own))
  found = case.result(attacker=never)
  expected = case.result(attacker=never, attack=idle)
  _close(found.state.server.public, expected.state.server.public)
  benign = len(found.users)
  _close(found.state.private[:benign], expected.state.private[:benign])
  assert found.metrics["malicious_clients"].sum() == 0 and len(found.warnings) >= 1
  return True


def the_order_of_clients_does_not_matter(case: Case) -> bool:
  """Rounds whose clients stand in other places leave the same state."""
  if any(name in case.names for name in _BREAK_TIES) or case.attack.images is not None:
    return False
  run = case.planned()
  _close(_trained(run), _trained(run, permuted), 1e-4)
  return True


def attackers_that_behave_are_honest_users(case: Case) -> bool:
  """An attack that sends what its clients would send anyway leaves what honest clients leave."""
  if case.train.pseudo_items > 0 or case.defense.client_term is not None or case.defense.client_transform is not None:
    # Who attacks by what it sends sends no more than the model and its loss make of its data.
    return False
  if case.train.row_clip is not None or case.train.privacy_clip is not None or case.sees:
    return False
  behaving = Attack(lambda state, uploads, view, key: (uploads, state), requires=frozenset({"own_data"}))
  train = dataclasses.replace(case.train, l2_clients="all")
  run = case._replace(attack=behaving, train=train).planned()
  structure = run.structure._replace(num_benign=run.structure.num_clients, own_rows=0)
  parts = run.constants.parts._replace(poison=None)
  honest = run._replace(structure=structure, constants=run.constants._replace(parts=parts))
  _close(_trained(run), _trained(honest), 1e-4)
  return True


def zero_rows_are_no_rows(case: Case) -> bool:
  """Under rules that add up, clients that send rows of zeros leave what clients leave that send nothing."""
  if not case.names.endswith((" none", "norm_bound+none")) or case.sees or case.train.server_optimizer == "lazy_adam":
    # That one moves whatever row is uploaded, be it zero, by its momentum.
    return False

  def zeros(state: Any, uploads: ClientUpdates, view: Any, key: jax.Array) -> tuple[ClientUpdates, Any]:
    num_items, dim = view.public.items.shape
    client = jnp.repeat(view.slot, num_items).astype(jnp.int32)
    item = jnp.where(jnp.repeat(view.active, num_items), jnp.tile(jnp.arange(num_items), view.slot.size), num_items)
    return ClientUpdates(client, item.astype(jnp.int32), jnp.zeros((client.size, dim))), state

  def nothing(state: Any, uploads: ClientUpdates, view: Any, key: jax.Array) -> tuple[ClientUpdates, Any]:
    return no_uploads(view.public.items.shape[1]), state

  found, expected = (case.result(attack=Attack(poison)) for poison in (zeros, nothing))
  _close(found.state.server.public, expected.state.server.public)
  return True


def metrics_are_those_of_a_plain_ranking(case: Case) -> bool:
  """HR, NDCG and ER of every user from the final state, by an oracle on scores made one user at a time."""
  if case.model.encode is not None or case.model.attend is not None or case.evaluation.candidates != "all":
    return False
  result, run = case.result(every=case.train.epochs), case.planned()
  public, private = received(result.state), np.asarray(result.state.private)
  evaluated = run.population.evaluated(case.evaluation.left_out)
  for number, user in enumerate(result.users):
    scores = np.asarray(run.constants.parts.model.score(public, jnp.asarray(private[number]), None))
    own, held_out = case.dataset.train.of(user).tolist(), case.dataset.test.of(user).tolist()
    seen = own + held_out if case.evaluation.exposure_among == "unseen" else own
    for k in case.evaluation.ks:
      expected = (
        *ranking.held_out_list_metrics(scores, own, held_out, k),
        ranking.exposure(scores, seen, result.targets.tolist(), k),
      )
      found = [result.per_user[f"{name}@{k}"][number] for name in ("hr", "ndcg", "er")]
      if not evaluated[number]:
        assert np.isnan(found).all()
      else:
        np.testing.assert_allclose(found, expected, atol=2e-3)
  return True


def renamed_users_and_items_have_the_same_metrics(case: Case) -> bool:
  """Names are names: state and data under other numbers are evaluated alike."""
  if case.train.epochs < 1 or case.sees:
    return False
  run = case.planned()
  state = _trained(run)
  random = np.random.default_rng(case.seed)
  items = random.permutation(case.dataset.num_items)
  place = np.argsort(items)
  data = run.constants.data.evaluation
  renamed = data._replace(
    held_out=_renamed(data.held_out, items), masked=data.masked._replace(item=_renamed(data.masked.item, items)),
    targets=_renamed(data.targets, items),
    history=None if data.history is None else _renamed(data.history, items),
  )
  public = received(state)
  neighbors = run.constants.data.training.neighbors
  found, expected = (
    jitted_evaluation(run.constants.parts.model, one, state.private, of, run.constants.keys.evaluation, neighbors,
                      config=case.evaluation, num_users=run.structure.num_benign)
    for one, of in ((public._replace(items=public.items[place]), renamed), (public, data))
  )
  _close(found, expected, 1e-4)
  return True


def _renamed(values: jax.Array, names: np.ndarray) -> jax.Array:
  """Item ids under other names; what stands for no item stays."""
  return jnp.asarray(np.append(names, len(names))[np.asarray(values)], jnp.int32)


def _trained(run: Any, change: Callable[[RoundInput, int], RoundInput] | None = None) -> SimulationState:
  state = run.state
  for number in range(len(run.rounds.clients)):
    inputs = round_input(run, number)
    state, _ = step(run.structure, run.constants, state, inputs if change is None else change(inputs, number))
  return state


RELATIONS: tuple[Relation, ...] = (
  evaluating_more_often_changes_nothing,
  a_shorter_run_is_a_prefix,
  a_never_starting_attack_is_no_attack,
  the_order_of_clients_does_not_matter,
  attackers_that_behave_are_honest_users,
  zero_rows_are_no_rows,
  metrics_are_those_of_a_plain_ranking,
  renamed_users_and_items_have_the_same_metrics,
)
