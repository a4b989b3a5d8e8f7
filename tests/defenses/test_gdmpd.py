"""GDMPD: its stage is the purification with the same numbers, its thresholds, and what becomes of a flagged image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.config import AttackerConfig
from fedrecjax.defenses import chain, gdmpd, gdmpd_unguided, median, norm_bound
from fedrecjax.types import Attack, ImageDefenseView
from fedrecjax.vision import linear_schedule, normal_threshold, purify, quantile_threshold, respaced
from tests.oracles import image_step as oracle
from tests.support.small_images import DENOISER, extract, random_images, seeing_run, uploaded, visuals_of

BUILD = {"gdmpd": gdmpd, "gdmpd_unguided": gdmpd_unguided}
ITEMS = jnp.array([5, 0, 11])
SHORT = {"start": 200, "respacing": 25}


@jax.jit
def kept(images, pixels, items, key):
  return images(pixels, items, ImageDefenseView(extract, DENOISER), key)


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("gdmpd", {}),
    ("gdmpd", SHORT | {"guidance": "constant", "guidance_weight": 50.0, "reduction": "sum", "max_pull": 0.3}),
    ("gdmpd", SHORT | {"guidance_weight": 2.0, "reference": "shared", "assumed_bound": 16.0}),
    ("gdmpd", SHORT | {"guidance_weight": 2.0, "reference": "clean", "literal_sign": True}),
    ("gdmpd_unguided", {}),
    ("gdmpd_unguided", SHORT),
  ],
)
def test_images_are_purified_with_the_same_numbers(name, options):
  images, key = jnp.asarray(random_images(3), jnp.float32), jax.random.key(4)
  found = kept(BUILD[name](**options).images, images, ITEMS, key)
  # What the paper and the code it builds on have, where the options say nothing.
  numbers = {"start": 178, "respacing": 250} | options
  schedule = respaced(linear_schedule(1000), numbers.pop("respacing"))
  if name == "gdmpd_unguided":
    numbers["guidance"] = "none"
  else:
    numbers = {"guidance": "gdmp", "guidance_weight": 1000.0, "assumed_bound": 4.0, "max_pull": 1.0} | numbers
  expected = jax.jit(lambda images, key: purify(DENOISER, schedule, images, key, ids=ITEMS, **numbers).images)(
    images, key
  )
  assert np.abs(np.asarray(expected) - images).max() > 3
  np.testing.assert_array_equal(found, np.round(found))
  # Two programs may round the last bit otherwise.
  np.testing.assert_allclose(found, expected, atol=1)
  assert (np.asarray(found) != expected).mean() < 0.02


def test_noise_belongs_to_the_item_and_not_to_its_place():
  images, key = jnp.asarray(random_images(3), jnp.float32), jax.random.key(4)
  stage = gdmpd(**SHORT).images
  order = np.array([2, 0, 1])
  first, second = kept(stage, images, ITEMS, key), kept(stage, images[order], ITEMS[order], key)
  np.testing.assert_array_equal(np.asarray(first)[order], second)
  assert (np.asarray(kept(stage, images, ITEMS + 1, key)) != first).any()
  assert (np.asarray(kept(stage, images, ITEMS, jax.random.key(5))) != first).any()


NORMAL = np.random.default_rng(0).uniform(0.5, 1.0, 40).astype(np.float32)


@pytest.mark.parametrize("build", BUILD.values(), ids=list(BUILD))
@pytest.mark.parametrize("threshold", ["minimum", "quantile", "normal"])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_thresholds(build, threshold, share):
  rho = oracle.threshold(NORMAL.astype(float).tolist(), threshold, share)
  numpy = {
    "minimum": lambda: NORMAL.min(),
    "quantile": lambda: quantile_threshold(NORMAL, share),
    "normal": lambda: normal_threshold(NORMAL, share),
  }
  assert rho == pytest.approx(float(numpy[threshold]()), abs=1e-6)
  ours = np.float32(build(threshold=threshold, share=share).threshold(NORMAL))
  found = np.append(np.random.default_rng(1).uniform(-1, 1, 50), [rho - 1e-4, rho + 1e-4, 1.0])
  flagged = found.astype(np.float32) < ours
  np.testing.assert_array_equal(flagged, found < rho)
  assert 0 < flagged.sum() < len(flagged)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_how_many_normal_images_are_flagged(share):
  """Of those that the threshold comes from: none, or no more than the share."""
  for threshold, most in (("minimum", 0.0), ("quantile", share)):
    flagged = np.float32(gdmpd(threshold=threshold, share=share).threshold(NORMAL)) > NORMAL
    assert int(np.sum(flagged)) <= round(most * len(NORMAL))
  quantile = np.float32(gdmpd(threshold="quantile", share=0.5).threshold(NORMAL)) > NORMAL
  assert int(np.sum(quantile)) == len(NORMAL) // 2


def brighter(state, view, key):
  """Other pictures in every epoch."""
  del key
  return jnp.clip(view.clean + 20.0 * (1 + view.epoch), 0, 255), state


def run_of(small, **options):
  defense = gdmpd(**SHORT, **options)
  attacker = AttackerConfig(malicious_ratio=0.0, targets="given", target_items=(5, 11))
  return seeing_run(small, attack=Attack(images=brighter), defense=defense, attacker=attacker)


def with_threshold(run, value):
  """The same run with another threshold: above 1 everything is flagged, at -1 nothing."""
  constants = run.images.constants._replace(threshold=jnp.float32(value))
  return run._replace(images=run.images._replace(constants=constants))


@pytest.mark.parametrize("flagged", ["purify", "refuse"])
def test_what_becomes_of_a_flagged_image(small, flagged):
  run, targets = run_of(small, flagged=flagged), np.array([5, 11])
  start = run.state.server.features
  state, images, report = uploaded(with_threshold(run, 2.0), run.state)
  sent = np.clip(run.images.constants.clean + 20.0, 0, 255)
  np.testing.assert_array_equal(images.uploaded, sent)
  assert report["flagged"].tolist() == [1, 1]
  refuses = flagged == "refuse"
  assert report["refused"].tolist() == [refuses, refuses]
  same = (np.asarray(images.kept) == run.images.state.kept).all()
  assert same == refuses
  assert np.array_equal(state.server.features, start) == refuses
  # An image that nobody suspects is kept, purified, and stays when the next is refused.
  state, images, report = uploaded(with_threshold(run, -1.0), state, images, 1)
  assert report["flagged"].tolist() == report["refused"].tolist() == [0, 0]
  assert not np.array_equal(images.kept, images.uploaded)
  assert not np.array_equal(images.kept, run.images.state.kept)
  np.testing.assert_allclose(state.server.features[targets], extract(images.kept), atol=1e-6)
  later, last, _ = uploaded(with_threshold(run, 2.0), state, images, 2)
  assert np.array_equal(last.kept, images.kept) == refuses
  assert np.array_equal(later.server.features, state.server.features) == refuses
  assert not np.array_equal(last.uploaded, images.uploaded)


def test_images_before_training_set_the_threshold(small):
  run = run_of(small)
  visuals = visuals_of(small.num_items)
  expected = visuals.kept(gdmpd(**SHORT).images)
  assert run.images.constants.threshold == expected.similarity.min()
  np.testing.assert_array_equal(run.images.state.kept, expected.pixels[[5, 11]])
  np.testing.assert_array_equal(run.state.server.features, expected.features)
  assert not np.array_equal(expected.features, visuals.features)


@pytest.mark.parametrize("guarded", [False, True])
def test_it_stands_in_a_chain(small, guarded):
  defense = gdmpd(**SHORT, flagged="refuse")
  whole = chain(norm_bound(max_norm=0.1), defense, median()) if guarded else chain(defense, median())
  assert whole.images is defense.images and whole.threshold is defense.threshold and whole.refuses
  assert whole.requires == {"denoiser"} and whole.unique_rows
  assert (whole.filter is not None) == guarded
  attacker = AttackerConfig(malicious_ratio=0.0, targets="given", target_items=(5,))
  runs = [seeing_run(small, attack=Attack(images=brighter), defense=one, attacker=attacker) for one in (defense, whole)]
  (_, alone, first), (_, chained, second) = (uploaded(run, run.state) for run in runs)
  np.testing.assert_array_equal(alone.kept, chained.kept)
  assert all(np.array_equal(first[name], second[name]) for name in first)


def test_two_defences_of_images_do_not():
  with pytest.raises(ValueError, match="only one defense of images"):
    chain(gdmpd(), gdmpd_unguided())
  chained = chain(norm_bound(max_norm=0.1), gdmpd())
  with pytest.raises(ValueError, match="only one defense of images"):
    chain(chained, gdmpd())


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("start", -1, "must be 0 to 1000, got -1"),
    ("start", 1001, "must be 0 to 1000, got 1001"),
    ("respacing", 1, "must be 2 to 1000, got 1"),
    ("respacing", 1001, "must be 2 to 1000, got 1001"),
    ("share", 0.0, r"must lie in \(0, 1\), got 0.0"),
    ("share", 1.0, r"must lie in \(0, 1\), got 1.0"),
    ("threshold", "mean", "must be one of minimum, quantile, normal"),
    ("flagged", "drop", "must be one of purify, refuse"),
  ],
)
@pytest.mark.parametrize("build", BUILD.values(), ids=list(BUILD))
def test_impossible_numbers_are_named(build, field, value, message):
  with pytest.raises(ValueError, match=f"^{build.__name__}.{field} {message}"):
    build(**{field: value})


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("guidance_weight", 0.0, "must be positive, got 0.0"),
    ("assumed_bound", 0.0, "must be positive"),
    ("max_pull", -1.0, "must be positive"),
    ("guidance", "none", "must be one of gdmp, constant"),
    ("reduction", "max", "must be one of mean, sum"),
    ("reference", "chain", "must be one of fresh, shared, clean"),
  ],
)
def test_impossible_guidance_is_named(field, value, message):
  with pytest.raises(ValueError, match=f"^gdmpd.{field} {message}"):
    gdmpd(**{field: value})
