"""The debug backend arrives where the compiled program arrives, and names what fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.debugging import DebugError, debug_client
from fedrecjax.simulation.planning import plan, round_inputs

M, D = 6, 2
TRAIN = frj.TrainConfig(epochs=1, clients_per_round=3, learning_rate=0.5)
ATTACKER = frj.AttackerConfig(malicious_ratio=0.25)
EVALUATION = frj.EvalConfig(ks=(2,))
DATASET = Dataset(
  "tiny", 4, M,
  ItemLists.from_lists([[0, 1], [2], [3, 1], [4]]),
  ItemLists.from_lists([[5], [1], [0], [2]]),
)  # fmt: skip


def simulate(debug=True, **changes):
  options = {"model": frj.mf(dim=D), "train": TRAIN, "attacker": ATTACKER, "evaluation": EVALUATION}
  return frj.simulate(DATASET, **(options | changes), debug=debug)


def test_the_same_state_and_metrics_but_for_rounding():
  options = {"attack": frj.explicit_boosting(), "defense": frj.norm_bound(max_norm=0.1)}
  compiled, debugged = (simulate(debug=debug, **options) for debug in (False, True))
  assert compiled.metrics["train_loss"] == pytest.approx(debugged.metrics["train_loss"], rel=1e-6)
  np.testing.assert_allclose(
    compiled.state.server.public.items, debugged.state.server.public.items, atol=1e-7
  )
  np.testing.assert_allclose(compiled.state.private, debugged.state.private, atol=1e-7)
  for name, counts in compiled.detection.items():
    np.testing.assert_array_equal(counts, debugged.detection[name], err_msg=name)


def poison_with(make_rows):
  def poison(state, uploads, view, key):
    del uploads, key
    return frj.item_rows(view.slot, view.active, view.targets, make_rows(view), M), state

  return frj.Attack(poison)


def test_an_attack_that_makes_nan_is_named():
  attack = poison_with(lambda view: jnp.full((view.slot.size, 1, D), jnp.nan))
  with pytest.raises(DebugError, match="round 0: the attack made a number that is NaN, in row"):
    simulate(attack=attack)


def test_an_attack_that_fails_is_named_with_its_own_message():
  def rows(view):
    raise ValueError("no such row")

  with pytest.raises(DebugError, match="round 0: the attack failed: the attack: poison failed: ValueError: no such"):
    simulate(attack=poison_with(rows))


def test_rows_of_another_size_are_named_with_their_attack():
  @frj.traced
  def crooked(*, strength: float = 1.0) -> frj.Attack:
    return poison_with(lambda view: strength * jnp.ones((view.slot.size, 1, D + 1)))

  with pytest.raises(DebugError) as caught:
    simulate(attack=crooked())
  expected = "attack crooked: poison returned row of shape (2, 3), expected [E, 2]"
  assert str(caught.value) == f"round 0: the attack failed: {expected}"


def test_the_client_is_named():
  # Client 1 trains on the item whose row is not finite; client 3 does not.
  run = plan(
    DATASET, model=frj.mf(dim=D), attack=frj.Attack(), defense=frj.Defense(), train=TRAIN,
    attacker=frj.AttackerConfig(), evaluation=EVALUATION, seed=0,
  )  # fmt: skip
  negatives = np.asarray(run.constants.data.training.negatives)[:, 0]
  positives = np.asarray(run.constants.data.training.positive)
  owner = np.repeat(np.arange(4), [2, 1, 2, 1])
  touching = set(owner[(positives == 2) | (negatives == 2)].tolist())
  public = run.state.server.public
  broken = public._replace(items=public.items.at[2].set(jnp.inf))
  state = run.state._replace(server=run.state.server._replace(public=broken))
  inputs = round_inputs(run.rounds, slice(0, 1))
  inputs = jax.tree.map(lambda leaf: leaf[0], inputs)
  assert 1 in touching and len(touching) < 4
  for client in range(4):
    if client in touching:
      with pytest.raises(DebugError, match=f"round 0, client {client}: local training made"):
        debug_client(run.structure, run.constants, state, inputs, client)
    else:
      debug_client(run.structure, run.constants, state, inputs, client)
