"""The picture of images before and after: every pixel where it belongs, and the same bytes each time."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from fedrecjax.vision.pictures import CAPTION_HEIGHT, GAP, comparison, difference, png, write_png


def images(count=2, seed=0, size=(70, 80)):
  return np.random.default_rng(seed).integers(4, 250, (count, *size, 3)).astype(np.uint8)


def test_differences_are_amplified_around_grey_and_held_in_range():
  before = np.array([[[10, 10, 10], [10, 10, 200]]], np.uint8)
  after = np.array([[[10, 12, 7], [40, 0, 197]]], np.uint8)
  assert difference(before, after, amplification=8).tolist() == [[[128, 144, 104], [255, 48, 104]]]


def test_every_image_stands_in_its_place():
  original, purified = images(seed=0), images(seed=1)
  adversarial = original + np.array([3, 0, 0], np.uint8)
  picture = comparison(original, adversarial, {"purified": purified}, amplification=10.0)
  change = np.broadcast_to(np.array([158, 128, 128], np.uint8), original.shape)
  height, width = original.shape[1:3]
  assert picture.shape[0] == CAPTION_HEIGHT + 2 * (height + GAP)
  for column, shown in enumerate((original, adversarial, purified, change)):
    left = GAP + column * (width + GAP)
    for row in range(2):
      top = CAPTION_HEIGHT + row * (height + GAP)
      np.testing.assert_array_equal(picture[top : top + height, left : left + width], shown[row])
    assert (picture[:CAPTION_HEIGHT, left : left + width] < 255).any()
  assert (picture[-GAP:] == 255).all() and (picture[:, :GAP] == 255).all()


def test_zoom_repeats_pixels_and_small_images_leave_room_for_names():
  small = images(1, size=(5, 6))
  picture = comparison(small, small, {}, zoom=3, rows=["eps 4"])
  enlarged = small[0].repeat(3, axis=0).repeat(3, axis=1)
  found = [
    left for left in range(picture.shape[1] - 17)
    if (picture[CAPTION_HEIGHT : CAPTION_HEIGHT + 15, left : left + 18] == enlarged).all()
  ]
  assert len(found) == 2
  assert found[1] - found[0] > 18 + GAP  # as wide as the word "original"
  assert (picture[CAPTION_HEIGHT:, GAP : found[0] - GAP] < 255).any()  # the row's name
  wide = comparison(small, small, {"a variant with a very long name": small}, zoom=3)
  assert wide.shape[1] > picture.shape[1] + 100


def test_files_are_the_same_each_time_and_hold_the_picture(tmp_path):
  picture = comparison(images(), images(), {"GDMPD": images(seed=2)}, rows=["a", "b"])
  assert png(picture) == png(comparison(images(), images(), {"GDMPD": images(seed=2)}, rows=["a", "b"]))
  np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)
  write_png(picture, tmp_path / "picture.png")
  assert (tmp_path / "picture.png").read_bytes() == png(picture)


def test_without_pillow_the_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "PIL", None)
  for draw in (lambda: comparison(images(), images(), {}), lambda: png(images()[0])):
    with pytest.raises(ImportError, match="without the package pillow"):
      draw()


def test_bad_arguments_are_refused():
  good = images()
  for bad, message in (
    (lambda: difference(good, good[:1], amplification=1), "of one shape"),
    (lambda: difference(good, good * 1.0, amplification=1), "must be uint8"),
    (lambda: difference(good, good, amplification=0), "amplification must be positive"),
    (lambda: comparison(good, good[:, :9], {}), "adversarial must be uint8"),
    (lambda: comparison(good, good, {"GDMPD": good / 255}), "GDMPD must be uint8"),
    (lambda: comparison(good, good, {"original": good}), "cannot be named 'original'"),
    (lambda: comparison(good[:0], good[:0], {}), "at least one image"),
    (lambda: comparison(good, good, {}, zoom=0), "zoom must be at least 1"),
    (lambda: comparison(good, good, {}, rows=["a"]), "rows must name 2 images"),
    (lambda: png(good), "picture must be uint8"),
  ):
    with pytest.raises(ValueError, match=message):
      bad()
