"""What attackers can know: nothing of benign clients beyond what an attack asks for."""

import dataclasses

import jax
import numpy as np
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.simulation.planning import GRANTS
from fedrecjax.simulation.round import train_round
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.uploads.rows import keep_clients
from fedrecjax.vision.visuals import Visuals
from tests.support.lockstep import make_run, round_input
from tests.support.small_images import EXTRACTOR_WEIGHTS, seeing_run, uploaded, visuals_of
from tests.test_registered_methods import ATTACKS, DEFENSES

# Grants that let an attack see something of benign clients.
OF_BENIGN = GRANTS - {"own_data"}
NAMES = [name for name in ATTACKS if name != "none"]
BY_IMAGES = [name for name in NAMES if attacks.ATTACKS[name].constructor(**ATTACKS[name]).images is not None]
TARGETS = (4, 11)


def marked(dataset):
  """The same set with other items in the lists of all users, but no more and no fewer of them."""
  order = np.random.default_rng(0).permutation(dataset.num_items)

  def moved(lists):
    return ItemLists(lists.indptr, order[lists.items])

  return Dataset("marked", dataset.num_users, dataset.num_items, moved(dataset.train), moved(dataset.test))


def first_run(dataset, name, colluding=True, defense=None, **options):
  """A run of one round with an attack; with images, if it changes them."""
  attack = attacks.ATTACKS[name].constructor(**(ATTACKS[name] | options.pop("numbers", {})))
  build = make_run if attack.images is None else seeing_run
  return build(
    dataset,
    attack=attack,
    defense=defense or defenses.none(),
    train=TrainConfig(epochs=1, clients_per_round=100, learning_rate=0.5),
    attacker=AttackerConfig(
      malicious_ratio=0.3, targets="given", target_items=TARGETS, own_items=6, public_share=0.5,
      colluding=colluding,
    ),
    **options,
  )


def malicious_uploads(dataset, name, colluding=True, **options):
  """What malicious clients send in the first round, as the server receives it, and the pictures before it."""
  if attacks.ATTACKS[name].constructor(**ATTACKS[name]).images is not None:
    options = {"visuals": visuals_of(dataset.num_items, bare=())} | options
  run = first_run(dataset, name, colluding, **options)
  inputs = round_input(run, 0)
  start, pictures = run.state, []
  if run.images is not None:
    start, images, _ = uploaded(run, run.state)
    pictures = [np.asarray(images.uploaded)]
    assert (pictures[0] != run.images.constants.clean).any()

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

  uploads = sent(run.constants, start)
  used = np.asarray(uploads.item) < dataset.num_items
  assert run.population.num_malicious == (0 if run.images is not None and run.constants.parts.poison is None else 3)
  return [np.asarray(part)[used] for part in uploads[:3]] + pictures


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


@pytest.mark.parametrize("defense", [name for name in DEFENSES if name.startswith("gdmpd")])
@pytest.mark.parametrize("name", BY_IMAGES)
def test_a_marker_reaches_no_adaptive_provider_either(small, name, defense):
  options = {"numbers": {"adaptive": True}, "defense": defenses.DEFENSES[defense].constructor(**DEFENSES[defense])}
  plain, other = (malicious_uploads(one, name, **options) for one in (small, marked(small)))
  same = all(np.array_equal(*pair) for pair in zip(plain, other, strict=True))
  assert same == (name != "image_popularity")


def with_a_marker(visuals, items):
  """The same images but for one pixel of some items, and an extractor that does not see it."""
  pixels = visuals.images.pixels.copy()
  pixels[items, 2, 2] = 255 - pixels[items, 2, 2]
  images = ItemImages(pixels, visuals.images.has_image, visuals.images.name)
  blind = EXTRACTOR_WEIGHTS.reshape(4, 4, 3, -1).at[2, 2].set(0.0).reshape(EXTRACTOR_WEIGHTS.shape)
  return Visuals(images, visuals.extractor._replace(parameters=blind), visuals.denoiser)


@pytest.mark.parametrize("name", BY_IMAGES)
def test_other_items_pictures_reach_a_provider_as_features_alone(small, name):
  visuals = visuals_of(small.num_items, bare=())
  others = np.delete(np.arange(small.num_items), TARGETS)
  # Synthetic users that are trained far learn more of the features.
  numbers = {} if name == "image_popularity" else {"inner_lr": 2.0}

  def sent(visuals):
    return malicious_uploads(small, name, visuals=visuals, numbers=numbers)[-1]

  plain, marker, own = (with_a_marker(visuals, items) for items in ([], others, list(TARGETS)))
  np.testing.assert_array_equal(plain.features, marker.features)
  np.testing.assert_array_equal(sent(plain), sent(marker))
  assert (sent(plain) != sent(own)).any()
  # The test could not fail if the pictures of others mattered in no way: their features are public, and do.
  pixels = visuals.images.pixels.copy()
  pixels[others] = 255 - pixels[others]
  seen = dataclasses.replace(visuals, images=dataclasses.replace(visuals.images, pixels=pixels))
  assert (sent(seen) != sent(visuals)).any()
