"""Uploads of images within runs: what they change, when, and for whom."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig
from fedrecjax.types import Attack, Defense
from tests.oracles import image_step as oracle
from tests.support.image_runs import GIVEN, PSMU, SHORT, TARGETS, bits, darkens, ran
from tests.support.small_images import (
  BARE,
  F,
  plain_extract,
  seeing_run,
  small_vncf,
  uploaded,
  visuals_of,
)


def test_only_the_features_of_targets_change(small):
  visuals = visuals_of(small.num_items)
  result = ran(small, visuals=visuals)
  features = np.asarray(result.state.server.features)
  others = np.delete(np.arange(small.num_items), TARGETS)
  np.testing.assert_array_equal(features[others], visuals.features[others])
  clean = visuals.images.pixels[list(TARGETS)].astype(float)
  for place, item in enumerate(TARGETS):
    sent = np.clip(clean[place] + 60, 0, 255)
    np.testing.assert_array_equal(result.pictures.uploaded[place], sent)
    np.testing.assert_array_equal(result.pictures.kept[place], sent)
    np.testing.assert_allclose(features[item], plain_extract(sent), atol=1e-5)
  # Training sees them.
  honest = ran(small, visuals=visuals, attack=None)
  assert (np.asarray(result.state.server.public.items) != honest.state.server.public.items).any()
  assert honest.images == {} and honest.pictures is None
  np.testing.assert_array_equal(honest.state.server.features, visuals.features)


@pytest.mark.parametrize(
  ("start", "stop", "expected"), [(0, None, [0, 1, 2, 3]), (1, 3, [1, 2]), (3, 9, [3]), (7, None, [])]
)
def test_epochs_are_kept(small, start, stop, expected):
  attacker = dataclasses.replace(GIVEN, start_epoch=start, stop_epoch=stop)
  visuals = visuals_of(small.num_items)
  result = ran(small, epochs=4, visuals=visuals, attacker=attacker, every=2)
  clean = visuals.images.pixels[list(TARGETS)].astype(float)
  if not expected:
    assert result.images == {} and result.pictures is None
    np.testing.assert_array_equal(result.state.server.features, visuals.features)
    return
  assert result.images["epoch"].tolist() == np.repeat(expected, 2).tolist()
  assert result.images["item"].tolist() == list(TARGETS) * len(expected)
  # What was uploaded last stays.
  sent = np.clip(clean + 20.0 * (1 + expected[-1]), 0, 255)
  np.testing.assert_array_equal(result.pictures.kept, sent)
  np.testing.assert_allclose(
    result.state.server.features[np.array(TARGETS)], [plain_extract(one) for one in sent], atol=1e-5
  )


def test_before_it_starts_an_attack_changes_nothing(small):
  attacker = dataclasses.replace(GIVEN, start_epoch=2)
  late, honest = ran(small, attacker=attacker), ran(small, attack=None)
  for name in ("train_loss", "hr@5", "ndcg@5"):
    np.testing.assert_allclose(late.metrics[name][:2], honest.metrics[name][:2], rtol=1e-5)
  assert late.metrics["train_loss"][2] != honest.metrics["train_loss"][2]


@pytest.mark.parametrize("name", ["brighter", "psmu_pp"])
def test_evaluating_less_often_changes_nothing(small, name):
  options = {"epochs": 5}
  if name == "psmu_pp":
    options |= {
      "attack": attacks.psmu_pp(**PSMU),
      "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.25, start_epoch=1),
    }
  often, seldom = (ran(small, every=every, **options) for every in (1, 3))
  assert seldom.metrics["epoch"].tolist() == [3, 5]
  chex.assert_trees_all_equal(often.state, seldom.state)
  for column, values in often.images.items():
    np.testing.assert_array_equal(values, seldom.images[column])
  assert often.metrics.keys() == seldom.metrics.keys()
  for column in ("hr@5", "ndcg@5", "er@5"):
    np.testing.assert_array_equal(often.metrics[column][[2, 4]], seldom.metrics[column])
  losses = often.metrics["train_loss"]
  np.testing.assert_allclose(seldom.metrics["train_loss"], [losses[:3].mean(), losses[3:].mean()], rtol=1e-5)
  for one, two in ((often.stealth, seldom.stealth), (often.detection, seldom.detection)):
    assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key], equal_nan=True) for key in one)


@pytest.mark.parametrize("model", [small_vncf(), models.lightvgcn(dim=3, hidden=(5,), init_std=0.5)], ids=["v", "l"])
def test_images_without_an_attack_are_the_data_sets_features(small, model):
  visuals = visuals_of(small.num_items)
  attacker = AttackerConfig(malicious_ratio=0.0, targets="given", target_items=TARGETS)
  with_images = ran(small, model=model, visuals=visuals, attack=None, attacker=attacker)
  with_features = ran(
    dataclasses.replace(small, features=visuals.features), model=model, visuals=None, attack=None, attacker=attacker
  )
  assert bits(with_images) == bits(with_features)


def test_one_visuals_serves_many_runs(small):
  """Results depend on the seed alone, not on the runs before; nothing of the images is used up."""
  visuals = visuals_of(small.num_items)
  options = {
    "visuals": visuals,
    "attack": attacks.psmu_pp(**PSMU),
    "defense": defenses.gdmpd(**SHORT),
    "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.25),
  }
  first, again, other = (ran(small, seed=seed, **options) for seed in (0, 0, 1))
  assert bits(first) == bits(again) != bits(other)
  assert (np.asarray(first.pictures.uploaded) != other.pictures.uploaded).any()
  fresh = visuals_of(small.num_items)
  np.testing.assert_array_equal(visuals.images.pixels, fresh.images.pixels)
  np.testing.assert_array_equal(visuals.features, fresh.features)
  transform = defenses.gdmpd(**SHORT).images
  np.testing.assert_array_equal(visuals.kept(transform).features, fresh.kept(transform).features)


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("defended", ["nobody", "kept", "judged"])
def test_the_servers_side_is_the_oracles(small, defended, refuses):
  sent = np.random.default_rng(1).uniform(0, 255, (2, 2, 4, 4, 3)).astype(np.float32)
  sent[0, 1] = visuals_of(small.num_items).images.pixels[TARGETS[1]]
  attack = Attack(images=lambda state, view, key: (jnp.asarray(sent)[view.epoch], state))
  defense = {
    "nobody": defenses.none(),
    "kept": Defense(images=darkens, refuses=refuses),
    "judged": Defense(images=darkens, threshold=np.mean, refuses=refuses),
  }[defended]
  visuals = visuals_of(small.num_items)
  run = seeing_run(small, visuals=visuals, attack=attack, defense=defense, attacker=GIVEN)
  purifies = None if defended == "nobody" else lambda image: np.round(image / 2)
  clean = visuals.images.pixels.astype(float)
  before = [purifies(one) if purifies else one for one in clean]
  features = [plain_extract(one) * (item not in BARE) for item, one in enumerate(before)]
  np.testing.assert_allclose(run.state.server.features, features, atol=1e-5)
  normal = [
    oracle.cosine(plain_extract(clean[item]), plain_extract(before[item]))
    for item in range(small.num_items) if item not in BARE
  ]
  rho = np.mean(normal) if defended == "judged" else -1.0
  kept = [before[item] for item in TARGETS]
  state, images, flags = run.state, None, []
  for epoch in (0, 1):
    state, images, report = uploaded(run, state, images, epoch)
    np.testing.assert_array_equal(images.uploaded, sent[epoch])
    for place, item in enumerate(TARGETS):
      one = oracle.received(
        sent[epoch, place].astype(float), clean[item], had=kept[place], had_features=features[item],
        extract=plain_extract, purify=purifies, rho=rho, refuses=refuses,
      )
      kept[place], features[item] = one.kept, one.features
      for column in ("largest_change", "mean_change", "similarity", "flagged", "refused"):
        assert report[column][place] == pytest.approx(float(getattr(one, column)), abs=1e-4), column
      flags.append(one.flagged)
    assert report["impossible"].tolist() == [0, 0]
    np.testing.assert_allclose(images.kept, kept, atol=1e-4)
    np.testing.assert_allclose(state.server.features, features, atol=1e-5)
  assert any(flags) == (defended == "judged") and not all(flags)


def test_an_adaptive_provider_knows_the_defence_but_not_its_noise(small):
  seen = {}

  def looks(state, view, key):
    seen["granted"] = view.purify is not None
    clean = view.clean.astype(jnp.float32)
    return (clean if view.purify is None else view.purify(clean, key)), state

  def noisy(images, items, view, key):
    noise = jax.vmap(lambda item: jax.random.normal(jax.random.fold_in(key, item), images.shape[1:]))(items)
    return jnp.clip(jnp.round(images / 2 + 20 * noise), 0, 255)

  defense = Defense(images=noisy)
  blind = seeing_run(small, attack=Attack(images=looks), defense=defense, attacker=GIVEN)
  uploaded(blind, blind.state)
  assert seen == {"granted": False}
  adaptive = Attack(images=looks, requires=frozenset({"image_defense"}))
  undefended = seeing_run(small, attack=adaptive, attacker=GIVEN)
  uploaded(undefended, undefended.state)
  assert seen == {"granted": False}
  run = seeing_run(small, attack=adaptive, defense=defense, attacker=GIVEN)
  _, images, _ = uploaded(run, run.state)
  assert seen == {"granted": True}
  clean = np.asarray(run.images.constants.clean, float)
  away = np.abs(np.asarray(images.uploaded) - clean / 2).mean()
  assert 5 < away < 40  # went through the defence
  # What the server makes of the same pictures has other noise, and in every epoch.
  plain = seeing_run(
    small, attack=Attack(images=lambda state, view, key: (view.clean, state)), defense=defense, attacker=GIVEN
  )
  _, first, _ = uploaded(plain, plain.state)
  _, second, _ = uploaded(plain, plain.state, None, 1)
  assert (np.asarray(first.kept) != images.uploaded).mean() > 0.5
  assert (np.asarray(first.kept) != second.kept).mean() > 0.5
  assert (np.asarray(first.kept) != plain.images.state.kept).mean() > 0.5


@pytest.mark.parametrize("name", ["psmu_v", "psmu_pp", "image_popularity"])
def test_adaptive_attacks_go_through_the_defence(small, name):
  options = {"steps": 3} if name == "image_popularity" else PSMU
  attacker = dataclasses.replace(GIVEN, malicious_ratio=0.25)
  sent = {}
  for adaptive in (False, True):
    attack = getattr(attacks, name)(adaptive=adaptive, **options)
    run = seeing_run(small, attack=attack, defense=defenses.gdmpd(**SHORT), attacker=attacker)
    sent[adaptive] = np.asarray(uploaded(run, run.state)[1].uploaded)
  clean = np.asarray(run.images.constants.clean, float)
  assert (sent[True] != sent[False]).any()
  assert all(0 < np.abs(one - clean).max() <= 4 for one in sent.values())


def test_users_are_as_many_as_malicious_clients_would_be(small):
  counted = []

  def counts(state, view, key):
    return view.clean, view.users

  def inits(key, context):
    counted.append((context.num_malicious, context.rounds.max(initial=-1)))
    return jnp.zeros(3, jnp.int32)

  attacker = dataclasses.replace(GIVEN, malicious_ratio=0.25, membership="converted")
  run = seeing_run(small, attack=Attack(images=counts, init=inits), attacker=attacker)
  after, _, _ = uploaded(run, run.state)
  assert counted == [(3, -1)] and after.attack.tolist() == [0, 1, 2]
  # None of them is a client: all users stay benign.
  assert run.population.num_malicious == 0 and run.population.num_benign == small.num_users


def test_the_provider_sees_what_is_public(small):
  views = []

  def looks(state, view, key):
    views.append(view)
    return view.current + 1, (state[0] + 1,)

  attack = Attack(images=looks, init=lambda key, context: (jnp.zeros(()),))
  run = seeing_run(small, attack=attack, attacker=GIVEN, visuals=visuals_of(small.num_items, seed=4))
  with jax.disable_jit():
    state, images, report = uploaded(run, run.state)
    later, images, again = uploaded(run, state, images, 1)
  first, second = views
  np.testing.assert_array_equal(first.public.items, run.state.server.public.items)
  np.testing.assert_array_equal(first.features, run.state.server.features)
  np.testing.assert_array_equal(second.features, state.server.features)
  assert first.targets.tolist() == list(TARGETS) and int(second.epoch) == 1
  pixels = visuals_of(small.num_items, seed=4).images.pixels[list(TARGETS)]
  np.testing.assert_array_equal(first.clean, pixels)
  np.testing.assert_array_equal(second.clean, pixels)
  np.testing.assert_array_equal(second.current, pixels + 1.0)
  assert first.received.items.shape == (small.num_items, 3 + F)
  assert float(later.attack[0]) == 2
  # Full pixel values cannot rise.
  assert report["impossible"].tolist() == (pixels == 255).sum(axis=(1, 2, 3)).tolist() != [0, 0]
  assert again["impossible"].tolist() == (pixels >= 254).sum(axis=(1, 2, 3)).tolist()
  assert again["largest_change"].tolist() == [2, 2] and report["mean_change"].tolist() == [1, 1]
