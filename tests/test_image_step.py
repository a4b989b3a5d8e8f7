"""Uploads of images within whole runs: what they change, when, what is reported, and what is refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models, runner
from fedrecjax.collusion import each_alone
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.population import choose_targets
from fedrecjax.runner import AttackError, Result, simulate
from fedrecjax.types import Attack, Defense
from fedrecjax.uploads import item_rows
from fedrecjax.vision import linear_schedule, purify, respaced
from tests.oracles import image_step as oracle
from tests.small_images import (
  BARE,
  DENOISER,
  F,
  extract,
  plain_extract,
  seeing_run,
  small_vncf,
  uploaded,
  visuals_of,
)

TARGETS = (5, 11)
GIVEN = AttackerConfig(malicious_ratio=0.0, targets="given", target_items=TARGETS)
PSMU = {"num_items": 5, "inner_steps": 2, "steps": 2, "num_negatives": 1}
SHORT = {"start": 200, "respacing": 20}
SCHEDULE = respaced(linear_schedule(), 20)


def brighter(state, view, key):
  """Other pictures in every epoch."""
  del key
  return jnp.clip(view.clean + 20.0 * (1 + view.epoch), 0, 255), state


BRIGHTER = Attack(images=brighter)


def darkens(images, items, view, key):
  """A defence that loses half of the light, and a bit of what is seen."""
  del items, view, key
  return jnp.round(images / 2)


def unlike(normal, found):
  """What is less like itself than normal images are on the average."""
  return found < jnp.mean(normal)


def ran(small: Dataset, **changes) -> Result:
  """A run of three epochs, of three rounds each."""
  epochs, every = changes.pop("epochs", 3), changes.pop("every", 1)
  settings = {
    "model": small_vncf(),
    "attack": BRIGHTER,
    "train": TrainConfig(epochs=epochs, clients_per_round=5, learning_rate=0.5),
    "attacker": GIVEN,
    "evaluation": EvalConfig(every=every, ks=(5,)),
    "visuals": visuals_of(small.num_items),
  }
  return simulate(small, **(settings | changes))


def bits(result: Result) -> list[bytes]:
  arrays = [*jax.tree.leaves(result.state), *result.per_user.values(), *result.images.values()]
  arrays += [values for name, values in result.metrics.items() if name != "wall_s"]
  return [np.asarray(array).tobytes() for array in arrays]


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
  for one, two in zip(jax.tree.leaves(often.state), jax.tree.leaves(seldom.state), strict=True):
    np.testing.assert_array_equal(one, two)
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
    "judged": Defense(images=darkens, suspects=unlike, refuses=refuses),
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
    return ()

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
    ({"attack": attacks.psmu_v()}, "the attack does not fit small: attacker.malicious_ratio leaves no synthetic user"),
    ({"attack": attacks.psmu_v(), "attacker": dataclasses.replace(GIVEN, malicious_ratio=0.3)},
     "the attack does not fit small: synthetic users of 30 items and lists of 5 others need 35 items"),
    ({"attack": attacks.image_popularity(num_popular=27)}, "image_popularity.num_popular must be at most the 26 items"),
    ({"attack": Attack(images=brighter, requires=frozenset({"denoiser"}))}, "the attack requires denoiser"),
  ):  # fmt: skip
    assert expected in refused(small, **changes)
  with pytest.raises(ConfigError, match="visual features of small are given twice, with the data set and with images"):
    ran(seen)


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
  with pytest.raises(ValueError, match=r"an attack's images must be \[2, 4, 4, 3\], got \[2, 3, 4, 3\]"):
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
  for one, two in zip(jax.tree.leaves(plain.state), jax.tree.leaves(slow.state), strict=True):
    np.testing.assert_allclose(one, two, atol=1e-5)
  for column, values in plain.images.items():
    np.testing.assert_allclose(values, slow.images[column], atol=1e-5)


def test_other_numbers_and_seeds_share_the_program(small):
  def run(seed, bound, weight):
    ran(
      small, epochs=2, seed=seed, attack=attacks.psmu_v(**PSMU, bound=bound),
      defense=defenses.gdmpd(**SHORT, guidance_weight=weight, share=weight / 2000),
      attacker=dataclasses.replace(GIVEN, malicious_ratio=0.25),
    )

  run(0, 4.0, 1000.0)
  before = len(runner.PROGRAMS)
  run(1, 8.0, 10.0)
  assert len(runner.PROGRAMS) == before


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
