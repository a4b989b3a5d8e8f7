"""What attackers can know: nothing of benign clients beyond what an attack asks for."""

import jax
import numpy as np
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.planning import GRANTS
from fedrecjax.simulation import attacking, train_round
from fedrecjax.uploads import keep_clients
from tests.lockstep import make_run, round_input
from tests.test_registered_methods import ATTACKS

# Grants that let an attack see something of benign clients.
OF_BENIGN = GRANTS - {"own_data"}
NAMES = [name for name in ATTACKS if name != "none"]


def marked(dataset):
  """The same set with other items in the lists of all users, but no more and no fewer of them."""
  order = np.random.default_rng(0).permutation(dataset.num_items)

  def moved(lists):
    return ItemLists(lists.indptr, order[lists.items])

  return Dataset("marked", dataset.num_users, dataset.num_items, moved(dataset.train), moved(dataset.test))


def malicious_uploads(dataset, name, colluding=True):
  """What malicious clients send in the first round, as the server receives it."""
  run = make_run(
    dataset,
    attack=attacks.ATTACKS[name].constructor(**ATTACKS[name]),
    defense=defenses.none(),
    train=TrainConfig(epochs=1, clients_per_round=100, learning_rate=0.5),
    attacker=AttackerConfig(
      malicious_ratio=0.3, targets="given", target_items=(4, 11), own_items=6, public_share=0.5,
      colluding=colluding,
    ),
  )
  inputs = round_input(run, 0)

  @jax.jit
  def sent(constants, state):
    received = []
    rule = constants.parts.aggregate

    def aggregate(state, uploads, view):
      received.append(uploads)
      return rule(state, uploads, view)

    parts = constants.parts._replace(aggregate=aggregate)
    train_round(run.structure, constants._replace(parts=parts), state, inputs)
    return keep_clients(received[0], attacking(inputs), dataset.num_items)

  uploads = sent(run.constants, run.state)
  used = np.asarray(uploads.item) < dataset.num_items
  assert run.population.num_malicious == 3
  return [np.asarray(part)[used] for part in uploads[:3]]


@pytest.mark.parametrize("name", NAMES)
def test_a_marker_in_benign_data_reaches_only_attacks_that_ask(small, name):
  plain, other = malicious_uploads(small, name), malicious_uploads(marked(small), name)
  same = all(np.array_equal(*pair) for pair in zip(plain, other, strict=True))
  attack = attacks.ATTACKS[name].constructor(**ATTACKS[name])
  if attack.requires & OF_BENIGN:
    assert "benign_uploads" not in attack.requires or not same
  else:
    assert same


def test_the_marker_is_seen_where_it_may_be(small):
  """The test above could not fail if the marker reached nobody."""
  first, second = (malicious_uploads(one, "popular")[1] for one in (small, marked(small)))
  assert not np.array_equal(np.sort(first), np.sort(second))
