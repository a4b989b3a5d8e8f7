"""Whole runs with images: targets, what is refused, what is reported, and how programs are shared."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, ConfigError, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.federation.population import choose_targets
from fedrecjax.simulation import programs
from fedrecjax.simulation.contract_checks import ContractError
from fedrecjax.simulation.independent_attackers import each_alone
from fedrecjax.simulation.results import AttackError
from fedrecjax.types import Attack, Defense
from fedrecjax.uploads.rows import item_rows
from fedrecjax.vision import purify
from tests.oracles import image_step as oracle
from tests.support.image_runs import BRIGHTER, GIVEN, PSMU, SCHEDULE, SHORT, TARGETS, bits, brighter, ran
from tests.support.small_images import (
  DENOISER,
  F,
  extract,
  plain_extract,
  seeing_run,
  uploaded,
  visuals_of,
)
from tests.support.traces import at_most_one_trace


def test_targets_are_drawn_among_items_with_an_image(small):
  few = tuple(item for item in range(small.num_items) if item not in (3, 8, 21))
  visuals = visuals_of(small.num_items, bare=few)
  drawn = set()
  for seed in range(12):
    attacker = AttackerConfig(malicious_ratio=0.0, targets="random", num_targets=2)
    run = seeing_run(small, visuals=visuals, attack=BRIGHTER, attacker=attacker, seed=seed)
    drawn |= set(run.population.targets.tolist())
  assert drawn == {3, 8, 21}
  attacker = AttackerConfig(malicious_ratio=0.0, targets="least_popular", num_targets=1)
  run = seeing_run(small, visuals=visuals, attack=BRIGHTER, attacker=attacker)
  popularity = small.popularity[[3, 8, 21]]
  assert small.popularity[run.population.targets[0]] == popularity.min() > small.popularity.min()
  # Also where nothing attacks images, so that attacks are compared on the same targets.
  plain = seeing_run(small, visuals=visuals, attacker=AttackerConfig(malicious_ratio=0.0, num_targets=3))
  assert set(plain.population.targets.tolist()) == {3, 8, 21}
  with pytest.raises(ConfigError, match=r"^attacker\.num_targets must be at most the 3 items of small that have an"):
    seeing_run(small, visuals=visuals, attacker=AttackerConfig(malicious_ratio=0.0, num_targets=4))
  # Without images all items may be drawn.
  rng = np.random.default_rng(0)
  assert len(choose_targets(small, AttackerConfig(targets="random", num_targets=30), rng)) == 30


def refused(small, **changes):
  with pytest.raises(ConfigError) as caught:
    ran(small, **changes)
  message = str(caught.value)
  assert "\n" not in message
  return message


def test_what_does_not_fit_is_named(small):
  seen = dataclasses.replace(small, features=np.ones((30, 2), np.float32))
  gdmpd, mf = defenses.gdmpd(**SHORT), models.mf(dim=3)
  for changes, expected in (
    ({"visuals": visuals_of(31)}, "images.source: small images has images of 31 items, small has 30"),
    ({"visuals": None}, "the attack changes images, of which small has none; set images.source"),
    ({"visuals": None, "attack": None, "defense": gdmpd},
     "the defense changes images, of which small has none; set images.source"),
    ({"visuals": None, "attack": None},
     "model vncf sees images, and small has no visual features of its items; set images.source"),
    ({"model": mf}, "the attack changes images, which the model does not see; lightvgcn and vncf do"),
    ({"model": mf, "attack": None, "defense": gdmpd},
     "the defense changes images, which the model does not see; lightvgcn and vncf do"),
    ({"defense": gdmpd, "visuals": visuals_of(30, denoiser=None)},
     "the defense needs a diffusion model of images, and there is none; set images.source and images.diffusion,"
     " or give the visuals a denoiser"),
    ({"attacker": dataclasses.replace(GIVEN, target_items=(5, 7))},
     "attacker.target_items: item 7 has no image, which the attack would change"),
    ({"attacker": dataclasses.replace(GIVEN, target_items=(5, 30))}, "attacker.target_items: item 30 does not exist"),
    ({"model": models.vncf(num_features=9)}, f"vncf.num_features must be 0 or the {F} of the images' features, got 9"),
    ({"attack": attacks.psmu_pp(), "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.3, colluding=False)},
     "attacker.colluding must be true for an attack whose clients work with the targets' provider"),
    ({"attack": attacks.psmu_v()}, "attack psmu_v does not fit small: attacker.malicious_ratio leaves no synthetic"),
    ({"attack": attacks.psmu_v(), "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.3)},
     "attack psmu_v does not fit small: synthetic users of 30 items and lists of 5 others need 35 items"),
    ({"attack": attacks.image_popularity(num_popular=27)}, "image_popularity.num_popular must be at most the 26 items"),
    ({"attack": Attack(images=brighter, requires=frozenset({"denoiser"}))}, "the attack requires denoiser"),
  ):  # fmt: skip
    assert expected in refused(small, **changes)
  with pytest.raises(ConfigError, match="visual features of small are given twice, with the data set and with images"):
    ran(seen)


def test_a_target_without_an_image_is_named(small):
  named = dataclasses.replace(small, item_names=[f"film {item}" for item in range(30)])
  message = refused(named, attacker=dataclasses.replace(GIVEN, target_items=("film 5", "film 7")))
  assert "attacker.target_items: item film 7 has no image" in message


def test_images_are_ignored_by_models_that_see_none(small):
  plain, seeing = (ran(small, model=models.mf(dim=3), attack=None, visuals=one) for one in (
    None, visuals_of(30, bare=())
  ))
  assert seeing.state.server.features is None and bits(plain) == bits(seeing)


def test_targets_without_an_image_are_fine_where_nobody_changes_it(small):
  result = ran(small, attack=None, attacker=dataclasses.replace(GIVEN, target_items=(7,)))
  assert result.targets.tolist() == [7]


def test_an_attack_by_images_colludes_with_nobody():
  attack = attacks.psmu_v()
  assert each_alone(attack) is attack and not attack.colludes
  with pytest.raises(ConfigError, match=r"^attacker\.colluding must be true"):
    each_alone(attacks.psmu_pp())


@pytest.mark.parametrize("value", [-0.5, 255.5, float("nan"), float("inf")])
def test_impossible_pixel_values_are_refused(small, value):
  def uploads(state, view, key):
    one = view.epoch == 1
    return view.clean.astype(jnp.float32).at[1, 2, 3, 0].set(jnp.where(one, value, 3.0)), state

  message = "^the image of item 11 in epoch 1 has pixel values outside 0..255, as the attack uploaded it"
  with pytest.raises(AttackError, match=message):
    ran(small, attack=Attack(images=uploads), epochs=2)


def test_images_of_another_shape_are_refused(small):
  attack = Attack(images=lambda state, view, key: (view.clean[:, :3], state))
  message = r"the attack: images returned images of shape \(2, 3, 4, 3\), expected \[2, 4, 4, 3\]"
  with pytest.raises(ContractError, match=message):
    ran(small, attack=attack)


def test_whole_numbers_may_be_sent_as_such(small):
  attack = Attack(images=lambda state, view, key: (255 - view.clean, state))
  result = ran(small, attack=attack)
  assert result.pictures.uploaded.dtype == jnp.float32
  clean = visuals_of(small.num_items).images.pixels[list(TARGETS)]
  np.testing.assert_array_equal(result.pictures.uploaded, 255.0 - clean)


def test_columns(small):
  options = {
    "attack": attacks.psmu_v(**PSMU),
    "defense": defenses.gdmpd_unguided(**SHORT, flagged="refuse"),
    "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.25),
  }
  result = ran(small, **options)
  assert list(result.images) == [
    "epoch", "item", "largest_change", "mean_change", "similarity", "flagged", "refused"
  ]
  assert all(len(values) == 3 * 2 for values in result.images.values())
  assert result.images["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
  assert result.images["item"].tolist() == [5, 11] * 3
  assert 0 < result.images["largest_change"].max() <= 4
  assert (result.images["mean_change"] <= result.images["largest_change"]).all()
  assert (np.abs(result.images["similarity"]) < 1).all()
  np.testing.assert_array_equal(result.images["flagged"], result.images["refused"])
  # An attack by images has no clients: nothing of theirs is reported.
  assert result.stealth == {}


def test_the_debug_backend_arrives_at_the_same_state():
  """What the image step leaves in the attack's state is what its clients find there."""

  def images(state, view, key):
    sent, _ = brighter(state, view, key)
    return sent, 0.25 * (1.0 + view.epoch)

  def poison(state, uploads, view, key):
    rows = jnp.full((view.slot.shape[0], view.targets.shape[0], view.public.items.shape[1]), state)
    return item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0]), state

  lists = [ItemLists.from_lists(one) for one in ([[0, 3], [6, 8]], [[1], [3]])]
  options = {
    "train": TrainConfig(epochs=1, clients_per_round=9, learning_rate=0.5),
    "attack": Attack(poison, images=images, init=lambda key, context: jnp.zeros(())),
    "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.5),
    "visuals": visuals_of(12),
  }
  plain, slow = (ran(Dataset("tiny", 2, 12, *lists), debug=debug, **options) for debug in (False, True))
  assert float(plain.state.attack) == 0.25
  assert (np.asarray(plain.state.server.features) != options["visuals"].features)[list(TARGETS)].any(axis=1).all()
  chex.assert_trees_all_close(plain.state, slow.state, rtol=1e-7, atol=1e-5)
  for column, values in plain.images.items():
    np.testing.assert_allclose(values, slow.images[column], atol=1e-5)


def test_other_numbers_and_seeds_share_the_program(small, monkeypatch):
  at_most_one_trace(monkeypatch)

  def run(seed, bound, weight):
    ran(
      small, epochs=2, seed=seed, attack=attacks.psmu_v(**PSMU, bound=bound),
      defense=defenses.gdmpd(**SHORT, guidance_weight=weight, share=weight / 2000),
      attacker=dataclasses.replace(GIVEN, malicious_ratio=0.25),
    )

  run(0, 4.0, 1000.0)
  before = len(programs.PROGRAMS)
  run(1, 8.0, 10.0)
  assert len(programs.PROGRAMS) == before


def test_a_denoiser_reaches_the_defence(small):
  """What the server keeps of an upload is the purification of that item's image, with a key of the step."""
  seen = []

  def watching(images, items, view, key):
    jax.debug.callback(lambda *one: seen.append(one), items, jax.random.key_data(key))
    return purify(view.denoiser, SCHEDULE, images, key, ids=items, start=200).images

  run = seeing_run(small, attack=BRIGHTER, defense=Defense(images=watching), attacker=GIVEN)
  jax.effects_barrier()
  seen.clear()
  _, images, report = uploaded(run, run.state)
  jax.effects_barrier()
  ((items, key),) = seen
  assert items.tolist() == list(TARGETS)
  sent = images.uploaded
  expected = jax.jit(functools.partial(purify, DENOISER, SCHEDULE, start=200))(
    sent, jax.random.wrap_key_data(jnp.asarray(key)), ids=jnp.asarray(items)
  ).images
  assert np.abs(np.asarray(expected) - sent).max() > 3
  np.testing.assert_allclose(images.kept, expected, atol=1)
  similar = [
    oracle.cosine(plain_extract(np.asarray(one, float)), np.asarray(extract(two[None])[0], float))
    for one, two in zip(sent, images.kept, strict=True)
  ]
  np.testing.assert_allclose(report["similarity"], similar, atol=1e-5)
