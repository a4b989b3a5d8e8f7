"""What a run knows of its images, and what a server keeps of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from fedrecjax.defenses import chain, gdmpd, norm_bound
from fedrecjax.vision import visuals as module
from fedrecjax.vision.visuals import Visuals
from tests.oracles import image_step as oracle
from tests.support.small_images import BARE, DENOISER, SHAPE, F, item_images, plain_extract, visuals_of
from tests.support.traces import no_new_trace

NUM_ITEMS = 40


def dimmed(images, items, view, key):
  """Depends on the item and on noise of the item's own, and says nothing to whoever calls it twice."""
  noise = jax.vmap(lambda item: jax.random.normal(jax.random.fold_in(key, item), SHAPE))(items)
  return jnp.clip(images * (0.5 + 0.01 * items[:, None, None, None]) + noise, 0, 255)


DIMMED = Partial(dimmed)


def test_features_are_those_of_the_images():
  visuals = visuals_of(NUM_ITEMS)
  assert visuals.features.dtype == np.float32 and visuals.features.shape == (NUM_ITEMS, F)
  for item, image in enumerate(visuals.images.pixels):
    expected = np.zeros(F) if item in BARE else plain_extract(image.astype(float))
    np.testing.assert_allclose(visuals.features[item], expected, atol=1e-5)
  assert visuals.features is visuals.features


def test_without_a_defence_images_are_kept_as_they_are():
  visuals = visuals_of(NUM_ITEMS)
  kept = visuals.kept(None)
  np.testing.assert_array_equal(kept.pixels, visuals.images.pixels)
  np.testing.assert_array_equal(kept.features, visuals.features)
  np.testing.assert_array_equal(kept.similarity, np.ones(NUM_ITEMS - len(BARE)))


def test_what_a_defence_keeps():
  visuals = visuals_of(NUM_ITEMS)
  kept = visuals.kept(DIMMED)
  images = visuals.images
  assert kept.pixels.dtype == np.uint8 and kept.features.dtype == kept.similarity.dtype == np.float32
  assert kept.similarity.shape == (images.num_images,)
  pixels = images.pixels.astype(np.float32)
  changed = np.asarray(dimmed(jnp.asarray(pixels), jnp.arange(NUM_ITEMS), None, jax.random.key(0)), float)
  for place, item in enumerate(images.items):
    # A product just beside a half may be rounded to either side.
    np.testing.assert_allclose(kept.pixels[item], changed[item], atol=0.5 + 1e-3)
    np.testing.assert_allclose(kept.features[item], plain_extract(changed[item]), atol=1e-5)
    before, after = plain_extract(images.pixels[item].astype(float)), plain_extract(changed[item])
    assert kept.similarity[place] == pytest.approx(oracle.cosine(before, after), abs=1e-5)
  for item in BARE:
    assert not kept.pixels[item].any() and not kept.features[item].any()
  # What was there before is left alone.
  np.testing.assert_array_equal(images.pixels, item_images(NUM_ITEMS).pixels)
  np.testing.assert_array_equal(visuals.features, visuals_of(NUM_ITEMS).features)


@pytest.mark.parametrize("batch", [1, 7, 38, 64])
def test_batches_do_not_matter(monkeypatch, batch):
  expected = visuals_of(NUM_ITEMS).kept(DIMMED)
  monkeypatch.setattr(module, "BATCH", batch)
  found = visuals_of(NUM_ITEMS).kept(DIMMED)
  assert (np.abs(found.pixels.astype(int) - expected.pixels) > 0).mean() < 1e-3
  np.testing.assert_allclose(found.features, expected.features, atol=1e-5)
  np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-5)


def test_an_items_image_is_kept_alike_whatever_the_others_are():
  # Item 3 is in another place of its batch, and beside others.
  first = visuals_of(NUM_ITEMS).kept(DIMMED)
  few = tuple(item for item in range(NUM_ITEMS) if item not in (3, 30))
  second = visuals_of(NUM_ITEMS, bare=few).kept(DIMMED)
  np.testing.assert_array_equal(first.pixels[[3, 30]], second.pixels[[3, 30]])
  np.testing.assert_array_equal(first.features[[3, 30]], second.features[[3, 30]])


def test_the_same_numbers_are_worked_out_once(monkeypatch):
  calls = []
  whole = module._transformed
  monkeypatch.setattr(module, "_transformed", lambda *arguments: calls.append(arguments) or whole(*arguments))
  visuals = visuals_of(6)
  short = {"start": 400, "respacing": 10}  # steps 0, 111, 222 and 333
  first = visuals.kept(gdmpd(**short).images)
  assert visuals.kept(gdmpd(**short).images) is first and len(calls) == 1
  # Not part of what becomes of an image: how it is judged, and what else the server does.
  assert visuals.kept(chain(norm_bound(max_norm=0.1), gdmpd(**short)).images) is first and len(calls) == 1
  with no_new_trace(module._transform_batch):
    second = visuals.kept(gdmpd(**short, guidance_weight=0.1).images)
  assert len(calls) == 2 and (second.pixels != first.pixels).any()
  assert visuals.kept(gdmpd(start=200, respacing=10).images) is not first
  assert visuals.kept(None) is not first and len(calls) == 3
  # Other images have results of their own.
  other = visuals_of(6, seed=1).kept(gdmpd(**short).images)
  assert len(calls) == 4 and (other.pixels != first.pixels).any()


def test_it_sees_the_diffusion_model_and_the_extractor():
  seen = []

  def looks(images, items, view, key):
    seen.append((view.denoiser is not None, view.extract(images).shape))
    return images

  visuals_of(6).kept(Partial(looks))
  visuals_of(6, denoiser=None).kept(Partial(looks))
  assert seen == [(True, (module.BATCH, F)), (False, (module.BATCH, F))]


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -1.0, 265.0])
def test_impossible_pixel_values_are_refused(bad):
  visuals = visuals_of(6)
  broken = Partial(lambda images, items, view, key: jnp.where(items[:, None, None, None] == 3, bad, images))
  with pytest.raises(ValueError, match=r"^the defense of images makes pixel values of small images outside 0..255$"):
    visuals.kept(broken)


def test_features_that_are_not_finite_are_refused():
  visuals = visuals_of(6)
  broken = visuals.extractor._replace(parameters=visuals.extractor.parameters * jnp.nan)
  with pytest.raises(ValueError, match="squashed: features of item 0 of small images are not finite"):
    _ = Visuals(visuals.images, broken, DENOISER).features
